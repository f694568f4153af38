package io.whetstream.jobs.finetune;

import static io.whetstream.jobs.finetune.Pairs.mining;
import static io.whetstream.jobs.finetune.Pairs.pair;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.config.ByteSize;
import io.whetstream.jobs.finetune.MiningSettings.Mode;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.runtime.state.StateBackend;
import org.apache.flink.runtime.state.hashmap.HashMapStateBackend;
import org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

class HardNegativeMinerTest {
  private static final int DIMENSION = 16;

  /** The operator on RocksDB. */
  private static final class Miner implements AutoCloseable {
    private final KeyedOneInputStreamOperatorTestHarness<Integer, MinedPair, PairGroup> harness;
    private final HardNegativeMiner miner;

    Miner(MiningSettings settings, double heldOut, boolean deterministic) throws Exception {
      this(settings, heldOut, deterministic, null, new EmbeddedRocksDBStateBackend(true));
    }

    Miner(
        MiningSettings settings,
        double heldOut,
        boolean deterministic,
        OperatorSubtaskState restored,
        StateBackend backend)
        throws Exception {
      harness =
          new KeyedOneInputStreamOperatorTestHarness<>(
              new MinerOperator(miner = new HardNegativeMiner(settings, heldOut, deterministic)),
              MinedPair::bucket,
              Types.INT);
      harness.setStateBackend(backend);
      harness.setup(
          StreamTypes.GROUP.createSerializer(harness.getExecutionConfig().getSerializerConfig()));
      if (restored != null) {
        harness.initializeState(restored);
      }
      harness.open();
    }

    void add(MinedPair pair) throws Exception {
      harness.processElement(pair, pair.eventTime());
    }

    List<PairGroup> groups() {
      return harness.extractOutputValues();
    }

    @Override
    public void close() throws Exception {
      harness.close();
    }
  }

  private static List<String> ids(PairGroup group) {
    return group.pairs().stream().map(MinedPair::id).toList();
  }

  private static float[] angle(double degrees) {
    double radians = Math.toRadians(degrees);
    return new float[] {(float) Math.cos(radians), (float) Math.sin(radians)};
  }

