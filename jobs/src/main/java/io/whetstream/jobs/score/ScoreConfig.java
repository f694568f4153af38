package io.whetstream.jobs.score;

import io.whetstream.jobs.config.BaseSettings;
import io.whetstream.jobs.config.ByteSize;
import io.whetstream.jobs.config.CheckpointSettings;
import io.whetstream.jobs.config.Checks;
import io.whetstream.jobs.config.ConfigLoader;
import io.whetstream.jobs.config.ImageSettings;
import io.whetstream.jobs.config.KafkaSettings;
import io.whetstream.jobs.config.RegistrySettings;
import io.whetstream.model.image.PdqHash;
import java.io.Serializable;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Properties;

/**
 * Configuration of the scoring job.
 *
 * @param name of the job in Flink and of its transactions in Kafka; two jobs on one broker need two
 *     names
 * @param kafka how to reach Kafka
 * @param registry where adapters are read
 * @param base the base model
 * @param checkpoint checkpoints; alerts become visible to read_committed readers with each
 * @param images images of items and queries by URI
 * @param adapterStream name of the adapter stream to follow, the key in {@code adapters}
 * @param parallelism subtasks that match and suppress
 * @param startWith {@code adapter} waits for a published adapter before any item is taken; {@code
 *     base} goes on with the base model until there is one
 * @param match micro-batches
 * @param watchlist the queries watched for
 * @param thresholds how false-positive rates become thresholds
 * @param suppression how matches are thinned out
 * @param output what is written and how
 */
