package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.jobs.score.MatchEngine.KindScore;
import io.whetstream.jobs.score.MatchEngine.Match;
import io.whetstream.jobs.score.MatchEngine.Outcome;
import io.whetstream.jobs.score.MatchEngine.Prepared;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.Calibration;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MatchEngineTest {
  private static final MatchEngine.Settings SETTINGS = new MatchEngine.Settings(8, 4, 100, 2, 16);

  private final WordEmbedder embedder = new WordEmbedder();
  private final WatchlistTable table = new WatchlistTable(WordEmbedder.DIMENSION);
  private final IdleCores cores = new IdleCores(2);
  private final MatrixProduct product = new MatrixProduct(WordEmbedder.DIMENSION, cores);
  private final Map<Long, Calibration> calibrations = new HashMap<>();
  private final Set<Long> corrupt = new HashSet<>();
  private final Set<Long> notAnswered = new HashSet<>();
  private final Recorder events = new Recorder();
  private VectorSpill spill;
  private final MatchEngine engine = newEngine(events);

  private static final class Recorder implements MatchEngine.Events {
    final Map<String, Map<MatchKind, Double>> accepted = new HashMap<>();
    final Map<String, String> notes = new HashMap<>();
    final Map<String, String> refused = new HashMap<>();
    final Map<AdapterVersion, String> refusedAdapters = new HashMap<>();
    final List<AdapterVersion> flips = new ArrayList<>();

    @Override
    public void queryAccepted(WatchedQuery query, Map<MatchKind, Double> thresholds, String note) {
      accepted.put(query.id(), thresholds);
      notes.put(query.id(), note);
    }

    @Override
    public void queryRefused(WatchedQuery query, String reason) {
      refused.put(query.id(), reason);
    }

    @Override
    public void adapterRefused(AdapterVersion version, String reason) {
      refusedAdapters.put(version, reason);
    }

    @Override
    public void flipped(AdapterVersion from, AdapterVersion to, long nanos) {
      flips.add(to);
    }
  }

  private MatchEngine newEngine(MatchEngine.Events to) {
    return new MatchEngine(
        embedder, table, product, spill, SETTINGS, wanted -> load(wanted.n()), Runnable::run, to);
  }

  private LoadedAdapter load(long n) {
    if (corrupt.contains(n)) {
      throw new BadInputException("a bit is wrong");
    }
    if (notAnswered.remove(n)) {
      throw new UncheckedIOException("the store does not answer", new IOException());
    }
    AdapterVersion version = WordEmbedder.version(n);
    return new LoadedAdapter(
        version, embedder.handle(version.digest()), calibrations.getOrDefault(n, Calibration.NONE));
  }

  @AfterEach
  void nothingIsLeftOpen() {
    engine.close();
    product.close();
    cores.close();
    assertEquals(0, embedder.openHandles.get());
    assertEquals(0, table.openDigests());
    assertEquals(0, table.size(MatchKind.Side.TEXT));
    assertEquals(0, table.size(MatchKind.Side.IMAGE));
  }

  private static WatchedQuery query(String id, long revision, String text, Double minScore) {
    return query(id, revision, text, minScore, minScore == null ? 0.01 : null);
  }

  private static WatchedQuery query(
      String id, long revision, String text, Double minScore, Double rate) {
    return query(id, revision, text, minScore, rate, List.of());
  }

  private static WatchedQuery query(
      String id, long revision, String text, Double minScore, Double rate, List<String> unlike) {
    return new WatchedQuery(
        id,
        revision,
        new Coordinates("queries", 0, revision),
        text,
        null,
        Set.of(MatchKind.TEXT_TEXT),
        unlike,
        minScore,
        rate,
        null);
  }

  private static Calibration calibration() {
    return calibration(10_000);
  }

  /** Of so many non-matching texts 0.1 % above 0.7, 1 % above 0.5. */
  private static Calibration calibration(long samples) {
    return new Calibration(
        new TreeMap<>(
            Map.of(
                "text-text",
                new Calibration.Curve(
                    samples, List.of(0.001, 0.01, 0.5, 1.0), List.of(0.7, 0.5, 0.1, -0.2)))));
  }

  private void workUntilIdle(MatchEngine each) {
    for (int i = 0; i < 1000 && each.hasWork(); i++) {
      each.work();
    }
    assertFalse(each.hasWork());
  }

  private static List<Prepared> texts(String... texts) {
    return Arrays.stream(texts).map(text -> new Prepared(null, text)).toList();
  }

  private static float score(String digest, String left, String right) {
    return MatchEngine.dot(WordEmbedder.vector(digest, left), WordEmbedder.vector(digest, right));
  }

  @Test
  void raisesWhatReachesTheThresholdAndNothingElse() {
    engine.start(load(1));
    engine.upsert(query("dogs", 1, "two dogs", 0.9), false);
    engine.upsert(query("cats", 2, "three cats", 0.9), false);
    workUntilIdle(engine);
    Outcome outcome = engine.match(texts("two dogs", "a house", "three cats"));
    assertEquals(2, outcome.matches().size());
    Match dogs = outcome.matches().get(0);
    assertEquals("dogs", dogs.query().id());
    assertEquals(0, dogs.item());
    assertEquals(1f, dogs.scores().get(0).score(), 1e-6);
    assertEquals("cats", dogs.nearest().get(0).queryId());
    assertEquals("cats", outcome.matches().get(1).query().id());
    assertEquals(2, outcome.matches().get(1).item());
  }

  /** "two red dogs" is nearer to "two big dogs" than many a text, but nearer still to itself. */
  @Test
  void whatScoresHigherWithATextItMustBeLessLikeIsNoMatch() {
    engine.start(load(1));
    engine.upsert(query("any", 1, "two big dogs", 0.3), false);
    engine.upsert(query("one", 2, "two big dogs", 0.3, null, List.of("two red dogs")), false);
    workUntilIdle(engine);
    Outcome outcome = engine.match(texts("two red dogs", "two big dogs", "two big old dogs"));
    Map<Integer, List<String>> found = new TreeMap<>();
    for (Match match : outcome.matches()) {
      found.computeIfAbsent(match.item(), any -> new ArrayList<>()).add(match.query().id());
    }
    assertEquals(
        Map.of(0, List.of("any"), 1, List.of("any", "one"), 2, List.of("any", "one")), found);
    String digest = WordEmbedder.digest(1);
    for (Match match : outcome.matches()) {
      float other =
          score(digest, match.item() == 1 ? "two big dogs" : "two big old dogs", "two red dogs");
      assertEquals(
          match.query().id().equals("any") ? 0.3f : Math.max(0.3f, other),
          match.scores().get(0).threshold(),
          1e-6,
          match.toString());
    }
  }

  @Test
  void textsThatItemsMustBeLessLikeAreEmbeddedAnewWithTheQueryAndLetGoWithIt() {
    calibrations.put(1L, calibration());
    calibrations.put(2L, calibration());
    engine.start(load(1));
    List<String> unlike = List.of("two red dogs", "two old dogs", "two wet dogs", "no dogs");
    engine.upsert(query("one", 2, "two big dogs", null, 0.01, unlike), false);
    // Watched for by one query and not wanted by the other: one row.
    engine.upsert(query("red", 3, "two red dogs", null, 0.01), false);
    workUntilIdle(engine);
    assertEquals(5, table.size(MatchKind.Side.TEXT));
    engine.switchTo(WordEmbedder.version(2));
    workUntilIdle(engine);
    assertEquals(WordEmbedder.version(2), engine.serving());
    List<Match> matches = engine.match(texts("two red dogs", "two big dogs")).matches();
    // "two big dogs" is near enough to "two red dogs", but not the other way round.
    assertEquals(
        List.of("0 red", "1 one", "1 red"),
        matches.stream().map(m -> m.item() + " " + m.query().id()).toList());
    assertEquals(
        Math.max(
            0.5f,
            unlike.stream()
                .map(text -> score(WordEmbedder.digest(2), "two big dogs", text))
                .reduce(-1f, Math::max)),
        matches.get(1).scores().get(0).threshold(),
        1e-6);
    // Once it is not named any more it must not count any more.
    engine.upsert(query("one", 4, "two big dogs", -1.0), false);
    workUntilIdle(engine);
    assertEquals(2, table.size(MatchKind.Side.TEXT));
    assertEquals(2, engine.match(texts("two red dogs")).matches().size());
    engine.remove("red");
    engine.remove("one");
    assertEquals(0, table.size(MatchKind.Side.TEXT));
  }

  @Test
  void aTextToBeLessLikeThatCannotBeEmbeddedRefusesTheQueryWithTheReason() {
    engine.start(load(1));
    engine.upsert(query("one", 1, "two big dogs", 0.3, null, List.of("unreadable")), false);
    workUntilIdle(engine);
    assertEquals(0, engine.activeQueries());
    assertTrue(events.refused.get("one").contains("unreadable"), events.refused.toString());
  }

  @Test
  void comparesOnlyTheKindsAQueryAsksFor() {
    engine.start(load(1));
    byte[] picture = "a picture".getBytes(StandardCharsets.UTF_8);
    engine.upsert(
        new WatchedQuery(
            "both",
            1,
            new Coordinates("queries", 0, 1),
            "a picture",
            picture,
            Set.of(MatchKind.IMAGE_IMAGE, MatchKind.IMAGE_TEXT),
            List.of(),
            0.9,
            null,
            null),
        false);
    workUntilIdle(engine);
    assertEquals(List.of(), engine.match(texts("a picture")).matches());
    Match match =
        engine
            .match(List.of(new Prepared(embedder.image(picture, ""), "something else")))
            .matches()
            .get(0);
    assertEquals(
        Set.of(MatchKind.IMAGE_IMAGE, MatchKind.IMAGE_TEXT),
        Set.copyOf(match.scores().stream().map(KindScore::kind).toList()));
  }

  @Test
  void everyScoreOfAMicroBatchIsOfTheDigestItCarriesWhileAdaptersChange() {
    Random random = new Random(4);
    engine.start(load(1));
    for (int i = 0; i < 40; i++) {
      engine.upsert(query("q" + i, i, "word" + i + " thing" + i % 7, -1.0), false);
    }
    workUntilIdle(engine);
    long next = 2;
    int during = 0;
    for (int turn = 0; turn < 400; turn++) {
      if (random.nextInt(5) == 0) {
        engine.switchTo(WordEmbedder.version(next++));
      }
      if (random.nextInt(4) == 0) {
        int i = random.nextInt(40);
        engine.upsert(query("q" + i, 100 + turn, "word" + turn + " thing" + i % 7, -1.0), false);
      }
      engine.work();
      during += engine.hasWork() ? 1 : 0;
      String text = "word" + random.nextInt(400) + " thing" + random.nextInt(7);
      Outcome outcome = engine.match(texts(text));
      assertEquals(40, outcome.matches().size());
      for (Match match : outcome.matches()) {
        assertEquals(
            score(outcome.version().digest(), text, match.query().text()),
            match.scores().get(0).score(),
            1e-5);
      }
    }
    assertTrue(during > 100, "the test must match in the middle of re-embeddings: " + during);
    workUntilIdle(engine);
    assertEquals(WordEmbedder.version(next - 1), engine.serving());
    assertTrue(events.flips.size() < next, "only the newest announcement waits");
    assertEquals(1, embedder.openHandles.get());
  }

  /**
   * Counter-test of the one before: scores across two digests are far off, so mixing would show.
   */
  @Test
  void aScoreAcrossTwoDigestsIsVisiblyWrong() {
    float mixed =
        MatchEngine.dot(
            WordEmbedder.vector(WordEmbedder.digest(1), "two dogs"),
            WordEmbedder.vector(WordEmbedder.digest(2), "two dogs"));
    assertTrue(Math.abs(1 - mixed) > 0.2);
  }

  @Test
  void theOldAdapterServesUntilTheWholeWatchlistIsEmbeddedUnderTheNewOne() {
    engine.start(load(1));
    for (int i = 0; i < 10; i++) {
      engine.upsert(query("q" + i, i, "word" + i, 0.9), false);
    }
    workUntilIdle(engine);
    engine.switchTo(WordEmbedder.version(2));
    int slices = 0;
    while (engine.serving().n() == 1) {
      assertEquals(1, engine.match(texts("word3")).matches().size());
      engine.work();
      slices++;
    }
    assertTrue(slices >= 10 / SETTINGS.slice(), "in slices: " + slices);
    assertEquals(1, engine.match(texts("word3")).matches().size());
  }

  @Test
  void subtasksShareVectorsAndFlipByThemselves() {
    Recorder others = new Recorder();
    MatchEngine second = newEngine(others);
    engine.start(load(1));
    second.start(load(1));
    for (MatchEngine each : List.of(engine, second)) {
      for (int i = 0; i < 10; i++) {
        each.upsert(query("q" + i, i, "word" + i, 0.9), false);
      }
      workUntilIdle(each);
    }
    assertEquals(10, embedder.embeddedTexts.get());
    engine.switchTo(WordEmbedder.version(2));
    workUntilIdle(engine);
    assertEquals(2, engine.serving().n());
    assertEquals(1, second.serving().n());
    assertEquals(WordEmbedder.digest(1), second.match(texts("word3")).version().digest());
    second.switchTo(WordEmbedder.version(2));
    workUntilIdle(second);
    assertEquals(2, second.serving().n());
    assertEquals(
        20 + 1, embedder.embeddedTexts.get(), "the second subtask embeds its item, nothing else");
    second.close();
  }

  @Test
  void anAdapterWhoseStoreDoesNotAnswerIsAskedForAgainAndTheOldOneServesMeanwhile() {
    notAnswered.add(2L);
    engine.start(load(1));
    engine.upsert(query("q", 1, "dogs", 0.9), false);
    engine.switchTo(WordEmbedder.version(2));
    for (int i = 0; i < 100; i++) {
      engine.work();
    }
    assertEquals(1, engine.serving().n());
    assertEquals(1, engine.match(texts("dogs")).matches().size());
    assertEquals("the store does not answer", events.refusedAdapters.get(WordEmbedder.version(2)));
    long end = System.nanoTime() + 4 * AdapterChange.RETRY.toNanos();
    while (engine.hasWork() && System.nanoTime() < end) {
      engine.work();
      LockSupport.parkNanos(1_000_000);
    }
    assertEquals(2, engine.serving().n());

    // Another one that is wanted does not wait for that.
    notAnswered.add(3L);
    engine.switchTo(WordEmbedder.version(3));
    engine.work();
    engine.work();
    engine.switchTo(WordEmbedder.version(4));
    workUntilIdle(engine);
    assertEquals(4, engine.serving().n());
  }

  @Test
  void anAdapterThatCannotBeUsedIsRefusedAndTheOldOneServes() {
    corrupt.add(2L);
    engine.start(load(1));
    engine.upsert(query("q", 1, "sometimes dogs", 0.9), false);
    workUntilIdle(engine);
    engine.switchTo(WordEmbedder.version(2));
    workUntilIdle(engine);
    assertEquals("a bit is wrong", events.refusedAdapters.get(WordEmbedder.version(2)));
    // This one embeds a query to something not finite.
    engine.switchTo(WordEmbedder.version(13));
    workUntilIdle(engine);
    assertTrue(events.refusedAdapters.get(WordEmbedder.version(13)).contains("not finite"));
    assertEquals(1, engine.serving().n());
    assertEquals(1, engine.match(texts("sometimes dogs")).matches().size());
  }

  @Test
  void aRollbackGivesUpTheReEmbeddingInProgress() {
    engine.start(load(1));
    for (int i = 0; i < 10; i++) {
      engine.upsert(query("q" + i, i, "word" + i, 0.9), false);
    }
    workUntilIdle(engine);
    engine.switchTo(WordEmbedder.version(2));
    engine.work();
    engine.work();
    engine.switchNow(WordEmbedder.version(1));
    assertFalse(engine.hasWork());
    assertEquals(1, embedder.openHandles.get());
    engine.switchNow(WordEmbedder.version(3));
    workUntilIdle(engine);
    assertEquals(List.of(WordEmbedder.version(3)), events.flips);
  }

  @Test
  void aQueryThatCannotBeEmbeddedIsRefusedAndItsNeighboursAreNot() {
    engine.start(load(1));
    engine.upsert(query("good", 1, "two dogs", 0.9), false);
    engine.upsert(query("bad", 2, "unreadable dogs", 0.9), false);
    engine.upsert(query("nan", 3, "infinite dogs", 0.9), false);
    workUntilIdle(engine);
    assertEquals(Set.of("good"), events.accepted.keySet());
    assertEquals("the text holds an unreadable word", events.refused.get("bad"));
    assertEquals("the embedding is not finite", events.refused.get("nan"));
  }

  /** However long a content takes, items do not wait for a slice of many. */
  @Test
  void aSliceOfReEmbeddingIsBoundedByTime() {
    MatchEngine slow =
        new MatchEngine(
            embedder,
            table,
            product,
            null,
            new MatchEngine.Settings(8, 64, 1000, 2, 16),
            wanted -> load(wanted.n()),
            Runnable::run,
            events);
    slow.start(load(1));
    for (int i = 0; i < 60; i++) {
      slow.upsert(query("q" + i, i, "word" + i, 0.9), false);
    }
    workUntilIdle(slow);
    embedder.nanosPerText = 5_000_000;
    slow.switchTo(WordEmbedder.version(2));
    int slices = 0;
    while (slow.hasWork()) {
      int before = embedder.embeddedTexts.get();
      slow.work();
      int embedded = embedder.embeddedTexts.get() - before;
      slices += embedded > 0 ? 1 : 0;
      // Four of 5 ms in 20 ms; those at first are not known.
      assertTrue(slices <= 3 || embedded <= 4, embedded + " in slice " + slices);
    }
    embedder.nanosPerText = 0;
    assertEquals(2, slow.serving().n());
    slow.close();
  }

  /** As when the device is out of memory: nothing is wrong with the query or the adapter. */
  @Test
  void whatFailsForAnotherReasonThanBadInputIsTriedAgain() {
    engine.start(load(1));
    embedder.failures.set(2);
    engine.upsert(query("q", 1, "dogs", 0.9), false);
    engine.upsert(query("other", 1, "cats", 0.9), false);
    awaitIdle();
    assertEquals(Map.of(), events.refused);
    assertEquals(2, engine.activeQueries());
    embedder.failures.set(1);
    engine.switchTo(WordEmbedder.version(2));
    awaitIdle();
    assertEquals(Map.of(), events.refusedAdapters);
    assertEquals(2, engine.serving().n());
    assertEquals(0, embedder.failures.get());
  }

  private void awaitIdle() {
    long end = System.nanoTime() + 4 * AdapterChange.RETRY.toNanos();
    while (engine.hasWork() && System.nanoTime() < end) {
      engine.work();
      LockSupport.parkNanos(1_000_000);
    }
  }

  @Test
  void anItemThatCannotBeEmbeddedDoesNotCostItsNeighbours() {
    engine.start(load(1));
    engine.upsert(query("q", 1, "two dogs", 0.9), false);
    workUntilIdle(engine);
    Outcome outcome = engine.match(texts("two dogs", "unreadable", "infinite", "two dogs"));
    assertEquals(List.of(0, 3), outcome.matches().stream().map(Match::item).toList());
    assertEquals(
        List.of(1, 2), outcome.failures().stream().map(MatchEngine.Failure::item).toList());
  }

  @Test
  void aChangedQueryReplacesTheFormerRevisionAndARemovedOneIsGone() {
    engine.start(load(1));
    engine.upsert(query("q", 1, "two dogs", 0.9), false);
    workUntilIdle(engine);
    engine.upsert(query("q", 2, "three cats", 0.9), false);
    assertEquals(1, engine.match(texts("two dogs")).matches().size());
    workUntilIdle(engine);
    Outcome outcome = engine.match(texts("two dogs", "three cats"));
    assertEquals(List.of(1), outcome.matches().stream().map(Match::item).toList());
    engine.remove("q");
    assertEquals(List.of(), engine.match(texts("three cats")).matches());
  }

  @Test
  void refusesARateThatTheCalibrationDoesNotSupportAndOffersTheFinest() {
    calibrations.put(1L, calibration());
    engine.start(load(1));
    engine.upsert(query("fine", 1, "two dogs", null, 1e-4), false);
    engine.upsert(query("kept", 2, "four dogs", null, 1e-4), true);
    engine.upsert(query("coarse", 3, "three cats", null, 0.01), false);
    workUntilIdle(engine);
    assertTrue(events.refused.get("fine").contains("the finest is 0.002"));
    assertEquals(0.5, events.accepted.get("coarse").get(MatchKind.TEXT_TEXT), 1e-6);
    assertTrue(events.accepted.containsKey("kept"), "what was accepted before a restart stays");
  }

  @Test
  void theFinestRateIsOfferedInFewDigitsAndIsAcceptedAsOffered() {
    calibrations.put(1L, calibration(6_216));
    engine.start(load(1));
    engine.upsert(query("fine", 1, "two dogs", null, 1e-4), false);
    workUntilIdle(engine);
    assertTrue(events.refused.get("fine").endsWith("the finest is 0.00322"));
    engine.upsert(query("fine", 2, "two dogs", null, 0.00322), false);
    workUntilIdle(engine);
    assertTrue(events.accepted.containsKey("fine"));
  }

  @Test
  void aRateNeedsACalibrationAndIsAskedAgainWhenOneComes() {
    calibrations.put(2L, calibration());
    engine.start(load(1));
    engine.upsert(query("rate", 1, "two dogs", null, 0.01), false);
    workUntilIdle(engine);
    assertTrue(events.refused.get("rate").contains("no calibration"));
    engine.switchTo(WordEmbedder.version(2));
    workUntilIdle(engine);
    assertEquals(0.5, events.accepted.get("rate").get(MatchKind.TEXT_TEXT), 1e-6);
    engine.switchTo(WordEmbedder.version(3));
    events.refused.clear();
    workUntilIdle(engine);
    assertTrue(events.refused.get("rate").contains("no calibration"));
    assertNotEquals(0, engine.serving().n());
  }

  @Test
  void aRateThatTheNextAdapterSupportsLessFinelyIsSaidAndSoIsItsReturn() {
    calibrations.put(1L, calibration(100_000));
    calibrations.put(2L, calibration(10_000));
    calibrations.put(3L, calibration(100_000));
    engine.start(load(1));
    engine.upsert(query("fine", 1, "two dogs", null, 0.001), false);
    engine.upsert(query("coarse", 2, "three cats", null, 0.01), false);
    workUntilIdle(engine);
    assertEquals("", events.notes.get("fine"));
    events.notes.clear();
    engine.switchTo(WordEmbedder.version(2));
    workUntilIdle(engine);
    assertEquals(Set.of("fine"), events.notes.keySet(), "only what changed is said");
    assertTrue(events.notes.get("fine").endsWith("the finest is 0.002, which is used"));
    assertTrue(events.accepted.get("fine").get(MatchKind.TEXT_TEXT) < 0.7);
    engine.switchTo(WordEmbedder.version(3));
    workUntilIdle(engine);
    assertEquals("", events.notes.get("fine"));
    assertEquals(0.7, events.accepted.get("fine").get(MatchKind.TEXT_TEXT), 1e-6);
  }

  @Test
  void aRateThatWasTooFineIsAskedAgainUnderTheNextAdapter() {
    calibrations.put(1L, calibration(10_000));
    calibrations.put(2L, calibration(100_000));
    engine.start(load(1));
    engine.upsert(query("fine", 1, "two dogs", null, 0.001), false);
    workUntilIdle(engine);
    assertTrue(events.refused.get("fine").contains("the finest is 0.002"));
    assertEquals(List.of(), engine.match(texts("two dogs")).matches());
    engine.switchTo(WordEmbedder.version(2));
    workUntilIdle(engine);
    assertEquals(0.7, events.accepted.get("fine").get(MatchKind.TEXT_TEXT), 1e-6);
    assertEquals(1, engine.match(texts("two dogs")).matches().size());
  }

  @Test
  void aFullWatchlistRefusesFurtherQueries() {
    engine.start(load(1));
    for (int i = 0; i <= SETTINGS.maxQueries(); i++) {
      engine.upsert(query("q" + i, i, "word" + i, 0.9), false);
    }
    workUntilIdle(engine);
    assertEquals(SETTINGS.maxQueries(), events.accepted.size());
    assertTrue(events.refused.get("q100").contains("watchlist.maxQueries"));
  }

  @Test
  void aRestartTakesVectorsFromTheSpillInsteadOfEmbeddingAgain(@TempDir Path directory) {
    engine.start(load(1));
    spill = VectorSpill.open(directory, embedder.baseDigest(), WordEmbedder.DIMENSION);
    for (int run = 0; run < 2; run++) {
      MatchEngine each = newEngine(events);
      each.start(load(1));
      for (int i = 0; i < 10; i++) {
        each.upsert(query("q" + i, i, "word" + i, 0.9), false);
      }
      workUntilIdle(each);
      assertEquals(1, each.match(texts("word3")).matches().size());
      each.close();
    }
    assertEquals(10 + 2, embedder.embeddedTexts.get(), "two items and each query once");
    spill.close();
  }

  @Test
  void manyRowsSpanSlabs() {
    MatchEngine large =
        new MatchEngine(
            embedder,
            table,
            product,
            spill,
            new MatchEngine.Settings(8, 500, 5000, 2, 16),
            wanted -> load(wanted.n()),
            Runnable::run,
            events);
    large.start(load(1));
    for (int i = 0; i < 3000; i++) {
      large.upsert(query("q" + i, i, "word" + i, 0.99), false);
    }
    workUntilIdle(large);
    Outcome outcome = large.match(texts("word7", "word1024", "word2999"));
    assertEquals(
        List.of("q7", "q1024", "q2999"),
        outcome.matches().stream().map(match -> match.query().id()).toList());
    large.close();
  }
}
