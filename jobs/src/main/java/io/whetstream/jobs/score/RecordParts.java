package io.whetstream.jobs.score;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.jobs.score.ScoreConfig.Suppress;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterManifest;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The parts of a real job: ONNX Runtime, records in the configured format, adapters from their
 * files. One instance per subtask; the loader may be called from another thread.
 */
final class RecordParts implements ScoreParts {
  private static final long serialVersionUID = 1L;
  private static final int REMEMBERED = 256;

  private final ScoreConfig config;
  private transient Map<String, AdapterAnnouncement> announcements;
  private transient QueryImages images;
  private transient RecordCodec<SimilarityQuery> queries;
  private transient RecordCodec<AdapterAnnouncement> adapters;
  private transient RecordCodec<AdapterControl> control;

  RecordParts(ScoreConfig config) {
    this.config = config;
  }

  @Override
  public Topics topics() {
    return new Topics(config.kafka().topicPrefix());
  }

  @Override
  public Embedder embedder() {
    return OnnxEmbedder.open(
        config.base(), config.match().maxImagePixels(), config.match().batchSize());
  }

  private Map<String, AdapterAnnouncement> announcements() {
    synchronized (this) {
      if (announcements == null) {
        announcements =
            new LinkedHashMap<>() {
              private static final long serialVersionUID = 1L;

              @Override
              protected boolean removeEldestEntry(Map.Entry<String, AdapterAnnouncement> eldest) {
                return size() > REMEMBERED;
              }
            };
      }
      return announcements;
    }
  }

  private AdapterRegistry registry() {
    return AdapterRegistry.open(RegistryOptions.of(config.registry().uri()));
  }

  @Override
  public LoadedAdapter.Loader loader(Embedder embedder) {
    AdapterRegistry registry = registry();
    return wanted -> {
      AdapterAnnouncement announced;
      synchronized (this) {
        announced = announcements().get(wanted.digest());
      }
      AdapterArtifact artifact =
          registry.read(wanted.digest(), announced == null ? null : announced.manifestDigest());
      AdapterManifest.Version named = artifact.manifest().version();
      // What is known by its digest alone, as after a rollback, has its version in its manifest.
      AdapterVersion version =
          announced == null && named != null
              ? new AdapterVersion(named.epoch(), named.n(), wanted.digest())
              : wanted;
      return new LoadedAdapter(
          version, ((OnnxEmbedder) embedder).load(artifact), artifact.manifest().calibration());
    };
  }

  @Override
  public List<AdapterVersion> newestInRegistry() {
    return registry().list().stream()
        .map(AdapterRegistry.Entry::manifest)
        .filter(manifest -> config.adapterStream().equals(manifest.stream()))
        .filter(manifest -> manifest.version() != null)
        .map(
            manifest ->
                new AdapterVersion(
                    manifest.version().epoch(), manifest.version().n(), manifest.digest()))
        .sorted(Comparator.reverseOrder())
        .toList();
  }

  @Override
  public void pin(Set<String> digests, Duration validFor) {
    pin(config.name(), digests, validFor);
  }

  /** As {@link #pin(Set, Duration)}, of an owner that is not the job as a whole. */
  void pin(String owner, Set<String> digests, Duration validFor) {
    registry().pin(owner, digests, validFor);
  }

  /** Removes what an owner has pinned. */
  void unpin(String owner) {
    registry().unpin(owner);
  }

  private <T extends StreamRecord> RecordCodec<T> codec(RecordType<T> type) {
    return config.kafka().ownFormat().codec(type, type.name());
  }

  private static Coordinates at(ControlRecord record) {
    return new Coordinates(record.topic(), record.partition(), record.offset());
  }

  private QueryImages images() {
    synchronized (this) {
      if (images == null) {
        images = new QueryImages(config);
      }
      return images;
    }
  }