public record ScoreConfig(
    String name,
    KafkaSettings kafka,
    RegistrySettings registry,
    BaseSettings base,
    CheckpointSettings checkpoint,
    ImageSettings images,
    String adapterStream,
    int parallelism,
    String startWith,
    Match match,
    Watchlist watchlist,
    Thresholds thresholds,
    Suppress suppression,
    Output output)
    implements Serializable {

  public ScoreConfig {
    Checks.present("name", name);
    Checks.present("adapterStream", adapterStream);
    Checks.atLeast("parallelism", parallelism, 1);
    Checks.that(
        startWith.matches("adapter|base"), "startWith must be adapter or base, not " + startWith);
  }

  /**
   * Micro-batches of items.
   *
   * @param batchSize most items of a micro-batch
   * @param maxWait an item waits at most this long for its micro-batch to fill
   * @param slice most queries embedded between two micro-batches while a new adapter is taken up;
   *     fewer where they would take longer than 20 ms
   * @param maxImagePixels a larger image is a dead letter
   * @param nearest other queries named in an alert
   * @param watermarkLag how late an item's event time may be
   * @param idleness a partition silent for this long no longer holds event time back
   */
  public record Match(
      int batchSize,
      Duration maxWait,
      int slice,
      long maxImagePixels,
      int nearest,
      Duration watermarkLag,
      Duration idleness)
      implements Serializable {
    public Match {
      Checks.within("match.batchSize", batchSize, 1, 4096);
      Checks.positive("match.maxWait", maxWait);
      Checks.atLeast("match.slice", slice, 1);
      Checks.atLeast("match.maxImagePixels", maxImagePixels, 1);
      Checks.within("match.nearest", nearest, 0, 100);
      Checks.positive("match.idleness", idleness);
    }
  }

  /**
   * The watchlist.
   *
   * @param maxQueries most queries; further ones are refused
   * @param maxQueryBytes largest query image, encoded
   * @param spillDirectory where vectors survive a restart of the process, on a local disk; {@code
   *     auto}: in the JVM's directory for temporary files; empty: nowhere, they are embedded again
   * @param embedShare most of a matcher's time that goes to embedding the watchlist under a new
   *     adapter while items come; they are matched under the old one in the rest
   * @param bridge whether a large watchlist goes over to a new adapter as soon as enough of it is
   *     embedded to map the rest from the old one, whose own vectors follow; alerts of such queries
   *     say {@code bridged}
   */
  public record Watchlist(
      int maxQueries,
      ByteSize maxQueryBytes,
      String spillDirectory,
      double embedShare,
      boolean bridge)
      implements Serializable {
    public Watchlist {
      Checks.atLeast("watchlist.maxQueries", maxQueries, 1);
      Checks.that(
          embedShare > 0 && embedShare <= 1,
          "watchlist.embedShare must be above 0 and at most 1, not " + embedShare);
    }

    /** Where vectors are kept, or empty. */
    String vectorsDirectory() {
      return spillDirectory.equals("auto")
          ? Path.of(System.getProperty("java.io.tmpdir"), "whetstream-vectors").toString()
          : spillDirectory;
    }
  }

  /**
   * Live refinement of thresholds.
   *
   * @param samplesPerProduct scores sampled from each micro-batch and kind of comparison; 0 keeps
   *     to the adapter's calibration
   */
  public record Thresholds(int samplesPerProduct) implements Serializable {
    public Thresholds {
      Checks.atLeast("thresholds.samplesPerProduct", samplesPerProduct, 0);
    }
  }

  /**
   * Suppression, per query. Durations are of processing time, which records cannot set.
   *
   * @param coolDown after an alert, matches of its near-duplicate group are counted instead of
   *     raised, unless the query says otherwise
   * @param finalCountAfter after the cool-down, a count waits this long for a further alert to
   *     carry it before it is sent alone
   * @param imageDistance images at most this many of 256 hash bits apart are near-duplicates
   * @param maxGroups groups remembered per query
   * @param floodWindow window in which the near-duplicate groups of a query's matches are counted
   * @param floodMatches matches of more groups than this in a window put the query in quarantine
   * @param quarantine how long a quarantine lasts: each group still raises one alert, its copies go
   *     to {@code alerts.withheld}, and one in a hundred of them is raised too
   * @param stateTtl what is remembered of a query that no longer matches is dropped after this time
   *     (processing time); must be well above the other durations
   */
  public record Suppress(
      Duration coolDown,
      Duration finalCountAfter,
      int imageDistance,
      int maxGroups,
      Duration floodWindow,
      long floodMatches,
      Duration quarantine,
      Duration stateTtl)
      implements Serializable {
    public Suppress {
      Checks.within("suppression.imageDistance", imageDistance, 0, 191);
      Checks.within("suppression.maxGroups", maxGroups, 1, 100_000);
      Checks.positive("suppression.floodWindow", floodWindow);
      Checks.atLeast("suppression.floodMatches", floodMatches, 1);
      Checks.positive("suppression.quarantine", quarantine);
      Duration remembered = coolDown.plus(finalCountAfter);
      Duration longest = remembered.compareTo(quarantine) > 0 ? remembered : quarantine;
      Checks.that(
          stateTtl.compareTo(longest.multipliedBy(2)) >= 0,
          "suppression.stateTtl must be at least twice coolDown + finalCountAfter and twice"
              + " quarantine, or counts would be lost");
    }
  }

  /**
   * What is written.
   *
   * @param delivery {@code exactly-once}: read_committed readers see alerts after the checkpoint
   *     that holds them; {@code at-least-once}: at once, and perhaps again after a failure
   * @param embeddings whether item vectors are written to the topic {@code embeddings}
   */
  public record Output(String delivery, boolean embeddings) implements Serializable {
    public Output {
      Checks.that(
          delivery.matches("exactly-once|at-least-once"),
          "output.delivery must be exactly-once or at-least-once, not " + delivery);
    }

    boolean exactlyOnce() {
      return delivery.equals("exactly-once");
    }
  }

  /** The defaults that a configuration file is laid over. */
  public static ScoreConfig defaults() {
    return new ScoreConfig(
        "whetstream-score",
        KafkaSettings.defaults(),
        RegistrySettings.defaults(),
        BaseSettings.defaults(),
        new CheckpointSettings(Duration.ofSeconds(1), Duration.ofMinutes(10), ""),
        ImageSettings.defaults(),
        "default",
        1,
        "adapter",
        new Match(
            32,
            Duration.ofMillis(20),
            64,
            50_000_000,
            3,
            Duration.ofSeconds(1),
            Duration.ofSeconds(5)),
        new Watchlist(100_000, ByteSize.ofMega(1), "auto", 0.3, false),
        new Thresholds(64),
        new Suppress(
            Duration.ofMinutes(10),
            Duration.ofMinutes(10),
            PdqHash.SAME_PICTURE,
            256,
            Duration.ofMinutes(1),
            1000,
            Duration.ofMinutes(10),
            Duration.ofDays(7)),
        new Output("exactly-once", false));
  }

  /** Reads configurations. */
  public static ConfigLoader<ScoreConfig> loader() {
    return new ConfigLoader<>(defaults());
  }

  Suppression.Settings suppressionSettings() {
    return new Suppression.Settings(
        suppression.coolDown().toMillis(),
        suppression.finalCountAfter().toMillis(),
        suppression.imageDistance(),
        suppression.maxGroups(),
        suppression.floodWindow().toMillis(),
        suppression.floodMatches(),
        suppression.quarantine().toMillis());
  }

  MatchEngine.Settings engineSettings() {
    return new MatchEngine.Settings(
        match.batchSize(),
        match.slice(),
        watchlist.maxQueries(),
        match.nearest(),
        thresholds.samplesPerProduct(),
        watchlist.embedShare(),
        watchlist.bridge(),
        parallelism);
  }

  /** Kafka client properties, bootstrap servers among them. */
  Properties clientProperties() {
    return kafka.connection().clientProperties();
  }

  /** Reads a configuration file's text; see {@link ConfigLoader#parse}. */
  static ScoreConfig parse(String yaml, List<String> overrides) {
    return loader().parse(yaml, "configuration", overrides);
  }
}
