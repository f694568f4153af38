package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.whetstream.jobs.finetune.PendingGroups.Member;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerOptions;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.state.hashmap.HashMapStateBackend;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * The miner as it ships, in simulated time: pairs come at random instants at a rate, the clock and
 * the watermark go with them, and what is measured is which share of a pair's siblings is in its
 * batch. Half of the stream are hard groups of eight that are spread over a window, half are
 * unrelated. File order with whole groups is 1; the figures are printed as rows of a table.
 *
 * <p>{@code -Dmining.rates=1,1000 -Dmining.windows=256
 * -Dmining.settings=mining.depth=0,mining.candidates=1024;mining.tables=1} choose; settings are
 * compared that semicolons separate.
 */
@Tag("slow")
class MiningAsItShipsTest {
  private static final int LEAST_PAIRS = 4_096;
  private static final int EMBEDDED = 64;

  /** A scene with what mining sees of it. */
  private record Seen(String caption, long family, float[] vector) {}

  @Test
  void siblingsThatReachTheirBatch() throws Exception {
    List<String> rates = list("mining.rates", ",", "0.1,1,10,100,1000");
    System.out.println("| settings | window | " + String.join(" | ", rates) + " | micros a pair |");
    for (String window : list("mining.windows", ",", "64,256,1024,4096,16384")) {
      int groups = Integer.parseInt(window) / (2 * SceneGenerator.HARD_GROUP);
      SceneStream scenes = new SceneStream(7, SceneLook.STANDARD, groups);
      List<Seen> seen = see(scenes, Math.max(LEAST_PAIRS, 2 * scenes.window()));
      for (String settings : list("mining.settings", ";", "")) {
        FineTuneConfig config =
            FineTuneConfig.loader().parse("", "test", list(settings.isEmpty(), settings));
        StringBuilder row = new StringBuilder("| " + settings + " | " + window);
        double micros = 0;
        for (String rate : rates) {
          List<MinedPair> pairs = pairs(seen, config);
          long start = System.nanoTime();
          List<PairGroup> mined = mine(pairs, config, Double.parseDouble(rate));
          micros = (System.nanoTime() - start) / 1e3 / pairs.size();
          row.append(String.format(Locale.ROOT, " | %.3f", share(mined, config, seen)));
        }
        System.out.println(row + String.format(Locale.ROOT, " | %.0f |", micros));
      }
    }
  }

  private static List<String> list(String property, String separator, String usual) {
    return List.of(System.getProperty(property, usual).split(separator));
  }

  private static List<String> list(boolean none, String settings) {
    return none ? List.of() : List.of(settings.split(","));
  }

  /** Scenes as the mining embedder sees them. */
  private static List<Seen> see(SceneStream scenes, int count) {
    ImageProcessor images = ImageProcessor.open(DemoBase.directory());
    List<Seen> seen = new ArrayList<>(count);
    try (Scorer scorer = Scorer.open(DemoBase.directory(), ScorerOptions.defaults())) {
      float[] center =
          MiningEmbedder.center(scorer, images, FineTuneConfig.defaults().mining().seed());
      for (int first = 0; first < count; first += EMBEDDED) {
        List<SceneStream.Streamed> some = new ArrayList<>();
        List<ModelImage> pictures = new ArrayList<>();
        for (int number = first; number < Math.min(count, first + EMBEDDED); number++) {
          some.add(scenes.scene(number));
          pictures.add(images.process(SceneRenderer.render(scenes.scene(number).scene())));
        }
        float[][] vectors = scorer.poolVision(pictures);
        for (int i = 0; i < vectors.length; i++) {
          for (int d = 0; d < center.length; d++) {
            vectors[i][d] -= center[d];
          }
          seen.add(
              new Seen(
                  Captioner.shortCaption(some.get(i).scene()),
                  some.get(i).hardGroup(),
                  vectors[i]));
        }
      }
    }
    return seen;
  }

  /** As they leave the mining embedder, but without the picture: mining does not look at it. */
  private static List<MinedPair> pairs(List<Seen> seen, FineTuneConfig config) {
    MiningSettings mining = config.mining();
    Buckets buckets =
        new Buckets(mining.seed(), mining.tables(), mining.planes(), seen.get(0).vector().length);
    List<MinedPair> pairs = new ArrayList<>(seen.size());
    for (int number = 0; number < seen.size(); number++) {
      Seen one = seen.get(number);
      String id = Integer.toString(number);
      pairs.add(
          new MinedPair(
              id,
              new byte[0],
              one.caption(),
              null,
              digest(id),
              digest(one.caption()),
              Sketch.quantize(one.vector()),
              buckets.home(one.vector()),
              0,
              0,
              number));
    }
    return pairs;
  }

