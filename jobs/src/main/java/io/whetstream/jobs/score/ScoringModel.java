package io.whetstream.jobs.score;

import io.whetstream.connectors.kafka.Topics;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.Calibration;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.common.errors.InterruptException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A model to embed with outside of the scoring job: the process's session on the base, and the
 * adapter in use, which is one given digest, the base alone, or whatever the adapter stream has in
 * use, by the same rules as the scoring job's: the newest announced version, or the one a rollback
 * orders; what cannot be used is refused and the one in use stays.
 *
 * <p>Thread-safe. A live model reads {@code adapters} and {@code adapters.control} with a consumer
 * of its own, on a thread of its own, and swaps without waiting for anybody: who embeds holds a
 * {@link Use} for as long as vectors must belong together.
 */
public final class ScoringModel implements AutoCloseable {
  /** The version that follows announcements and orders. */
  public static final String LIVE = "live";

  /** The version that is the base without an adapter. */
  public static final String BASE = "base";

  private static final Logger LOGGER = LoggerFactory.getLogger(ScoringModel.class);
  private static final Duration PIN = Duration.ofHours(1);
  private static final Duration END = Duration.ofSeconds(10);

  private final ScoreConfig config;

  /** Of the pin: models of one stream may use different adapters, in one process or in several. */
  private final String owner;

  private final RecordParts parts;
  private final OnnxEmbedder embedder;
  private final LoadedAdapter.Loader loader;
  private final CountDownLatch end = new CountDownLatch(1);
  private Counted inUse;
  private Thread follower;

  /** An adapter and how many hold it. */
  private static final class Counted {
    final LoadedAdapter loaded;
    int holders = 1;

    Counted(LoadedAdapter loaded) {
      this.loaded = loaded;
    }
  }

  /** The adapter in use when this was taken, which stays usable until this is closed. */
  public final class Use implements AutoCloseable {
    private final Counted counted;

    private Use(Counted counted) {
      this.counted = counted;
    }

    /** Digest of the adapter, or {@link #BASE}. */
    public String digest() {
      return counted.loaded.adapter().digest();
    }

    /** What {@link #embedder} takes. */
    public Embedder.Adapter adapter() {
      return counted.loaded.adapter();
    }

    @Override
    public void close() {
      release(counted);
    }
  }

  private ScoringModel(ScoreConfig config) {
    this.config = config;
    owner = config.name() + "-" + UUID.randomUUID();
    parts = new RecordParts(config);
    embedder = (OnnxEmbedder) parts.embedder();
    LoadedAdapter.Loader files = parts.loader(embedder);
    loader = wanted -> wanted.isBase() ? baseModel() : files.load(wanted);
  }

  /**
   * Opens a model. With {@link #LIVE} it returns when there is an adapter to use, and waits for one
   * unless {@code startWith} is {@code base}.
   *
   * @param config of base, registry, stream and Kafka
   * @param version {@link #LIVE}, {@link #BASE} or a digest
   * @throws BadInputException if the base or the given digest cannot be used
   * @throws InterruptedException if the thread is interrupted while waiting
   */
  public static ScoringModel open(ScoreConfig config, String version) throws InterruptedException {
    ScoringModel model = new ScoringModel(config);
    try {
      if (version.equals(LIVE)) {
        model.follow();
      } else if (version.equals(BASE)) {
        model.inUse = new Counted(model.baseModel());
      } else {
        model.inUse = new Counted(model.load(version));
        model.pin();
      }
      return model;
    } catch (InterruptException e) {
      model.close();
      throw new InterruptedException(e.getMessage());
    } catch (RuntimeException | InterruptedException e) {
      model.close();
      throw e;
    }
  }

  /** Makes vectors under the adapters of {@link Use} and {@link #load}. */
  public Embedder embedder() {
    return embedder;
  }

  /** Takes the adapter in use. */
  public Use use() {
    synchronized (this) {
      inUse.holders++;
      return new Use(inUse);
    }
  }

  private void release(Counted counted) {
    boolean last;
    synchronized (this) {
      counted.holders--;
      last = counted.holders == 0;
    }
    if (last) {
      counted.loaded.adapter().close();
    }
  }

  /**
   * Reads and verifies an adapter, whatever is in use.
   *
   * @param digest of an adapter in the registry, or {@link #BASE}
   * @return belongs to the caller
   * @throws BadInputException if it is not there or cannot be used
   * @throws UncheckedIOException if the registry does not answer
   */
  public LoadedAdapter load(String digest) throws InterruptedException {
    try {
      return digest.equals(BASE) ? baseModel() : loader.load(new AdapterVersion(0, 0, digest));
    } catch (RuntimeException | InterruptedException e) {
      throw e;
    } catch (Exception e) {
      throw new IllegalStateException("adapter " + digest + " cannot be loaded", e);
    }
  }

  private LoadedAdapter baseModel() {
    return new LoadedAdapter(AdapterVersion.BASE, embedder.base(), Calibration.NONE);
  }

  // ---- following the stream

  private void follow() throws InterruptedException {
    Topics topics = parts.topics();
    Follower live = new Follower(topics);
    try {
      live.start();
    } catch (RuntimeException | InterruptedException e) {
      live.close();
      throw e;
    }
    follower = new Thread(live, "adapters of " + config.adapterStream());
    follower.setDaemon(true);
    follower.start();
  }

  private void swap(LoadedAdapter next) {
    Counted before;
    synchronized (this) {
      before = inUse;
      inUse = new Counted(next);
    }
    LOGGER.info(
        "adapter {} embeds after {}",
        next.version(),
        before == null ? "" : before.loaded.version());
    if (before != null) {
      release(before);
    }
    pin();
  }

