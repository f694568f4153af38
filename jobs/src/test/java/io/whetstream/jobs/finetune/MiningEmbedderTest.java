package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerOptions;
import io.whetstream.scenes.DemoBase;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.LongStream;
import org.apache.flink.api.common.JobID;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.Metric;
import org.apache.flink.runtime.clusterframework.types.ResourceID;
import org.apache.flink.runtime.executiongraph.ExecutionGraphTestUtils;
import org.apache.flink.runtime.metrics.groups.TaskManagerMetricGroup;
import org.apache.flink.runtime.metrics.util.TestingMetricRegistry;
import org.apache.flink.runtime.operators.testutils.MockEnvironment;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;

/** The operator alone, on the demo base. */
class MiningEmbedderTest {
  private static final List<PreparedImage> PICTURES = pictures(24);

  private final Map<String, Metric> metrics = new ConcurrentHashMap<>();

  private static List<PreparedImage> pictures(int count) {
    SceneStream stream = new SceneStream(5, SceneLook.STANDARD, 2);
    List<MinedPair> pairs = ScenePairs.of(5, 0, count);
    return LongStream.range(0, count)
        .mapToObj(
            i ->
                new PreparedImage(
                    pairs.get((int) i),
                    SceneRenderer.processed(SceneRenderer.render(stream.scene(i).scene()))))
        .toList();
  }

  private static FineTuneConfig config(String... overrides) {
    List<String> all = new ArrayList<>(List.of("base.model=demo", "base.threads=1"));
    all.add("mining.batchWait=20ms");
    all.addAll(List.of(overrides));
    return FineTuneConfig.loader().parse("", "test", all);
  }

  private OneInputStreamOperatorTestHarness<PreparedImage, MinedPair> open(FineTuneConfig config)
      throws Exception {
    TestingMetricRegistry registry =
        TestingMetricRegistry.builder()
            .setRegisterConsumer((metric, name, group) -> metrics.put(name, metric))
            .build();
    MockEnvironment environment =
        MockEnvironment.builder()
            .setMetricGroup(
                TaskManagerMetricGroup.createTaskManagerMetricGroup(
                        registry, "host", ResourceID.generate())
                    .addJob(new JobID(), "job")
                    .addTask(ExecutionGraphTestUtils.createExecutionAttemptId(), "task"))
            .build();
    OneInputStreamOperatorTestHarness<PreparedImage, MinedPair> harness =
        new OneInputStreamOperatorTestHarness<>(
            new MiningEmbedder(config), StreamTypes.PREPARED.createSerializer(null), environment);
    harness.setup(StreamTypes.PAIR.createSerializer(null));
    harness.open();
    return harness;
  }

  private List<MinedPair> embed(FineTuneConfig config) throws Exception {
    try (var harness = open(config)) {
      for (PreparedImage picture : PICTURES) {
        harness.processElement(picture, 0);
      }
      harness.endInput();
      return harness.extractOutputValues();
    }
  }

  @Test
  void theEmbeddingIsThePooledVisionTowerLessTheMeanOfReferencePictures() throws Exception {
    FineTuneConfig config = config("deterministic=true");
    List<MinedPair> mined = embed(config);
    Path base = DemoBase.directory();
    int size = ImageProcessor.open(base).side();
    ImageProcessor images = ImageProcessor.open(base);
    try (Scorer scorer = Scorer.open(base, ScorerOptions.defaults().withThreads(1))) {
      float[] mean = new float[scorer.visionDimension()];
      for (var picture : ReferenceImages.draw(config.mining().seed(), 64, size)) {
        float[] pooled = scorer.poolVision(List.of(images.process(picture)))[0];
        for (int d = 0; d < mean.length; d++) {
          mean[d] += pooled[d] / 64;
        }
      }
      Buckets buckets =
          new Buckets(
              config.mining().seed(),
              config.mining().tables(),
              config.mining().planes(),
              mean.length);
      for (int i = 0; i < mined.size(); i++) {
        float[] expected = scorer.poolVision(List.of(PICTURES.get(i).image()))[0];
        for (int d = 0; d < mean.length; d++) {
          expected[d] -= mean[d];
        }
        assertArrayEquals(Sketch.quantize(expected), mined.get(i).vector());
        assertEquals(buckets.home(expected), mined.get(i).bucket());
        assertEquals(PICTURES.get(i).pair().id(), mined.get(i).id());
      }
    }
  }

  @Test
  void whatAPictureGetsDoesNotDependOnItsBatch() throws Exception {
    List<MinedPair> alone = embed(config("mining.batch=1"));
    for (String batch : List.of("mining.batch=5", "mining.batch=24")) {
      List<MinedPair> together = embed(config(batch));
      for (int i = 0; i < alone.size(); i++) {
        byte[] one = alone.get(i).vector();
        byte[] other = together.get(i).vector();
        for (int d = 0; d < one.length; d++) {
          // Sums of another order may round to the neighbouring one of 255 levels.
          assertTrue(Math.abs(one[d] - other[d]) <= 1, batch + ", picture " + i);
        }
      }
    }
  }

  @Test
  void aBatchIsRunWhenItIsFullWhenItHasWaitedAndBeforeABarrierAndAWatermark() throws Exception {
    try (var harness = open(config("mining.batch=4"))) {
      for (int i = 0; i < 5; i++) {
        harness.processElement(PICTURES.get(i), i);
      }
      assertEquals(4, harness.extractOutputValues().size());
      harness.setProcessingTime(harness.getProcessingTime() + 20);
      assertEquals(5, harness.extractOutputValues().size());
      harness.processElement(PICTURES.get(5), 5);
      harness.prepareSnapshotPreBarrier(1);
      assertEquals(6, harness.extractOutputValues().size());
      harness.processElement(PICTURES.get(6), 6);
      harness.processWatermark(6);
      assertEquals(7, harness.extractOutputValues().size());
    }
    assertEquals(7, ((Counter) metrics.get("embeddedImages")).getCount());
    assertEquals(4, ((Histogram) metrics.get("batchMilliseconds")).getCount());
  }

  @Test
  void randomModeComputesNoEmbedding() throws Exception {
    for (MinedPair pair : embed(config("mining.mode=random"))) {
      assertEquals(0, pair.vector().length);
      assertEquals(Buckets.any(pair.id(), config().mining().buckets()), pair.bucket());
    }
    assertEquals(0, ((Counter) metrics.get("embeddedImages")).getCount());
  }
}
