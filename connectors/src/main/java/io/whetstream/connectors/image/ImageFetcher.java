package io.whetstream.connectors.image;

import io.whetstream.connectors.Digests;
import io.whetstream.connectors.StoredFiles;
import io.whetstream.connectors.records.ImageRecord;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.URI;
import java.net.URISyntaxException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadFactory;
import org.apache.flink.core.fs.Path;

/** Fetches images by URI within {@link ImageOptions}. Thread-safe. */
public final class ImageFetcher implements AutoCloseable {
  /**
   * An image.
   *
   * @param bytes as they were fetched; not to be changed
   * @param digest SHA-256 of them
   */
  public record Fetched(byte[] bytes, String digest) {}

  private record Kept(Fetched image, long until) {}

  private final ImageOptions options;
  private final HttpGet http;
  private final List<Path> roots;
  private final ExecutorService executor;
  private final HostTurns turns;
  private final Map<String, Kept> cache = new LinkedHashMap<>(16, 0.75f, true);
  private long cached;

  private ImageFetcher(ImageOptions options, HttpGet.Resolver resolver) {
    this.options = options;
    this.http = new HttpGet(options, resolver);
    this.roots = options.roots().stream().map(ImageFetcher::root).toList();
    ThreadFactory threads =
        task -> {
          Thread thread = new Thread(task, "whetstream-images");
          thread.setDaemon(true);
          return thread;
        };
    this.executor = Executors.newFixedThreadPool(options.concurrency(), threads);
    this.turns = new HostTurns(executor, options.perHost());
  }

  /** A root is unescaped where it is a URI, because the addresses below it are. */
  private static Path root(String root) {
    Path unescaped = root.contains(":") ? StoredFiles.unescaped(root) : null;
    return unescaped == null || unescaped.toUri().getScheme() == null
        ? StoredFiles.path(root)
        : unescaped;
  }

  /** A fetcher with threads of its own; the caller closes it. */
  public static ImageFetcher open(ImageOptions options) {
    return new ImageFetcher(options, InetAddress::getAllByName);
  }

  static ImageFetcher open(ImageOptions options, HttpGet.Resolver resolver) {
    return new ImageFetcher(options, resolver);
  }

  /** As {@link #fetch(ImageRecord)}, on a thread of the fetcher; failures are the future's own. */
  public <T> CompletableFuture<T> fetchLater(ImageRecord<T> record) {
    return CompletableFuture.supplyAsync(
        () -> fetch(record), task -> turns.execute(hostOf(record.imageUri()), task));
  }

  /** What stands for a host in the address, also in one that is refused later. */
  private static String hostOf(String uri) {
    try {
      String host = new URI(uri).getHost();
      return host == null ? "" : host.toLowerCase(Locale.ROOT);
    } catch (URISyntaxException e) {
      return "";
    }
  }

  /**
   * A record with the image at its URI.
   *
   * @throws BadInputException as {@link #fetch(String)}, and when it is not the image whose digest
   *     the record names
   */
  public <T> T fetch(ImageRecord<T> record) {
    Fetched image = fetch(record.imageUri());
    if (record.imageDigest() != null && !record.imageDigest().equals(image.digest())) {
      throw new BadInputException(
          record.imageUri()
              + " is not the image that was meant: its digest is "
              + image.digest()
              + ", not "
              + record.imageDigest());
    }
    return record.withImage(image.bytes(), image.digest());
  }

  /**
   * Fetches an image, with retries.
   *
   * @throws BadInputException when it must not or cannot be fetched; the message says why
   */
  public Fetched fetch(String uri) {
    Fetched known = kept(uri);
    if (known != null) {
      return known;
    }
    URI parsed;
    try {
      parsed = new URI(uri);
    } catch (URISyntaxException e) {
      throw new BadInputException("'" + uri + "' is no URI: " + e.getReason(), e);
    }
    String scheme = String.valueOf(parsed.getScheme()).toLowerCase(Locale.ROOT);
    boolean web = scheme.equals("http") || scheme.equals("https");
    byte[] bytes = attempt(uri, deadline -> web ? http.get(parsed, deadline) : file(parsed));
    Fetched image = new Fetched(bytes, Digests.sha256(bytes));
    keep(uri, image);
    return image;
  }

  private interface Attempt {
    byte[] run(long deadline) throws IOException;
  }

  private byte[] attempt(String uri, Attempt attempt) {
    long end = System.nanoTime() + options.totalTimeout().toNanos();
    long wait = options.backoff().toMillis();
    for (int retry = 0; ; retry++) {
      try {
        return attempt.run(Math.min(end, System.nanoTime() + options.attemptTimeout().toNanos()));
      } catch (IOException e) {
        if (retry >= options.retries() || System.nanoTime() + wait * 1_000_000 >= end) {
          throw new BadInputException(e.getMessage() + " (after " + (retry + 1) + " attempts)", e);
        }
      }
      try {
        Thread.sleep(wait);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new CompletionException("interrupted while fetching " + uri, e);
      }
      wait *= 2;
    }
  }

  private byte[] file(URI uri) throws IOException {
    if (uri.getScheme() == null || uri.isOpaque() || uri.getRawPath() == null) {
      throw new BadInputException(uri + " is refused: a full URI is needed");
    }
    if (!uri.normalize().equals(uri) || uri.getPath().contains("/../")) {
      throw new BadInputException(uri + " is refused: it has dots in its path");
    }
    Path path = new Path(uri);
    Path root =
        roots.stream()
            .filter(candidate -> isBelow(candidate.toUri(), path.toUri()))
            .findFirst()
            .orElseThrow(
                () ->
                    new BadInputException(
                        uri + " is refused: it is below none of the allowed roots"));
    java.nio.file.Path local = StoredFiles.local(path);
    if (local != null
        && java.nio.file.Files.exists(local)
        && !local.toRealPath().startsWith(StoredFiles.local(root).toRealPath())) {
      throw new BadInputException(uri + " is refused: a link leads out of the allowed root");
    }
    byte[] bytes = StoredFiles.read(path, options.maxBytes());
    if (bytes == null) {
      throw new BadInputException(uri + " does not exist");
    }
    return bytes;
  }

  private static boolean isBelow(URI root, URI uri) {
    String base = root.getPath().endsWith("/") ? root.getPath() : root.getPath() + "/";
    return root.getScheme().equalsIgnoreCase(uri.getScheme())
        && String.valueOf(root.getAuthority()).equals(String.valueOf(uri.getAuthority()))
        && uri.getPath().startsWith(base);
  }

  private Fetched kept(String uri) {
    synchronized (cache) {
      Kept kept = cache.get(uri);
      if (kept == null) {
        return null;
      }
      if (System.nanoTime() - kept.until() > 0) {
        cache.remove(uri);
        cached -= kept.image().bytes().length;
        return null;
      }
      return kept.image();
    }
  }

  private void keep(String uri, Fetched image) {
    if (image.bytes().length > options.cacheBytes() / 4) {
      return;
    }
    synchronized (cache) {
      Kept former =
          cache.put(uri, new Kept(image, System.nanoTime() + options.cacheFor().toNanos()));
      cached += image.bytes().length - (former == null ? 0 : former.image().bytes().length);
      var oldest = cache.entrySet().iterator();
      while (cached > options.cacheBytes()) {
        cached -= oldest.next().getValue().image().bytes().length;
        oldest.remove();
      }
    }
  }

  /** Stops the fetcher's threads; what is being fetched fails. */
  @Override
  public void close() {
    executor.shutdownNow();
  }
}