  private void pin() {
    String digest;
    synchronized (this) {
      digest = inUse.loaded.adapter().digest();
    }
    if (digest.equals(BASE)) {
      return;
    }
    try {
      parts.pin(owner, Set.of(digest), PIN);
    } catch (RuntimeException e) {
      LOGGER.warn("adapter {} could not be pinned: {}", digest, Reasons.of(e));
    }
  }

  private void unpin(String digest) {
    if (digest.equals(BASE)) {
      return;
    }
    try {
      parts.unpin(owner);
    } catch (RuntimeException e) {
      LOGGER.warn("the pin of adapter {} stays until it runs out: {}", digest, Reasons.of(e));
    }
  }

  /** Reads the two topics; one thread at a time. */
  private final class Follower implements Runnable, AutoCloseable {
    private final TopicReader orders;
    private final TopicReader adapters;
    private final AdapterFeed feed = new AdapterFeed();
    private final Set<String> refused = new HashSet<>();
    private String failed;
    private long failedAt;
    private long pinnedAt;

    Follower(Topics topics) {
      orders = new TopicReader(config.clientProperties(), topics.adaptersControl());
      try {
        adapters = new TopicReader(config.clientProperties(), topics.adapters());
      } catch (RuntimeException e) {
        orders.close();
        throw e;
      }
    }

    /** Reads both topics to their ends and waits for an adapter that can be used. */
    void start() throws InterruptedException {
      orders.readToEnd(read -> order(ControlRecord.of(read)));
      adapters.readToEnd(read -> announcement(ControlRecord.of(read)));
      boolean said = false;
      while (!takeFirst()) {
        if (config.startWith().equals(BASE)) {
          swap(baseModel());
          return;
        }
        if (!said) {
          LOGGER.info(
              "no usable adapter of stream {} is announced yet: waiting", config.adapterStream());
          said = true;
        }
        poll();
      }
    }

    /** What is wanted, else the newest that can be used, announced or in the registry. */
    private boolean takeFirst() throws InterruptedException {
      Set<AdapterVersion> candidates = new LinkedHashSet<>();
      if (wanted() != null) {
        candidates.add(wanted());
      }
      candidates.addAll(feed.newestFirst());
      candidates.addAll(parts.newestInRegistry());
      for (AdapterVersion candidate : candidates) {
        if (take(candidate)) {
          return true;
        }
      }
      return false;
    }

    private AdapterVersion wanted() {
      AdapterVersion wanted = feed.wanted();
      return wanted != null && wanted.digest().equals(embedder.baseDigest())
          ? AdapterVersion.BASE
          : wanted;
    }

    private boolean take(AdapterVersion version) throws InterruptedException {
      String digest = version.digest();
      if (refused.contains(digest)) {
        return false;
      }
      if (digest.equals(failed) && System.nanoTime() - failedAt < AdapterChange.RETRY.toNanos()) {
        return false;
      }
      try {
        swap(loader.load(version));
        return true;
      } catch (InterruptedException e) {
        throw e;
      } catch (Exception e) {
        // A damaged adapter stays one until it is announced again; a store may answer next time.
        if (e instanceof UncheckedIOException) {
          failed = digest;
          failedAt = System.nanoTime();
        } else {
          refused.add(digest);
        }
        LOGGER.error("adapter {} is refused, the one in use stays: {}", version, Reasons.of(e));
        return false;
      }
    }

    private void poll() {
      orders.poll(read -> order(ControlRecord.of(read)));
      adapters.poll(read -> announcement(ControlRecord.of(read)));
    }

    private void order(ControlRecord record) {
      try {
        ScoreParts.Command command = parts.command(record);
        if (command != null) {
          feed.apply(command);
        }
      } catch (BadInputException e) {
        LOGGER.error("control record at {} is ignored: {}", record.where(), e.getMessage());
      }
    }

    private void announcement(ControlRecord record) {
      if (record.value() == null) {
        return;
      }
      try {
        AdapterVersion version = parts.announcement(record);
        if (version != null) {
          feed.announced(version);
          refused.remove(version.digest());
        }
      } catch (BadInputException e) {
        LOGGER.error("announcement at {} is refused: {}", record.where(), e.getMessage());
      }
    }

    @Override
    public void run() {
      try {
        while (end.getCount() > 0) {
          try {
            step();
          } catch (RuntimeException e) {
            if (end.getCount() == 0 || e instanceof InterruptException) {
              return;
            }
            LOGGER.warn("the adapter stream could not be read, again soon: {}", Reasons.of(e));
            if (end.await(1, TimeUnit.SECONDS)) {
              return;
            }
          }
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      } finally {
        close();
      }
    }

    private void step() throws InterruptedException {
      poll();
      AdapterVersion wanted = wanted();
      String serving;
      synchronized (ScoringModel.this) {
        serving = inUse.loaded.adapter().digest();
      }
      if (wanted != null && !wanted.digest().equals(serving)) {
        take(wanted);
      }
      if (System.nanoTime() - pinnedAt > PIN.toNanos() / 3) {
        pin();
        pinnedAt = System.nanoTime();
      }
    }

    @Override
    public void close() {
      for (TopicReader reader : List.of(orders, adapters)) {
        reader.close();
      }
    }
  }

  /** Stops following and gives the session back; what is held of it stays usable until closed. */
  @Override
  public void close() {
    end.countDown();
    if (follower != null) {
      try {
        follower.join(END.toMillis());
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
    if (inUse != null) {
      unpin(inUse.loaded.adapter().digest());
      release(inUse);
    }
    embedder.close();
  }
}
