package io.whetstream.jobs.config;

import io.whetstream.connectors.image.ImageOptions;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;

/**
 * Which images may be fetched by URI and how; by default none. Images inside of records need
 * nothing of this. An image that cannot or must not be fetched is a dead letter of stage {@code
 * fetch}.
 *
 * @param roots directories on Flink file systems below which images given by URI may lie, for
 *     example {@code s3://bucket/images} or {@code file:///data/images}
 * @param hosts for http and https: {@code images.example.org}, {@code *.example.org}, or with a
 *     port other than 80 and 443 {@code images.example.org:8080}
 * @param privateNetworks address ranges such as {@code 10.1.0.0/16} that hosts may resolve to
 *     although they are not public; all other private, loopback and link-local ones are refused
 * @param maxBytes largest image, encoded
 * @param attemptTimeout for one attempt, all redirects included
 * @param totalTimeout for all attempts at an image together
 * @param retries after network failures and answers 429 and 5xx
 * @param backoff before the first retry; it doubles
 * @param concurrency fetches at the same time in each subtask
 * @param perHost of these, fetches from one host, so that a slow one does not hold up the others
 * @param proxy {@code http://host:port} of an HTTP proxy for http and https, or empty; it is told
 *     checked addresses, never names
 * @param cache most bytes of images kept by URI in each subtask; 0 for none
 * @param cacheFor how long an image is kept
 */
public record ImageSettings(
    List<String> roots,
    List<String> hosts,
    List<String> privateNetworks,
    ByteSize maxBytes,
    Duration attemptTimeout,
    Duration totalTimeout,
    int retries,
    Duration backoff,
    int concurrency,
    int perHost,
    String proxy,
    ByteSize cache,
    Duration cacheFor)
    implements Serializable {

  public ImageSettings {
    roots = List.copyOf(roots);
    hosts = List.copyOf(hosts);
    privateNetworks = List.copyOf(privateNetworks);
    Checks.within("images.maxBytes", maxBytes.bytes(), 1, Integer.MAX_VALUE - 8);
    Checks.positive("images.attemptTimeout", attemptTimeout);
    Checks.positive("images.totalTimeout", totalTimeout);
    Checks.within("images.retries", retries, 0, 20);
    Checks.within("images.concurrency", concurrency, 1, 1024);
    Checks.atLeast("images.perHost", perHost, 1);
  }

  /** Nothing may be fetched. Limits are those of {@link ImageOptions#of}. */
  public static ImageSettings defaults() {
    ImageOptions options = ImageOptions.of(List.of(), List.of());
    return new ImageSettings(
        options.roots(),
        options.hosts(),
        options.privateNetworks(),
        new ByteSize(options.maxBytes()),
        options.attemptTimeout(),
        options.totalTimeout(),
        options.retries(),
        options.backoff(),
        options.concurrency(),
        options.perHost(),
        options.proxy(),
        new ByteSize(options.cacheBytes()),
        options.cacheFor());
  }

  /** Whether anything may be fetched. */
  public boolean allowed() {
    return !roots.isEmpty() || !hosts.isEmpty();
  }

  /** The same for the connectors. */
  public ImageOptions options() {
    return new ImageOptions(
        roots,
        hosts,
        privateNetworks,
        maxBytes.bytes(),
        attemptTimeout,
        totalTimeout,
        retries,
        backoff,
        concurrency,
        Math.min(perHost, concurrency),
        proxy,
        cache.bytes(),
        cacheFor);
  }
}
