package io.whetstream.connectors.image;

import io.whetstream.model.BadInputException;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.IDN;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/**
 * HTTP/1.1 GET that connects to the very address it has checked. A general client looks a name up
 * again when it connects, and a hostile name server then gives another answer (DNS rebinding).
 */
final class HttpGet {
  private static final int MAX_REDIRECTS = 3;
  private static final int MAX_HEADER_BYTES = 64 << 10;

  /** Looks names up. */
  interface Resolver {
    InetAddress[] resolve(String host) throws UnknownHostException;
  }

  /** A failure that may pass. */
  static final class Temporary extends IOException {
    private static final long serialVersionUID = 1L;

    Temporary(String message, Throwable cause) {
      super(message, cause);
    }
  }

  private static final ScheduledThreadPoolExecutor DEADLINES = deadlines();

  private static ScheduledThreadPoolExecutor deadlines() {
    ScheduledThreadPoolExecutor timer =
        new ScheduledThreadPoolExecutor(
            1,
            task -> {
              Thread thread = new Thread(task, "whetstream-image-deadlines");
              thread.setDaemon(true);
              return thread;
            });
    timer.setRemoveOnCancelPolicy(true);
    return timer;
  }

  private final List<String> hosts;
  private final List<Addresses.Range> allowed;
  private final long maxBytes;
  private final Resolver resolver;
  private final HttpProxy proxy;

  HttpGet(ImageOptions options, Resolver resolver) {
    this.hosts = options.hosts();
    this.allowed = options.privateNetworks().stream().map(Addresses.Range::parse).toList();
    this.maxBytes = options.maxBytes();
    this.resolver = resolver;
    this.proxy = HttpProxy.parse(options.proxy());
  }

  /**
   * The body.
   *
   * @param deadline {@link System#nanoTime()} at which it gives up
   * @throws BadInputException when it must not be fetched, or never can be
   * @throws Temporary when another attempt may succeed
   */
  byte[] get(URI uri, long deadline) throws Temporary {
    URI target = uri;
    for (int hop = 0; hop <= MAX_REDIRECTS; hop++) {
      requireAllowed(target);
      Answer answer = once(target, deadline);
      if (answer.location() == null) {
        return answer.body();
      }
      try {
        target = target.resolve(URI.create(answer.location()));
      } catch (IllegalArgumentException e) {
        throw new BadInputException(target + " redirects to something that is no URI", e);
      }
    }
    throw new BadInputException(uri + " redirects more than " + MAX_REDIRECTS + " times");
  }

  private void requireAllowed(URI uri) {
    String scheme = String.valueOf(uri.getScheme()).toLowerCase(Locale.ROOT);
    if (!scheme.equals("http") && !scheme.equals("https")) {
      throw new BadInputException(uri + " is refused: a redirect may only lead to http or https");
    }
    if (uri.getHost() == null || uri.getRawUserInfo() != null) {
      throw new BadInputException(uri + " is refused: it has no host, or user information");
    }
    String host = uri.getHost().toLowerCase(Locale.ROOT);
    int port = uri.getPort();
    boolean usualPort = port < 0 || port == 80 || port == 443;
    for (String entry : hosts) {
      String pattern = entry.toLowerCase(Locale.ROOT);
      String wanted = usualPort ? host : host + ":" + port;
      if (pattern.equals(wanted)
          || pattern.equals(host + ":" + port)
          || (pattern.startsWith("*.") && wanted.endsWith(pattern.substring(1)))) {
        return;
      }
    }
    throw new BadInputException(
        uri + " is refused: host " + host + (usualPort ? "" : ":" + port) + " is not on the list");
  }

  private InetAddress address(String host) throws Temporary {
    InetAddress[] found;
    try {
      found = resolver.resolve(host.startsWith("[") ? host.substring(1, host.length() - 1) : host);
    } catch (UnknownHostException e) {
      throw new Temporary("host " + host + " is not known", e);
    }
    for (InetAddress address : found) {
      if (!Addresses.isPublic(address)
          && allowed.stream().noneMatch(range -> range.contains(address))) {
        throw new BadInputException(
            "host "
                + host
                + " is refused: it resolves to "
                + address.getHostAddress()
                + ", which is not public");
      }
    }
    return found[0];
  }