  private static String digest(String text) {
    return PairIds.digest(text.getBytes(StandardCharsets.UTF_8));
  }

  private static List<PairGroup> mine(List<MinedPair> pairs, FineTuneConfig config, double rate)
      throws Exception {
    List<PairGroup> groups = new ArrayList<>();
    try (KeyedOneInputStreamOperatorTestHarness<Integer, MinedPair, PairGroup> harness =
        new KeyedOneInputStreamOperatorTestHarness<>(
            new KeyedProcessOperator<>(
                new HardNegativeMiner(config.mining(), config.heldOut().share(), false)),
            MinedPair::bucket,
            Types.INT)) {
      harness.setStateBackend(new HashMapStateBackend());
      harness.setup(
          StreamTypes.GROUP.createSerializer(harness.getExecutionConfig().getSerializerConfig()));
      harness.open();
      Random random = new Random(3);
      double now = 1e12;
      for (MinedPair pair : pairs) {
        now -= 1_000 / rate * Math.log(1 - random.nextDouble());
        long millis = (long) now;
        harness.setProcessingTime(millis);
        MinedPair timed = at(pair, millis);
        harness.processElement(timed, millis);
        harness.processWatermark(millis - config.prepare().allowedLateness().toMillis() - 1);
        drain(harness, groups);
      }
      harness.processWatermark(Long.MAX_VALUE);
      drain(harness, groups);
    }
    assertEquals(pairs.size(), groups.stream().mapToInt(PairGroup::fresh).sum());
    return groups;
  }

  private static MinedPair at(MinedPair pair, long millis) {
    return new MinedPair(
        pair.id(),
        pair.image(),
        pair.shortCaption(),
        pair.longCaption(),
        pair.imageDigest(),
        pair.captionDigest(),
        pair.vector(),
        pair.bucket(),
        millis,
        pair.partition(),
        pair.offset());
  }

  private static void drain(
      KeyedOneInputStreamOperatorTestHarness<Integer, MinedPair, PairGroup> harness,
      List<PairGroup> groups) {
    for (Object record = harness.getOutput().poll();
        record != null;
        record = harness.getOutput().poll()) {
      if (record instanceof StreamRecord<?> element) {
        groups.add((PairGroup) element.getValue());
      }
    }
  }

  /** Mean share of a pair's siblings that are trained on in the same step as it. */
  private static double share(List<PairGroup> mined, FineTuneConfig config, List<Seen> seen) {
    PendingGroups pending = new PendingGroups();
    Map<Long, Integer> all = new HashMap<>();
    Map<Long, Double> together = new HashMap<>();
    for (PairGroup group : mined) {
      List<Member> members =
          group.pairs().stream()
              .filter(pair -> !PairIds.heldOut(pair.imageDigest(), config.heldOut().share()))
              .map(pair -> new Member(pair, true))
              .toList();
      pending.add(members);
      for (Member member : members) {
        all.merge(family(member, seen), 1, Integer::sum);
      }
      List<List<Member>> batch = pending.next(config.training().globalBatch());
      count(batch, seen, together);
      pending.remove(batch.size());
    }
    count(pending.all(), seen, together);
    double shares = 0;
    double pairs = 0;
    for (Map.Entry<Long, Double> family : together.entrySet()) {
      int members = all.get(family.getKey());
      if (family.getKey() >= 0 && members > 1) {
        shares += family.getValue() / (members - 1);
        pairs += members;
      }
    }
    return shares / pairs;
  }

  private static void count(List<List<Member>> batch, List<Seen> seen, Map<Long, Double> together) {
    Map<Long, Integer> counts = new HashMap<>();
    for (List<Member> group : batch) {
      for (Member member : group) {
        counts.merge(family(member, seen), 1, Integer::sum);
      }
    }
    counts.forEach(
        (family, members) -> together.merge(family, members * (members - 1.0), Double::sum));
  }

  private static long family(Member member, List<Seen> seen) {
    return seen.get(Integer.parseInt(member.pair().id())).family();
  }
}
