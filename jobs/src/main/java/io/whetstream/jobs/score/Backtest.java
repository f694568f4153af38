package io.whetstream.jobs.score;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.model.BadInputException;
import io.whetstream.model.image.ModelImage;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/**
 * Runs queries over the items that are still retained, for the command {@code backtest}: what would
 * have matched, under which adapter. It reads with a consumer of its own, without a group, and
 * writes nothing; the live job does not notice. Not thread-safe.
 */
public final class Backtest implements AutoCloseable {
  private static final int EXAMPLES = 20;

  private final Replay replay;

  /**
   * @param config of the job whose items these are
   */
  public Backtest(ScoreConfig config) {
    this.replay = new Replay(config);
  }

  /**
   * Matches of one query under one adapter.
   *
   * @param queryId the query
   * @param adapterDigest the adapter
   * @param refused why the query cannot be used under this adapter, or an empty text
   * @param thresholds effective, by kind
   * @param items items looked at
   * @param unusable items whose image cannot be had any more or cannot be read, and texts that
   *     cannot be embedded
   * @param matches items that match
   * @param best the matches with the best margin, best first
   */
  public record Result(
      String queryId,
      String adapterDigest,
      String refused,
      Map<String, Double> thresholds,
      long items,
      long unusable,
      long matches,
      List<Example> best) {}

  /**
   * One match.
   *
   * @param kind with the best margin
   * @param score its cosine
   * @param threshold from which it holds
   */
  public record Example(
      String itemId, Coordinates itemAt, String kind, double score, double threshold) {
    private double margin() {
      return score - threshold;
    }
  }

  /** Reads a query as it would be in the topic. */
  public SimilarityQuery parse(byte[] value) {
    return replay.codec(RecordType.QUERY).decode(value, new Coordinates("backtest", 0, 0), 0);
  }

  /**
   * Runs queries over retained items.
   *
   * @param fromMillis timestamp to begin at; 0 for the earliest retained item
   * @param adapters digests, {@code base} among them; empty: the published one
   * @return one result per adapter and query
   */
  public List<Result> run(
      Collection<SimilarityQuery> queries, long fromMillis, Collection<String> adapters) {
    List<AdapterVersion> versions =
        adapters.isEmpty()
            ? List.of(replay.published())
            : adapters.stream().map(digest -> new AdapterVersion(0, 0, digest)).toList();
    List<Result> results = new ArrayList<>();
    for (AdapterVersion version : versions) {
      results.addAll(run(queries, fromMillis, version));
    }
    return results;
  }

  private static final class Tally implements MatchEngine.Events {
    final Map<String, String> refused = new TreeMap<>();
    final Map<String, Map<String, Double>> thresholds = new TreeMap<>();
    final Map<String, Long> matches = new TreeMap<>();
    final Map<String, List<Example>> best = new TreeMap<>();
    long items;
    long unusable;

    @Override
    public void queryAccepted(WatchedQuery query, Map<MatchKind, Double> effective, String note) {
      Map<String, Double> named = new TreeMap<>();
      effective.forEach((kind, threshold) -> named.put(kind.label(), threshold));
      thresholds.put(query.id(), named);
    }

    @Override
    public void queryRefused(WatchedQuery query, String reason) {
      refused.put(query.id(), reason);
    }

    @Override
    public void adapterRefused(AdapterVersion version, String reason) {
      throw new BadInputException("adapter " + version + ": " + reason);
    }

    @Override
    public void flipped(AdapterVersion from, AdapterVersion to, long nanos) {
      throw new IllegalStateException("a backtest has one adapter at a time");
    }

    void add(Item item, MatchEngine.Match match) {
      matches.merge(match.query().id(), 1L, Long::sum);
      MatchEngine.KindScore top = match.scores().get(0);
      List<Example> examples = best.computeIfAbsent(match.query().id(), any -> new ArrayList<>());
      examples.add(
          new Example(item.id(), item.at(), top.kind().label(), top.score(), top.threshold()));
      if (examples.size() > 2 * EXAMPLES) {
        trim(examples);
      }
    }

    static List<Example> trim(List<Example> examples) {
      examples.sort(Comparator.comparingDouble(example -> -example.margin()));
      if (examples.size() > EXAMPLES) {
        examples.subList(EXAMPLES, examples.size()).clear();
      }
      return examples;
    }
  }

  private List<Result> run(
      Collection<SimilarityQuery> queries, long fromMillis, AdapterVersion version) {
    ScoreConfig config = replay.config();
    Tally tally = new Tally();
    MatchEngine.Settings live = config.engineSettings();
    // Thresholds from the calibration alone: the result must not depend on what else is replayed.
    MatchEngine.Settings settings =
        new MatchEngine.Settings(live.batchSize(), live.slice(), live.maxQueries(), 0, 0);
    try (MatchEngine engine =
        MatchEngine.alone(replay.embedder(), settings, wanted -> replay.load(wanted), tally)) {
      engine.start(replay.load(version));
      for (SimilarityQuery query : queries) {
        if (query.maxAlertsPerDay() != null) {
          tally.refused.put(
              query.id(),
              "maxAlertsPerDay depends on how fast the stream runs: try the query with minScore or"
                  + " maxFalsePositiveRate");
          continue;
        }
        try {
          engine.upsert(WatchedQuery.of(replay.withImage(query).join()), false);
        } catch (CompletionException e) {
          tally.refused.put(query.id(), Reasons.of(e));
        }
      }
      while (engine.hasWork()) {
        engine.work();
      }
      List<Item> batch = new ArrayList<>();
      replay.forEach(
          RecordType.ITEM,
          replay.parts().topics().items(),
          fromMillis,
          item -> {
            batch.add(item);
            if (batch.size() >= settings.batchSize()) {
              match(engine, batch, tally);
            }
          });
      match(engine, batch, tally);
    }
    List<Result> results = new ArrayList<>();
    for (SimilarityQuery query : queries) {
      String id = query.id();
      results.add(
          new Result(
              id,
              version.digest(),
              tally.refused.getOrDefault(id, ""),
              tally.thresholds.getOrDefault(id, Map.of()),
              tally.items,
              tally.unusable,
              tally.matches.getOrDefault(id, 0L),
              List.copyOf(Tally.trim(tally.best.getOrDefault(id, new ArrayList<>())))));
    }
    return results;
  }

  private void match(MatchEngine engine, List<Item> batch, Tally tally) {
    List<Item> items = new ArrayList<>();
    List<MatchEngine.Prepared> prepared = new ArrayList<>();
    // Those of a batch are fetched together.
    for (CompletableFuture<Item> whole : batch.stream().map(replay::withImage).toList()) {
      tally.items++;
      try {
        Item item = whole.join();
        ModelImage image =
            item.image() == null
                ? null
                : replay.embedder().image(item.image(), item.at().toString());
        prepared.add(new MatchEngine.Prepared(image, item.text()));
        items.add(item);
      } catch (BadInputException | CompletionException e) {
        tally.unusable++;
      }
    }
    batch.clear();
    if (!items.isEmpty()) {
      MatchEngine.Outcome outcome = engine.match(prepared);
      tally.unusable += outcome.failures().size();
      outcome.matches().forEach(match -> tally.add(items.get(match.item()), match));
    }
  }

  @Override
  public void close() {
    replay.close();
  }
}
