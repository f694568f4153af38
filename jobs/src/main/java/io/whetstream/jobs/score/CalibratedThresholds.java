package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind;
import io.whetstream.model.adapter.Calibration;
import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Thresholds of all kinds under one adapter digest: its calibration, refined by what is sampled
 * live. A rate has one threshold for all queries until {@link #settle}.
 *
 * <p>Not thread-safe: one per subtask and digest.
 */
final class CalibratedThresholds {
  private static final int SETTLE_SAMPLES = 2000;

  private final AdapterVersion version;
  private final Map<String, KindThresholds> byName = new HashMap<>();
  private final Map<MatchKind, KindThresholds> byKind = new EnumMap<>(MatchKind.class);
  private final Map<MatchKind, Map<Double, Float>> settled = new EnumMap<>(MatchKind.class);
  private final Map<String, String> remarks = new HashMap<>();
  private long sampled;
  private long sampledAtSettling;

  CalibratedThresholds(AdapterVersion version, Calibration calibration) {
    this.version = version;
    calibration.curves().forEach((kind, known) -> byName.put(kind, new KindThresholds(known)));
    for (MatchKind kind : MatchKind.values()) {
      KindThresholds known = byName.get(name(kind));
      if (known != null) {
        byKind.put(kind, known);
      }
    }
  }

  /** The name under which calibrations list a kind: a cosine does not know which side is which. */
  static String name(MatchKind kind) {
    return (kind == MatchKind.TEXT_IMAGE ? MatchKind.IMAGE_TEXT : kind).label();
  }

  /** Whether there is a calibration for every kind, so that no query is {@link #missing} one. */
  boolean hasAll() {
    return byKind.size() == MatchKind.values().length;
  }

  /** Why a query cannot be used under this adapter, or null if it can. */
  String missing(WatchedQuery query) {
    if (query.minScore() != null) {
      return null;
    }
    for (MatchKind kind : query.kinds()) {
      if (!byKind.containsKey(kind)) {
        return "adapter "
            + version
            + " has no calibration for "
            + name(kind)
            + ": give minScore instead, or wait for an adapter that has one";
      }
    }
    return null;
  }

  /**
   * Says that a rate is finer than any that can be given; null if it is not.
   *
   * @param rate what the query asks for now; null if it has a score
   */
  String tooFine(WatchedQuery query, Double rate) {
    if (rate == null) {
      return null;
    }
    for (MatchKind kind : query.kinds()) {
      KindThresholds known = byKind.get(kind);
      if (!known.supports(rate) && !known.extrapolates(rate)) {
        return (query.maxAlertsPerDay() == null
                ? "maxFalsePositiveRate " + rate
                : "the rate of maxAlertsPerDay " + query.maxAlertsPerDay() + " in this stream")
            + " is finer than the calibration of "
            + name(kind)
            + " under adapter "
            + version
            + " supports; the finest is "
            + offered(known.finestGiven());
      }
    }
    return null;
  }

  /** What has to be said about the thresholds of a query that is not {@link #missing} one. */
  String note(WatchedQuery query, Double rate) {
    if (rate == null) {
      return "";
    }
    String tooFine = tooFine(query, rate);
    if (tooFine != null) {
      return tooFine + ", which is used";
    }
    List<String> notes = new ArrayList<>();
    for (MatchKind kind : query.kinds().stream().sorted().toList()) {
      KindThresholds known = byKind.get(kind);
      if (!known.supports(rate)) {
        notes.add(
            String.format(
                Locale.ROOT,
                "%s: fewer than were measured, so the threshold is extrapolated, +- %.3f (95 %%)",
                name(kind),
                known.uncertainty(rate)));
      }
      String remark = remarks.getOrDefault(name(kind), "");
      if (!remark.isEmpty()) {
        notes.add(name(kind) + ": " + remark);
      }
    }
    return notes.stream().distinct().collect(Collectors.joining("; "));
  }

  /** Notes of many queries, of which most ask for the same. */
  Notes notes() {
    return new Notes();
  }

  /** Valid until {@link #settle} has news. */
  final class Notes {
    private record Asked(Double rate, Double perDay, Set<MatchKind> kinds) {}

    private final Map<Asked, String> known = new HashMap<>();

    String of(WatchedQuery query, Double rate) {
      return rate == null
          ? ""
          : known.computeIfAbsent(
              new Asked(rate, query.maxAlertsPerDay(), query.kinds()), any -> note(query, rate));
    }
  }

  /** A rate in few digits, rounded up: what is offered must be supported. */
  private static String offered(double rate) {
    return BigDecimal.valueOf(rate)
        .round(new MathContext(3, RoundingMode.CEILING))
        .stripTrailingZeros()
        .toPlainString();
  }

  /**
   * The score from which a query matches in one of its kinds. It must not be {@link #missing}.
   *
   * @param rate what the query asks for now; null if it has a score
   */
  float of(WatchedQuery query, MatchKind kind, Double rate) {
    if (rate == null) {
      return query.minScore().floatValue();
    }
    return settled
        .computeIfAbsent(kind, any -> new HashMap<>())
        .computeIfAbsent(rate, asked -> (float) byKind.get(kind).threshold(asked));
  }

  boolean samples(MatchKind kind) {
    return byKind.containsKey(kind);
  }

  /** Adds a live score. */
  void sample(MatchKind kind, float score) {
    byKind.get(kind).sample(score);
    sampled++;
  }

  /** The live samples, for a checkpoint. */
  List<SketchState> sketches() {
    List<SketchState> kept = new ArrayList<>();
    byName.forEach(
        (kind, known) -> kept.add(new SketchState(version.digest(), kind, known.toBytes())));
    return kept;
  }

  /** Adds a sketch from a checkpoint if it is of this digest. */
  void merge(SketchState sketch) {
    KindThresholds known = byName.get(sketch.kind());
    // What was sampled under another digest says nothing about this one.
    if (known != null && sketch.digest().equals(version.digest())) {
      known.merge(sketch.sketch());
    }
  }

  /** Whether enough was sampled since the last {@link #settle} to look again. */
  boolean isDue() {
    return sampled - sampledAtSettling >= SETTLE_SAMPLES;
  }

  /**
   * Lets coming thresholds take all samples into account.
   *
   * @return whether there is something else to say about them than before
   */
  boolean settle() {
    sampledAtSettling = sampled;
    settled.clear();
    boolean news = false;
    for (Map.Entry<String, KindThresholds> each : byName.entrySet()) {
      each.getValue().settle();
      String before = remarks.getOrDefault(each.getKey(), "");
      String now = each.getValue().remark(before);
      news |= !now.equals(before);
      remarks.put(each.getKey(), now);
    }
    return news;
  }

  /** By kind, the share of recent live scores above the calibrated 99.9 % quantile. */
  Map<String, Double> sharesAboveCalibration() {
    Map<String, Double> shares = new HashMap<>();
    byName.forEach((kind, known) -> shares.put(kind, known.shareAboveCalibration()));
    return shares;
  }
}