  private static List<MinedPair> stream(int count, int buckets, long seed) {
    Random random = new Random(seed);
    List<MinedPair> pairs = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      pairs.add(pair("p" + i, random.nextInt(buckets), i * 10L, Pairs.unit(random, DIMENSION)));
    }
    return pairs;
  }

  @Test
  void aFullBucketClosesItsTightestGroup() throws Exception {
    try (Miner miner = new Miner(mining(), 0, false)) {
      double[] angles = {0, 90, 20, 120, 35, 160, 60, 180};
      for (int i = 0; i < angles.length; i++) {
        assertTrue(miner.groups().isEmpty());
        miner.add(pair("p" + i, 0, i, angle(angles[i])));
      }
      assertEquals(1, miner.groups().size());
      assertEquals(List.of("p4", "p2", "p0", "p6"), ids(miner.groups().get(0)));
      assertEquals(4, miner.groups().get(0).fresh());
    }
  }

  @Test
  void aPairWhoseTimeHasComeLeavesOthersTheirNearest() throws Exception {
    MiningSettings pairs = mining(Mode.HARD, 2, 8, 0, ByteSize.ofMega(1), ByteSize.ofMega(1));
    try (Miner miner = new Miner(pairs, 0, false)) {
      miner.add(pair("due", 0, 0, angle(0)));
      miner.add(pair("one-of-two", 0, 5_000, angle(40)));
      miner.add(pair("other-of-two", 0, 5_000, angle(50)));
      miner.add(pair("alone", 0, 5_000, angle(-50)));
      miner.harness.processWatermark(10_000);
      assertEquals(List.of("due", "alone"), ids(miner.groups().get(0)));
    }
  }

  @Test
  void noPairWaitsForMoreThanTwiceTheCandidates() throws Exception {
    try (Miner miner = new Miner(mining(), 0, false)) {
      miner.add(pair("alone", 0, 0, angle(180)));
      Random random = new Random(3);
      int later = 0;
      while (miner.groups().stream().noneMatch(group -> ids(group).contains("alone"))) {
        miner.add(pair("p" + later++, 0, 0, angle(90 * random.nextDouble())));
        assertTrue(later <= 2 * mining().candidates() + mining().groupSize(), "still there");
      }
      assertTrue(later > mining().candidates(), "left with the first group");
    }
  }

  @Test
  void whatBelongsTogetherIsFoundAmongUnrelatedPairs() throws Exception {
    int hard = groupsFoundWhole(Mode.HARD);
    assertTrue(hard > 110, hard + " of 160 groups were found whole");
    int random = groupsFoundWhole(Mode.RANDOM);
    assertTrue(random < 10, random + " of 160 groups were found whole at random");
  }

  /** Half of the stream belongs to 160 groups of four, spread; half to nothing. */
  private static int groupsFoundWhole(Mode mode) throws Exception {
    Random random = new Random(8);
    List<MinedPair> pairs = new ArrayList<>();
    for (int window = 0; window < 40; window++) {
      List<MinedPair> mixed = new ArrayList<>();
      for (int g = 0; g < 4; g++) {
        float[] centre = Pairs.unit(random, DIMENSION);
        for (int i = 0; i < 4; i++) {
          float[] noise = Pairs.unit(random, DIMENSION);
          float[] vector = centre.clone();
          for (int d = 0; d < DIMENSION; d++) {
            vector[d] += 0.4f * noise[d];
          }
          mixed.add(pair(window + "." + g + "." + i, 0, window, vector));
          mixed.add(pair(window + ".x." + g + "." + i, 0, window, Pairs.unit(random, DIMENSION)));
        }
      }
      Collections.shuffle(mixed, random);
      pairs.addAll(mixed);
    }
    int whole = 0;
    MiningSettings settings = mining(mode, 4, 64, 0, ByteSize.ofMega(1), ByteSize.ofMega(1));
    try (Miner miner = new Miner(settings, 0, false)) {
      for (MinedPair pair : pairs) {
        miner.add(pair);
      }
      miner.harness.processWatermark(Long.MAX_VALUE);
      for (PairGroup group : miner.groups()) {
        Map<String, Long> families =
            ids(group).stream()
                .filter(id -> !id.contains("x"))
                .collect(
                    Collectors.groupingBy(
                        id -> id.substring(0, id.lastIndexOf('.')), Collectors.counting()));
        whole += (int) families.values().stream().filter(count -> count == 4).count();
      }
    }
    return whole;
  }

  @Test
  void randomModeTakesPairsAsTheyCome() throws Exception {
    MiningSettings random = mining(Mode.RANDOM, 4, 8, 0, ByteSize.ofMega(1), ByteSize.ofMega(1));
    try (Miner miner = new Miner(random, 0, false)) {
      double[] angles = {0, 90, 20, 120, 40, 160, 60, 180};
      for (int i = 0; i < angles.length; i++) {
        miner.add(pair("p" + i, 0, i, angle(angles[i])));
      }
      assertEquals(List.of("p0", "p1", "p2", "p3"), ids(miner.groups().get(0)));
    }
  }

  private static MiningSettings captions(double weight) {
    return mining(Mode.HARD, 2, 4, weight, 0, ByteSize.ofMega(1), ByteSize.ofMega(1));
  }

  private static List<List<String>> groupsWithCaptions(double weight) throws Exception {
    try (Miner miner = new Miner(captions(weight), 0, false)) {
      miner.add(pair("a", 0, 0, "1", "a red circle above a blue square", angle(0)));
      miner.add(pair("b", 0, 1, "2", "two dogs on the lawn", angle(20)));
      miner.add(pair("c", 0, 2, "3", "a blue square above a red circle", angle(45)));
      miner.add(pair("d", 0, 3, "4", "rain in the harbour", angle(170)));
      return miner.groups().stream().map(HardNegativeMinerTest::ids).toList();
    }
  }

  @Test
  void captionsCountInWhatIsNearAsMuchAsTheyAreGivenWeight() throws Exception {
    assertEquals(Set.of("a", "b"), Set.copyOf(groupsWithCaptions(0).get(0)));
    assertEquals(Set.of("a", "c"), Set.copyOf(groupsWithCaptions(1).get(0)));
  }

  @Test
  void otherWordsDoNotMakeTheSamePictureANegative() throws Exception {
    MiningSettings settings = mining(Mode.HARD, 2, 3, 1, 0, ByteSize.ofMega(1), ByteSize.ofMega(1));
    try (Miner miner = new Miner(settings, 0, false)) {
      miner.add(pair("picture", 0, 0, "1", "a red circle above a blue square", angle(0)));
      miner.add(pair("again", 0, 1, "2", "a red circle over a blue square", angle(1)));
      miner.add(pair("other", 0, 2, "3", "a red circle above a blue star", angle(60)));
      assertEquals(1, miner.groups().size());
      assertTrue(ids(miner.groups().get(0)).contains("other"));
    }
  }

  @Test
  void likelyFalseNegativesNeverShareAGroup() throws Exception {
    try (Miner miner = new Miner(mining(), 0, false)) {
      miner.add(pair("anchor", 0, 0, "image", "caption", angle(0)));
      miner.add(pair("same-image", 0, 1, "image", "other words", angle(10)));
      miner.add(pair("same-caption", 0, 2, "another image", "caption", angle(11)));
      miner.add(pair("too-similar", 0, 3, angle(1)));
      miner.add(pair("near", 0, 4, angle(30)));
      miner.add(pair("twin-of-near", 0, 5, angle(31)));
      miner.add(pair("far", 0, 6, angle(90)));
      miner.add(pair("farther", 0, 7, angle(120)));
      // The ones left out are not lost: event time brings each into a later group.
      miner.harness.processWatermark(Long.MAX_VALUE);
      Set<String> seen = new TreeSet<>();
      for (PairGroup group : miner.groups()) {
        seen.addAll(ids(group));
        for (String likely : List.of("same-image", "same-caption", "too-similar")) {
          assertFalse(ids(group).containsAll(List.of("anchor", likely)), ids(group).toString());
        }
        assertFalse(ids(group).containsAll(List.of("near", "twin-of-near")), ids(group).toString());
      }
      assertEquals(8, seen.size());
      assertEquals(4, miner.groups().get(0).pairs().size());
    }
  }

  @Test
  void eventTimeClosesAnIncompleteGroupAndAStrangeTimestampHoldsNobodyBack() throws Exception {
    try (Miner miner = new Miner(mining(), 0, false)) {
      miner.add(pair("from-the-future", 0, Long.MAX_VALUE, angle(120)));
      miner.add(pair("b", 0, 1_000, angle(0)));
      miner.add(pair("c", 0, 2_000, angle(20)));
      miner.harness.processWatermark(10_999);
      assertTrue(miner.groups().isEmpty());
      miner.harness.processWatermark(11_000);
      assertEquals(
          List.of(List.of("b", "c", "from-the-future")),
          miner.groups().stream().map(HardNegativeMinerTest::ids).toList());
    }
  }

  @Test
  void silenceEmptiesBucketsUnlessDeterministic() throws Exception {
    for (boolean deterministic : new boolean[] {false, true}) {
      try (Miner miner = new Miner(mining(), 0, deterministic)) {
        miner.harness.setProcessingTime(1_000);
        miner.add(pair("a", 0, 1, angle(0)));
        miner.harness.setProcessingTime(4_000);
        miner.add(pair("b", 1, 2, angle(0)));
        miner.harness.setProcessingTime(8_999);
        assertEquals(0, miner.groups().size());
        miner.harness.setProcessingTime(9_000);
        assertEquals(deterministic ? 0 : 2, miner.groups().size());
      }
    }
  }

  @Test
  void theUsualGapOfASlowStreamIsNoSilence() throws Exception {
    MiningSettings slow = FineTuneConfig.defaults().mining();
    try (Miner miner = new Miner(slow, 0, false)) {
      // One pair every fifteen seconds, and a flush after ten: the first few leave.
      long now = 1_000;
      for (int i = 0; i < 60; i++) {
        miner.harness.setProcessingTime(now += 15_000);
        miner.add(pair("p" + i, 0, now, angle(i)));
      }
      assertTrue(miner.groups().size() < 4, miner.groups().size() + " groups");
      miner.harness.setProcessingTime(now + 140_000);
      assertTrue(miner.groups().size() < 4, miner.groups().size() + " groups");
      miner.harness.setProcessingTime(now + 160_000);
      assertEquals(60, miner.groups().stream().mapToInt(PairGroup::fresh).sum());
    }
  }

  @Test
  void oneSubtaskHasOneBucketAndManyHaveAFewEach() {
    assertEquals(1, FineTuneConfig.defaults().mining().buckets());
    for (int subtasks : new int[] {2, 3, 4, 8}) {
      int buckets =
          FineTuneConfig.loader()
              .parse("", "test", List.of("mining.parallelism=" + subtasks))
              .mining()
              .buckets();
      assertTrue(buckets >= 2 * subtasks && buckets <= 4 * subtasks, subtasks + ": " + buckets);
    }
  }

  @Test
  void whatDidNotFitIntoAGroupLeavesBesideIt() throws Exception {
    MiningSettings many = mining(Mode.HARD, 4, 32, 0, ByteSize.ofMega(1), ByteSize.ofMega(1));
    try (Miner miner = new Miner(many, 0, false)) {
      Random random = new Random(5);
      for (int i = 0; i < 20; i++) {
        // Six of a kind, four of another that are not quite as near, and others.
        String kind = i < 6 ? "six" : i < 10 ? "four" : "other";
        float[] vector = Pairs.unit(random, DIMENSION);
        if (i < 10) {
          vector[i < 6 ? 0 : 1] += i < 6 ? 2 : 1.5f;
        }
        miner.add(pair(kind + i, 0, 0, vector));
      }
      miner.harness.setProcessingTime(10_000);
      List<String> first = ids(miner.groups().get(0));
      List<String> second = ids(miner.groups().get(1));
      assertTrue(first.stream().allMatch(id -> id.startsWith("six")), first.toString());
      assertEquals(
          2, second.stream().filter(id -> id.startsWith("six")).count(), second.toString());
    }
  }

  @Test
  void inputThatWaitsAndOutputThatIsBlockedAreNoSilence() throws Exception {
    AtomicBoolean input = new AtomicBoolean();
    AtomicBoolean output = new AtomicBoolean(true);
    try (Miner miner = new Miner(mining(), 0, false)) {
      miner.miner.watch(input::get, output::get);
      miner.harness.setProcessingTime(1_000);
      miner.add(pair("a", 0, 1, angle(0)));
      // A step of fifteen seconds: groups cannot leave, and behind this pair others wait.
      output.set(false);
      input.set(true);
      miner.harness.setProcessingTime(15_000);
      output.set(true);
      miner.harness.setProcessingTime(20_500);
      assertEquals(0, miner.groups().size());
      miner.add(pair("b", 0, 2, angle(20)));
      miner.add(pair("c", 0, 3, angle(40)));
      miner.add(pair("d", 0, 4, angle(60)));
      input.set(false);
      miner.harness.setProcessingTime(25_400);
      assertEquals(0, miner.groups().size());
      miner.harness.setProcessingTime(31_000);
      assertEquals(1, miner.groups().size());
      assertEquals(4, miner.groups().get(0).pairs().size());
    }
  }

  @Test
  void aTimerThatFindsOutputBlockedComesAgainAndEmitsNothing() throws Exception {
    AtomicBoolean output = new AtomicBoolean();
    try (Miner miner = new Miner(mining(), 0, false)) {
      miner.miner.watch(() -> false, output::get);
      miner.harness.setProcessingTime(1_000);
      miner.add(pair("a", 0, 1_000, angle(0)));
      miner.add(pair("b", 0, 2_000, angle(20)));
      miner.harness.processWatermark(12_000);
      assertEquals(0, miner.groups().size());
      miner.harness.setProcessingTime(60_000);
      assertEquals(0, miner.groups().size());
      output.set(true);
      miner.harness.setProcessingTime(66_000);
      assertEquals(1, miner.groups().size());
    }
  }

  @Test
  void theEndOfInputEmitsWhatIsLeftThoughOutputIsBlocked() throws Exception {
    for (long before : new long[] {0, 12_000}) {
      try (Miner miner = new Miner(mining(), 0, false)) {
        miner.miner.watch(() -> false, () -> false);
        miner.add(pair("a", 0, 1_000, angle(0)));
        miner.add(pair("b", 0, 2_000, angle(20)));
        miner.add(pair("c", 1, 2_000, angle(20)));
        miner.harness.processWatermark(before);
        assertEquals(0, miner.groups().size());
        miner.harness.processWatermark(Long.MAX_VALUE);
        assertEquals(2, miner.groups().size());
        assertEquals(IdSum.NONE, miner.miner.waitingIds());
      }
    }
  }

  @Test
  void whatWaitsIsCountedByIdsAfterARestoreToo() throws Exception {
    List<MinedPair> pairs = stream(300, 5, 6);
    OperatorSubtaskState state;
    Set<String> left = new HashSet<>(pairs.stream().map(MinedPair::id).toList());
    MiningSettings settings =
        mining(Mode.HARD, 4, 32, 0.25, ByteSize.ofKilo(20), ByteSize.ofMega(1));
    try (Miner miner = new Miner(settings, 0, true)) {
      for (MinedPair pair : pairs) {
        miner.add(pair);
      }
      miner.groups().forEach(group -> left.removeAll(fresh(group)));
      assertFalse(left.isEmpty());
      assertEquals(Ledger.of(left), Ledger.Entry.of(miner.miner.waitingIds()));
      state = miner.harness.snapshot(1, 1);
    }
    try (Miner miner = new Miner(settings, 0, true, state, new EmbeddedRocksDBStateBackend(true))) {
      assertEquals(Ledger.of(left), Ledger.Entry.of(miner.miner.waitingIds()));
      miner.harness.processWatermark(Long.MAX_VALUE);
      assertEquals(IdSum.NONE, miner.miner.waitingIds());
    }
  }

  @Test
  void everyPairLeavesExactlyOnceWhateverTheCacheHolds() throws Exception {
    List<MinedPair> pairs = stream(2_000, 5, 1);
    List<List<String>> roomy = run(pairs, ByteSize.ofMega(16), -1);
    List<List<String>> none = run(pairs, new ByteSize(0), -1);
    assertEquals(roomy, none, "the cache must change time only");
    List<String> all = roomy.stream().flatMap(List::stream).toList();
    assertEquals(2_000, all.size());
    assertEquals(2_000, new HashSet<>(all).size());
  }

  @Test
  void aRestoredMinerGoesOnAsIfNothingHadHappened() throws Exception {
    List<MinedPair> pairs = stream(1_500, 5, 2);
    assertEquals(run(pairs, ByteSize.ofMega(16), -1), run(pairs, ByteSize.ofMega(16), 700));
  }

  /** All groups in order, with a snapshot and a new operator after {@code restart} pairs. */
  private static List<List<String>> run(List<MinedPair> pairs, ByteSize cache, int restart)
      throws Exception {
    MiningSettings settings = mining(Mode.HARD, 4, 32, 0.25, ByteSize.ofKilo(20), cache);
    List<List<String>> groups = new ArrayList<>();
    Miner miner = new Miner(settings, 0, true);
    try {
      for (int i = 0; i < pairs.size(); i++) {
        if (i == restart) {
          OperatorSubtaskState state = miner.harness.snapshot(1, i);
          miner.groups().forEach(group -> groups.add(fresh(group)));
          miner.close();
          miner = new Miner(settings, 0, true, state, new EmbeddedRocksDBStateBackend(true));
        }
        miner.add(pairs.get(i));
        miner.harness.processWatermark(pairs.get(i).eventTime() - 1);
      }
      miner.harness.processWatermark(Long.MAX_VALUE);
      miner.groups().forEach(group -> groups.add(fresh(group)));
    } finally {
      miner.close();
    }
    return groups;
  }

  private static List<String> fresh(PairGroup group) {
    return ids(group).subList(0, group.fresh());
  }

  @Test
  void pastPairsAreShownAgainAndTheirMemoryIsBoundedInBytes() throws Exception {
    ByteSize memory = ByteSize.ofKilo(8);
    MiningSettings settings = mining(Mode.HARD, 4, 8, 0.25, memory, ByteSize.ofMega(1));
    // Only the heap backend can count its entries.
    try (Miner miner = new Miner(settings, 0, false, null, new HashMapStateBackend())) {
      Set<String> trained = new HashSet<>();
      int again = 0;
      for (MinedPair pair : stream(3_000, 1, 3)) {
        miner.add(pair);
      }
      for (PairGroup group : miner.groups()) {
        List<String> replayed = ids(group).subList(group.fresh(), group.pairs().size());
        assertTrue(trained.containsAll(replayed), "only what was trained is shown again");
        again += replayed.size();
        trained.addAll(fresh(group));
      }
      assertEquals(0.25, again / (4.0 * miner.groups().size()), 0.01);
      long entries = miner.harness.numKeyedStateEntries();
      long most = memory.bytes() / stream(1, 1, 3).get(0).bytes();
      // Per past pair a payload and a sketch; the same per pending pair; one counter.
      assertTrue(entries <= 2 * (most + 8) + 1, entries + " entries, memory for " + most);
    }
  }

  @Test
  void replayCoversOldPairsNotOnlyTheNewest() throws Exception {
    MiningSettings settings =
        mining(Mode.RANDOM, 4, 4, 0.25, ByteSize.ofKilo(40), ByteSize.ofMega(1));
    try (Miner miner = new Miner(settings, 0, false)) {
      for (MinedPair pair : stream(4_000, 1, 4)) {
        miner.add(pair);
      }
      List<PairGroup> groups = miner.groups();
      long old =
          groups.subList(groups.size() - 200, groups.size()).stream()
              .flatMap(group -> group.pairs().subList(group.fresh(), group.pairs().size()).stream())
              .filter(pair -> pair.eventTime() < 20_000)
              .count();
      assertTrue(old > 60, old + " of about 200 replayed pairs come from the first half");
    }
  }

  @Test
  void aHeldOutPairPassesAloneAndIsNoPartner() throws Exception {
    try (Miner miner = new Miner(mining(), 0.3, false)) {
      List<MinedPair> pairs = stream(400, 1, 5);
      for (MinedPair pair : pairs) {
        miner.add(pair);
      }
      miner.harness.processWatermark(Long.MAX_VALUE);
      int held = 0;
      for (PairGroup group : miner.groups()) {
        long inGroup =
            group.pairs().stream().filter(pair -> PairIds.heldOut(pair.imageDigest(), 0.3)).count();
        assertTrue(inGroup == 0 || group.pairs().size() == 1);
        held += (int) inGroup;
      }
      assertEquals(0.3, held / 400.0, 0.08);
    }
  }

  @Test
  void nearPicturesShareAHomeMoreOftenThanFarOnes() {
    Buckets buckets = new Buckets(17, 2, 4, DIMENSION);
    Random random = new Random(9);
    int near = 0;
    int far = 0;
    Set<Integer> used = new HashSet<>();
    for (int i = 0; i < 1_000; i++) {
      float[] vector = Pairs.unit(random, DIMENSION);
      float[] close = vector.clone();
      float[] noise = Pairs.unit(random, DIMENSION);
      for (int d = 0; d < DIMENSION; d++) {
        close[d] += 0.1f * noise[d];
      }
      used.add(buckets.home(vector));
      near += buckets.home(vector) == buckets.home(close) ? 1 : 0;
      far += buckets.home(vector) == buckets.home(Pairs.unit(random, DIMENSION)) ? 1 : 0;
    }
    assertTrue(near > 750, near + " of 1000 near pairs share a home");
    assertTrue(far < 100, far + " of 1000 far pairs share a home");
    assertEquals(32, used.size());
    assertNotEquals(-1, Buckets.any("p", 32));
  }
}
