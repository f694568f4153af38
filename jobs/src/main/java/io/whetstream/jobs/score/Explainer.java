package io.whetstream.jobs.score;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.jobs.score.Explanation.Comparison;
import io.whetstream.jobs.score.Explanation.Verdict;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.Calibration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletionException;

/**
 * Computes alerts again from Kafka and the registry, for the command {@code explain}. Not
 * thread-safe.
 */
public final class Explainer implements AutoCloseable {
  private final Replay replay;

  /**
   * @param config of the job whose alerts these are
   */
  public Explainer(ScoreConfig config) {
    this.replay = new Replay(config);
  }

  /**
   * Finds an alert by its id.
   *
   * @throws BadInputException if the topic does not have it
   */
  public Alert find(String alertId) {
    List<Alert> found = new ArrayList<>();
    replay.forEach(
        RecordType.ALERT,
        replay.parts().topics().alerts(),
        0,
        alert -> {
          if (alert.alertId().equals(alertId)) {
            found.add(alert);
          }
        });
    if (found.isEmpty()) {
      throw new BadInputException(
          "there is no alert "
              + alertId
              + " in "
              + replay.parts().topics().alerts()
              + ": give the alert itself with --alert FILE if it is no longer retained");
    }
    return found.get(0);
  }

  /** Reads an alert as it is in the topic. */
  public Alert parse(byte[] value) {
    return replay.codec(RecordType.ALERT).decode(value, null, 0);
  }

  /** Computes an alert again under the adapter it carries and under the one published now. */
  public Explanation explain(Alert alert) {
    Optional<Item> read = replay.at(RecordType.ITEM, alert.itemAt());
    if (read.isEmpty()) {
      return missing(alert, "item", alert.itemAt().toString());
    }
    Item item;
    try {
      item = replay.withImage(read.get()).join();
    } catch (CompletionException e) {
      return Explanation.notRetained(
          alert.alertId(),
          alert.adapterDigest(),
          "not retained: the item's image: " + Reasons.of(e));
    }
    if (!alert.itemDigest().equals(ItemContent.digest(item))) {
      return missing(
          alert,
          "item",
          read.get().image() == null && item.image() != null
              ? item.imageUri()
              : alert.itemAt().toString());
    }
    Optional<SimilarityQuery> query = replay.at(RecordType.QUERY, alert.queryAt());
    if (query.isEmpty()) {
      return missing(alert, "query", alert.queryAt().toString());
    }
    SimilarityQuery whole = replay.parts().kept(query.get());
    if (whole == null) {
      return missing(alert, "query's image", alert.queryAt().toString());
    }
    WatchedQuery watched = WatchedQuery.of(whole);
    if (!watched.contentDigest().equals(alert.queryDigest())) {
      return missing(alert, "query", alert.queryAt().toString());
    }
    LoadedAdapter then;
    try {
      then =
          replay.load(
              new AdapterVersion(alert.adapterEpoch(), alert.adapterN(), alert.adapterDigest()));
    } catch (BadInputException e) {
      return Explanation.notRetained(
          alert.alertId(), alert.adapterDigest(), "not retained: " + e.getMessage());
    }
    List<Comparison> comparisons = new ArrayList<>();
    boolean reproduces = true;
    try (Embedder.Adapter adapter = then.adapter()) {
      for (Alert.Score score : alert.scores()) {
        float[] vector = vector(adapter, score.kind(), item);
        double again = score(adapter, score.kind(), vector, watched);
        double unlike = unlike(adapter, score.kind(), vector, watched);
        reproduces &=
            Math.abs(again - score.score()) <= Explanation.TOLERANCE
                && unlike <= score.threshold() + Explanation.TOLERANCE;
        comparisons.add(
            new Comparison(
                score.kind().label(),
                again,
                score.score(),
                score.threshold(),
                Explanation.verdict(again, score.threshold())));
      }
    }
    LoadedAdapter now = replay.load(replay.published());
    List<Comparison> underPublished = new ArrayList<>();
    boolean holds = false;
    try (Embedder.Adapter adapter = now.adapter()) {
      for (Alert.Score score : alert.scores()) {
        float[] vector = vector(adapter, score.kind(), item);
        double again = score(adapter, score.kind(), vector, watched);
        double threshold =
            Math.max(
                threshold(now.calibration(), score.kind(), watched),
                unlike(adapter, score.kind(), vector, watched));
        Verdict verdict = Explanation.verdict(again, threshold);
        holds |= verdict == Verdict.HOLDS || verdict == Verdict.TIE;
        underPublished.add(
            new Comparison(score.kind().label(), again, Double.NaN, threshold, verdict));
      }
    }
    return new Explanation(
        alert.alertId(),
        true,
        "",
        alert.adapterDigest(),
        comparisons,
        reproduces,
        now.version().digest(),
        underPublished,
        holds);
  }

  private static Explanation missing(Alert alert, String what, String at) {
    return Explanation.notRetained(
        alert.alertId(),
        alert.adapterDigest(),
        "not retained: the " + what + " at " + at + " is no longer what the alert was made of");
  }

  private double score(Embedder.Adapter adapter, MatchKind kind, float[] item, WatchedQuery query) {
    return MatchEngine.dot(
        item,
        kind.querySide() == Side.IMAGE
            ? image(adapter, query.image(), "the alert's query")
            : text(adapter, query.text()));
  }

  /** The highest score with a text that the item must be less like. */
  private double unlike(
      Embedder.Adapter adapter, MatchKind kind, float[] item, WatchedQuery query) {
    double highest = Double.NEGATIVE_INFINITY;
    if (kind.querySide() == Side.TEXT) {
      for (String other : query.unlike()) {
        highest = Math.max(highest, MatchEngine.dot(item, text(adapter, other)));
      }
    }
    return highest;
  }

  private float[] vector(Embedder.Adapter adapter, MatchKind kind, Item item) {
    return kind.itemSide() == Side.IMAGE
        ? image(adapter, item.image(), "the alert's item")
        : text(adapter, item.text());
  }

  private float[] text(Embedder.Adapter adapter, String text) {
    return replay.embedder().texts(adapter, List.of(text))[0];
  }

  private float[] image(Embedder.Adapter adapter, byte[] encoded, String where) {
    return replay.embedder().images(adapter, List.of(replay.embedder().image(encoded, where)))[0];
  }

  /** From the calibration alone: what was sampled live belongs to the job that sampled it. */
  static double threshold(Calibration calibration, MatchKind kind, WatchedQuery query) {
    if (query.minScore() != null) {
      return query.minScore();
    }
    if (query.maxAlertsPerDay() != null) {
      // It depends on how fast the stream ran.
      return Double.NaN;
    }
    Calibration.Curve curve = calibration.curves().get(CalibratedThresholds.name(kind));
    return curve == null
        ? Double.NaN
        : new KindThresholds(curve).threshold(query.maxFalsePositiveRate());
  }

  @Override
  public void close() {
    replay.close();
  }
}
