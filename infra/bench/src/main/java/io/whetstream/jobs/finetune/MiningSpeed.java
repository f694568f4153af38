package io.whetstream.jobs.finetune;

import com.sun.management.OperatingSystemMXBean;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.local.LocalJob;
import io.whetstream.local.LocalOptions;
import io.whetstream.local.LocalRuntime;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.kafka.clients.admin.Admin;

/**
 * The fine-tune job up to the trainer, with default mining: pairs a second of processor time, from
 * Kafka to groups, and how many of a pair's near-identical siblings are in its batch.
 */
public final class MiningSpeed {
  private static final OperatingSystemMXBean PROCESS =
      ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
  private static final int BATCH = 64;

  /** Pairs of a window have their siblings in it: sixteen hard groups and as many unrelated. */
  private static final int WINDOW = 16;

  /**
   * What was measured.
   *
   * @param pairsPerSecondPerCore new pairs of groups, by processor time of the whole process
   * @param siblingShare of a pair's siblings, the mean share that is in its batch of 64
   */
  public record Figures(double pairsPerSecondPerCore, double siblingShare) {}

  /** Takes groups in place of the trainer; the job runs in this process. */
  private static final class Taker extends AbstractStreamOperator<Long>
      implements OneInputStreamOperator<PairGroup, Long> {
    private static final long serialVersionUID = 1L;
    private static final List<Long> NUMBERS = new ArrayList<>();
    private static long begun;
    private static long newest;
    private static long fresh;

    static synchronized void reset() {
      NUMBERS.clear();
      fresh = 0;
      begun = PROCESS.getProcessCpuTime();
    }

    @Override
    public void processElement(StreamRecord<PairGroup> element) {
      synchronized (Taker.class) {
        fresh += element.getValue().fresh();
        newest = PROCESS.getProcessCpuTime();
        for (MinedPair pair : element.getValue().pairs()) {
          NUMBERS.add(ScenePairs.number(pair.id()));
        }
      }
    }
  }

  private MiningSpeed() {}

  /** Measures over so many pairs. */
  public static Figures measure(int pairs) throws Exception {
    SceneStream scenes = new SceneStream(7, SceneLook.STANDARD, WINDOW);
    Path directory = Files.createTempDirectory("mining-speed");
    try (LocalRuntime runtime = LocalRuntime.start(LocalOptions.in(directory).withFresh(true))) {
      FineTuneConfig config =
          FineTuneConfig.loader()
              .parse(
                  "",
                  "bench",
                  List.of(
                      "name=mining",
                      "kafka.bootstrapServers=" + runtime.bootstrapServers(),
                      "kafka.startingOffsets=earliest",
                      "registry.uri=" + runtime.adapters(),
                      "base.model=" + DemoBase.directory().toAbsolutePath(),
                      "base.threads=1",
                      "base.device=cpu"));
      Topics topics = new Topics(config.kafka().topicPrefix());
      try (Admin admin = config.kafka().connection().admin()) {
        topics.create(admin, 1, (short) 1);
      }
      ScenePairs.send(config.kafka().connection(), topics.pairs(), scenes, pairs);
      Taker.reset();
      LocalJob job =
          runtime.submit(
              "mining",
              environment ->
                  FineTuneJob.pairs(environment, config, true)
                      .prepared()
                      .transform("mining embedder", StreamTypes.PAIR, new MiningEmbedder(config))
                      .setParallelism(1)
                      .keyBy(MinedPair::bucket, Types.INT)
                      .process(
                          new HardNegativeMiner(
                              config.mining(), config.heldOut().share(), config.deterministic()))
                      .returns(StreamTypes.GROUP)
                      .setParallelism(1)
                      .transform("taker", Types.LONG, new Taker())
                      .setParallelism(1)
                      .sinkTo(new DiscardingSink<>()));
      runtime.ended(job).get();
    } finally {
      JobSpeed.delete(directory);
    }
    double processorSeconds = (Taker.newest - Taker.begun) / 1e9;
    return new Figures(Taker.fresh / processorSeconds, siblingShare(scenes));
  }

  private static double siblingShare(SceneStream scenes) {
    double siblings = 0;
    long members = 0;
    // In order of the stream, since it holds one window at a time.
    Map<Long, Long> families = new HashMap<>();
    Taker.NUMBERS.stream()
        .distinct()
        .sorted()
        .forEach(number -> families.put(number, scenes.scene(number).hardGroup()));
    for (int from = 0; from + BATCH <= Taker.NUMBERS.size(); from += BATCH) {
      Map<Long, Integer> counts = new HashMap<>();
      for (long number : Taker.NUMBERS.subList(from, from + BATCH)) {
        if (families.get(number) >= 0) {
          counts.merge(families.get(number), 1, Integer::sum);
        }
      }
      for (int count : counts.values()) {
        siblings += count * (count - 1) / (SceneGenerator.HARD_GROUP - 1.0);
        members += count;
      }
    }
    return siblings / members;
  }
}