  private record Answer(byte[] body, String location) {}

  private Answer once(URI uri, long deadline) throws Temporary {
    boolean secure = uri.getScheme().equalsIgnoreCase("https");
    int port = uri.getPort() >= 0 ? uri.getPort() : secure ? 443 : 80;
    InetAddress address = address(uri.getHost());
    try (Socket plain = new Socket()) {
      // Closing it ends whatever waits, however often a byte trickles in: a handshake of TLS too,
      // and a write.
      ScheduledFuture<?> end =
          DEADLINES.schedule(
              () -> {
                plain.close();
                return null;
              },
              remaining(deadline),
              TimeUnit.MILLISECONDS);
      try {
        plain.connect(
            proxy == null
                ? new InetSocketAddress(address, port)
                : new InetSocketAddress(proxy.host(), proxy.port()),
            remaining(deadline));
        if (proxy != null) {
          tunnel(plain, HttpProxy.authority(address, port));
        }
        try (Socket socket = secure ? secure(plain, uri.getHost(), port) : plain) {
          socket.getOutputStream().write(request(uri, port, secure));
          socket.getOutputStream().flush();
          return read(uri, socket.getInputStream());
        }
      } finally {
        end.cancel(false);
      }
    } catch (BadInputException | Temporary e) {
      throw e;
    } catch (IOException e) {
      boolean late = System.nanoTime() - deadline >= 0;
      throw new Temporary(
          uri + " cannot be read: " + (late ? "it takes too long" : e.getMessage()), e);
    }
  }

  /**
   * Asks the proxy for a connection to an address; from then on the socket is as if it were one.
   */
  private static void tunnel(Socket socket, String authority) throws IOException {
    String wanted = "CONNECT " + authority + " HTTP/1.1\r\nHost: " + authority + "\r\n\r\n";
    socket.getOutputStream().write(wanted.getBytes(StandardCharsets.US_ASCII));
    socket.getOutputStream().flush();
    // Unbuffered: what follows the empty line is the server's.
    int[] headerBytes = {0};
    String status = line(socket.getInputStream(), headerBytes);
    while (!line(socket.getInputStream(), headerBytes).isEmpty()) {
      // Nothing in the proxy's header is of use.
    }
    if (!status.matches("HTTP/1\\.[01] 2[0-9]{2}( .*)?")) {
      throw new IOException("the proxy answers '" + status + "' when asked for " + authority);
    }
  }

  private static Socket secure(Socket plain, String host, int port) throws IOException {
    SSLSocket socket =
        (SSLSocket)
            ((SSLSocketFactory) SSLSocketFactory.getDefault())
                .createSocket(plain, host, port, true);
    SSLParameters parameters = socket.getSSLParameters();
    parameters.setEndpointIdentificationAlgorithm("HTTPS");
    if (!host.startsWith("[") && !host.matches("[0-9.]+")) {
      parameters.setServerNames(List.of(new SNIHostName(IDN.toASCII(host))));
    }
    socket.setSSLParameters(parameters);
    socket.startHandshake();
    return socket;
  }

  private static byte[] request(URI uri, int port, boolean secure) {
    String path = uri.toASCIIString();
    path = URI.create(path).getRawPath();
    String query = URI.create(uri.toASCIIString()).getRawQuery();
    String target =
        (path == null || path.isEmpty() ? "/" : path) + (query == null ? "" : "?" + query);
    String host = uri.getHost() + (port == (secure ? 443 : 80) ? "" : ":" + port);
    return ("GET "
            + target
            + " HTTP/1.1\r\nHost: "
            + host
            + "\r\nUser-Agent: whetstream\r\nAccept: image/*\r\nAccept-Encoding: identity\r\n"
            + "Connection: close\r\n\r\n")
        .getBytes(StandardCharsets.US_ASCII);
  }