  private SimilarityQuery decode(ControlRecord record) {
    synchronized (this) {
      if (queries == null) {
        queries = codec(RecordType.QUERY);
      }
      return queries.decode(record.value(), at(record), record.timestamp());
    }
  }

  @Override
  public ControlRecord withImage(ControlRecord record) {
    boolean later = images().supersede(keyOf(record), at(record));
    if (record.value() == null || later) {
      return record;
    }
    try {
      SimilarityQuery query = decode(record);
      return query.image() != null || query.imageUri() == null || !query.enabled()
          ? record
          : record.withImage(images().withImage(query).image());
    } catch (BadInputException e) {
      return record.refused(e.getMessage());
    }
  }

  /** A query with its image at hand, or null if it names one by URI that the job has not kept. */
  SimilarityQuery kept(SimilarityQuery query) {
    return query.image() != null || query.imageUri() == null ? query : images().kept(query);
  }

  private static String keyOf(ControlRecord record) {
    return record.key() == null ? "" : new String(record.key(), StandardCharsets.UTF_8);
  }

  @Override
  public WatchedQuery query(ControlRecord record) {
    if (record.refusal() != null) {
      throw new BadInputException(record.refusal());
    }
    SimilarityQuery query = decode(record);
    if (!query.id().equals(keyOf(record))) {
      throw new BadInputException(
          "query '"
              + query.id()
              + "' lies under the key '"
              + keyOf(record)
              + "': the key must be its id");
    }
    images().requireSmall(query);
    Suppress suppression = config.suppression();
    if (query.coolDownMillis() != null
        && Duration.ofMillis(query.coolDownMillis())
                .plus(suppression.finalCountAfter())
                .multipliedBy(2)
                .compareTo(suppression.stateTtl())
            > 0) {
      throw new BadInputException(
          "the query's coolDownMillis "
              + query.coolDownMillis()
              + " is too long for suppression.stateTtl "
              + suppression.stateTtl()
              + ": twice coolDown + finalCountAfter must fit, or counts would be lost");
    }
    if (!query.enabled()) {
      return null;
    }
    SimilarityQuery whole =
        record.image() == null
            ? kept(query)
            : query.withImage(record.image(), Digests.sha256(record.image()));
    if (whole == null) {
      throw new ImageNotAtHand(query.imageUri());
    }
    return WatchedQuery.of(whole);
  }

  @Override
  public ControlRecord awaited(ControlRecord record, String attempt) {
    SimilarityQuery query = decode(record);
    SimilarityQuery whole = kept(query);
    if (whole != null) {
      return record.withImage(whole.image());
    }
    String refusal = images().refusal(query, attempt);
    return refusal == null ? null : record.refused(refusal);
  }

  @Override
  public void tellRefused(ControlRecord refused, String attempt) {
    images().refuse(decode(refused), attempt, refused.refusal());
  }

  @Override
  public AdapterVersion announcement(ControlRecord record) {
    if (adapters == null) {
      adapters = codec(RecordType.ADAPTER);
    }
    AdapterAnnouncement read = adapters.decode(record.value(), at(record), record.timestamp());
    if (!read.stream().equals(config.adapterStream())) {
      return null;
    }
    synchronized (this) {
      announcements().put(read.digest(), read);
    }
    return new AdapterVersion(read.epoch(), read.n(), read.digest());
  }

  @Override
  public Command command(ControlRecord record) {
    if (record.value() == null) {
      return null;
    }
    if (control == null) {
      control = codec(RecordType.ADAPTER_CONTROL);
    }
    AdapterControl read = control.decode(record.value(), at(record), record.timestamp());
    if (!read.stream().equals(config.adapterStream())) {
      return null;
    }
    return new Command(
        read.action() == AdapterControl.Action.ROLLBACK,
        read.digest(),
        read.afterN() == null
            ? null
            : new AdapterVersion(read.afterEpoch(), read.afterN(), read.digest()));
  }
}
