package io.whetstream.connectors.image;

import io.whetstream.model.BadInputException;
import java.net.InetAddress;
import java.net.URI;
import java.net.URISyntaxException;

/**
 * An HTTP proxy, which is asked for a tunnel ({@code CONNECT}, RFC 9110, 9.3.6) to an address that
 * was looked up and checked here: it never learns names, so it cannot be led elsewhere by them.
 */
record HttpProxy(String host, int port) {
  /**
   * @return null if the text is empty
   * @throws BadInputException if it is no address of a proxy
   */
  static HttpProxy parse(String text) {
    if (text.isEmpty()) {
      return null;
    }
    try {
      URI uri = new URI(text);
      boolean bare = uri.getRawPath() == null || uri.getRawPath().matches("/?");
      if ("http".equalsIgnoreCase(uri.getScheme())
          && uri.getHost() != null
          && uri.getPort() > 0
          && uri.getRawUserInfo() == null
          && bare) {
        return new HttpProxy(uri.getHost(), uri.getPort());
      }
    } catch (URISyntaxException e) {
      // As any other text that is none.
    }
    throw new BadInputException(
        "images.proxy must be http://host:port, without user or path, not " + text);
  }

  /** {@code address:port} as it stands in a request. */
  static String authority(InetAddress address, int port) {
    String text = address.getHostAddress().replaceFirst("%.*", "");
    return (text.contains(":") ? "[" + text + "]" : text) + ":" + port;
  }
}