  private Answer read(URI uri, InputStream answer) throws IOException {
    InputStream in = new BufferedInputStream(answer, 16 << 10);
    int[] headerBytes = {0};
    String status = line(in, headerBytes);
    String[] words = status.split(" ", 3);
    if (words.length < 2 || !words[0].startsWith("HTTP/1.") || !words[1].matches("[1-5][0-9]{2}")) {
      throw new BadInputException(uri + " does not answer in HTTP");
    }
    int code = Integer.parseInt(words[1]);
    Map<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    for (String line = line(in, headerBytes); !line.isEmpty(); line = line(in, headerBytes)) {
      int colon = line.indexOf(':');
      if (colon > 0) {
        headers.put(line.substring(0, colon).trim(), line.substring(colon + 1).trim());
      }
    }
    if (code >= 300 && code < 400 && headers.containsKey("Location")) {
      return new Answer(null, headers.get("Location"));
    }
    if (code == 429 || code >= 500) {
      throw new Temporary(uri + " answers " + code, null);
    }
    if (code != 200) {
      throw new BadInputException(uri + " answers " + code);
    }
    return new Answer(body(uri, in, headers), null);
  }

  private byte[] body(URI uri, InputStream in, Map<String, String> headers) throws IOException {
    String encoding = headers.getOrDefault("Content-Encoding", "identity");
    if (!encoding.equalsIgnoreCase("identity")) {
      throw new BadInputException(uri + " answers in encoding " + encoding + ", unasked");
    }
    if (headers.getOrDefault("Transfer-Encoding", "").equalsIgnoreCase("chunked")) {
      return chunked(uri, in);
    }
    String length = headers.get("Content-Length");
    if (length == null) {
      byte[] bytes = in.readNBytes((int) Math.min(maxBytes + 1, Integer.MAX_VALUE - 8));
      requireSize(uri, bytes.length);
      return bytes;
    }
    if (!length.matches("[0-9]{1,18}")) {
      throw new BadInputException(uri + " answers with length '" + length + "'");
    }
    requireSize(uri, Long.parseLong(length));
    byte[] bytes = in.readNBytes(Integer.parseInt(length));
    if (bytes.length < Integer.parseInt(length)) {
      throw new EOFException("the answer ends early");
    }
    return bytes;
  }

  private byte[] chunked(URI uri, InputStream in) throws IOException {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    int[] lineBytes = {0};
    while (true) {
      lineBytes[0] = 0;
      String size = line(in, lineBytes).split(";", 2)[0].trim();
      if (!size.matches("[0-9a-fA-F]{1,8}")) {
        throw new BadInputException(uri + " answers with a chunk of size '" + size + "'");
      }
      long bytes = Long.parseLong(size, 16);
      requireSize(uri, all.size() + bytes);
      if (bytes == 0) {
        return all.toByteArray();
      }
      byte[] chunk = in.readNBytes((int) bytes);
      if (chunk.length < bytes) {
        throw new EOFException("the answer ends early");
      }
      all.writeBytes(chunk);
      line(in, lineBytes);
    }
  }

  private void requireSize(URI uri, long bytes) {
    if (bytes > maxBytes) {
      throw new BadInputException(uri + " is larger than " + maxBytes + " bytes");
    }
  }

  private static String line(InputStream in, int[] total) throws IOException {
    StringBuilder line = new StringBuilder();
    for (int b = in.read(); b != '\n'; b = in.read()) {
      if (b < 0) {
        throw new EOFException("the answer ends early");
      }
      if (++total[0] > MAX_HEADER_BYTES) {
        throw new BadInputException(
            "the answer's header is larger than " + MAX_HEADER_BYTES + " bytes");
      }
      if (b != '\r') {
        line.append((char) b);
      }
    }
    return line.toString();
  }

  private static int remaining(long deadline) throws SocketTimeoutException {
    long millis = (deadline - System.nanoTime()) / 1_000_000;
    if (millis <= 0) {
      throw new SocketTimeoutException("it takes too long");
    }
    return (int) Math.min(millis, Integer.MAX_VALUE);
  }
}
