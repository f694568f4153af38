package io.whetstream.jobs.score;

import io.whetstream.connectors.kafka.Topics;
import io.whetstream.model.image.ModelImage;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The parts of a real job, which can be told to fail at the next item and which say what adapters
 * they refused. They run in the process of the test, so this is shared by statics.
 */
final class FaultyParts implements ScoreParts {
  private static final long serialVersionUID = 1L;

  /** Items to fail at. */
  static final AtomicInteger FAILURES = new AtomicInteger();

  /** Digests of adapters that could not be loaded. */
  static final Set<String> REFUSED = ConcurrentHashMap.newKeySet();

  private final RecordParts parts;

  FaultyParts(ScoreConfig config) {
    this.parts = new RecordParts(config);
  }

  /** Fails where an item is prepared: not a bad item, but a broken task. */
  private record Faulty(Embedder real) implements Embedder {
    @Override
    public int dimension() {
      return real.dimension();
    }

    @Override
    public String baseDigest() {
      return real.baseDigest();
    }

    @Override
    public Adapter base() {
      return real.base();
    }

    @Override
    public ModelImage image(byte[] encoded, String where) {
      if (!where.startsWith("query") && FAILURES.getAndUpdate(n -> Math.max(0, n - 1)) > 0) {
        throw new IllegalStateException("failed on purpose");
      }
      return real.image(encoded, where);
    }

    @Override
    public ContentGroup group(byte[] encoded, String where) {
      return real.group(encoded, where);
    }

    @Override
    public float[][] images(Adapter adapter, List<ModelImage> images) {
      return real.images(adapter, images);
    }

    @Override
    public float[][] texts(Adapter adapter, List<String> texts) {
      return real.texts(adapter, texts);
    }

    @Override
    public void close() {
      real.close();
    }
  }

  @Override
  public Embedder embedder() {
    return new Faulty(parts.embedder());
  }

  @Override
  public LoadedAdapter.Loader loader(Embedder embedder) {
    LoadedAdapter.Loader loader = parts.loader(((Faulty) embedder).real());
    return wanted -> {
      try {
        return loader.load(wanted);
      } catch (RuntimeException e) {
        REFUSED.add(wanted.digest());
        throw e;
      }
    };
  }

  @Override
  public void pin(Set<String> digests, Duration validFor) {
    parts.pin(digests, validFor);
  }

  @Override
  public List<AdapterVersion> newestInRegistry() {
    return parts.newestInRegistry();
  }

  @Override
  public Topics topics() {
    return parts.topics();
  }

  @Override
  public ControlRecord withImage(ControlRecord record) {
    return parts.withImage(record);
  }

  @Override
  public ControlRecord awaited(ControlRecord record, String attempt) {
    return parts.awaited(record, attempt);
  }

  @Override
  public void tellRefused(ControlRecord refused, String attempt) {
    parts.tellRefused(refused, attempt);
  }

  @Override
  public WatchedQuery query(ControlRecord record) {
    return parts.query(record);
  }

  @Override
  public AdapterVersion announcement(ControlRecord record) {
    return parts.announcement(record);
  }

  @Override
  public Command command(ControlRecord record) {
    return parts.command(record);
  }
}
