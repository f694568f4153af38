package io.whetstream.connectors.image;

import io.whetstream.model.BadInputException;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;

/**
 * What may be fetched and how. By default nothing may.
 *
 * @param roots directories on Flink file systems below which images may lie, for example {@code
 *     s3://bucket/images} or {@code file:///data/images}
 * @param hosts for http and https: {@code images.example.org}, {@code *.example.org}, or with a
 *     port other than 80 and 443 {@code images.example.org:8080}
 * @param privateNetworks address ranges that hosts may resolve to although they are not public, for
 *     example {@code 10.1.0.0/16}; all other private, loopback and link-local ones are refused
 * @param maxBytes largest image
 * @param attemptTimeout for one attempt, all redirects included
 * @param totalTimeout for all attempts together
 * @param retries after network failures and answers 429 and 5xx
 * @param backoff before the first retry; it doubles
 * @param concurrency fetches at the same time in each subtask
 * @param perHost of these, fetches from one host, so that a slow one does not hold up the others
 * @param proxy {@code http://host:port} of an HTTP proxy, or empty: it is told the address that was
 *     looked up and checked here, for http as for https
 * @param cacheBytes most bytes of images kept by URI in each subtask; 0 for none
 * @param cacheFor how long an image is kept
 */
public record ImageOptions(
    List<String> roots,
    List<String> hosts,
    List<String> privateNetworks,
    long maxBytes,
    Duration attemptTimeout,
    Duration totalTimeout,
    int retries,
    Duration backoff,
    int concurrency,
    int perHost,
    String proxy,
    long cacheBytes,
    Duration cacheFor)
    implements Serializable {

  public ImageOptions {
    roots = List.copyOf(roots);
    hosts = List.copyOf(hosts);
    privateNetworks = List.copyOf(privateNetworks);
    if (perHost < 1 || perHost > concurrency) {
      throw new BadInputException("images: perHost must be from 1 to concurrency, " + concurrency);
    }
    HttpProxy.parse(proxy);
    if (maxBytes < 1 || concurrency < 1 || retries < 0 || cacheBytes < 0) {
      throw new BadInputException(
          "images: maxBytes and concurrency must be positive, retries and cacheBytes not negative");
    }
    privateNetworks.forEach(Addresses.Range::parse);
  }

  /**
   * At most 16 MiB, 10 s an attempt, 30 s in all, 2 retries, 32 at a time and 8 from a host, no
   * proxy, 64 MiB kept 10 min.
   */
  public static ImageOptions of(List<String> roots, List<String> hosts) {
    return new ImageOptions(
        roots,
        hosts,
        List.of(),
        16 << 20,
        Duration.ofSeconds(10),
        Duration.ofSeconds(30),
        2,
        Duration.ofMillis(200),
        32,
        8,
        "",
        64 << 20,
        Duration.ofMinutes(10));
  }
}
