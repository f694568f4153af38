package io.whetstream.jobs.table;

import io.whetstream.jobs.score.TinyModel;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.onnx.Scorer;
import io.whetstream.model.onnx.ScorerAdapter;
import io.whetstream.model.onnx.ScorerOptions;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/** A Flink cluster in this process, the planner, a small model, and what the model itself says. */
final class SqlCluster implements AutoCloseable {
  private final Path base;
  private final Path registry;
  private final Scorer scorer;
  private final ImageProcessor processor;

  SqlCluster(Path directory) {
    base = TinyModel.copy(directory.resolve("base"));
    registry = directory.resolve("registry");
    scorer = Scorer.open(base, ScorerOptions.defaults().withThreads(1));
    processor = ImageProcessor.open(base);
  }

  static MiniClusterExtension flink() {
    Configuration configuration = new Configuration();
    configuration.setString("state.backend.type", "rocksdb");
    configuration.setString("taskmanager.memory.network.min", "64 mb");
    configuration.setString("taskmanager.memory.network.max", "64 mb");
    configuration.setString("taskmanager.memory.managed.size", "64 mb");
    return new MiniClusterExtension(
        new MiniClusterResourceConfiguration.Builder()
            .setConfiguration(configuration)
            .setNumberTaskManagers(1)
            .setNumberSlotsPerTaskManager(4)
            .build());
  }

  static StreamTableEnvironment environment() {
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment();
    env.setParallelism(1);
    return StreamTableEnvironment.create(env);
  }

  static List<Row> rows(StreamTableEnvironment sql, String query) throws Exception {
    List<Row> rows = new ArrayList<>();
    try (CloseableIterator<Row> result = sql.executeSql(query).collect()) {
      result.forEachRemaining(rows::add);
    }
    return rows;
  }

  Path base() {
    return base;
  }

  Path registry() {
    return registry;
  }

  String baseDigest() {
    return scorer.baseDigest();
  }

  /** An adapter in the registry that nobody has announced. */
  AdapterArtifact store(long n) {
    AdapterArtifact artifact = TinyModel.adapter(n, 4, scorer.baseDigest(), Calibration.NONE);
    AdapterCodec.write(registry.resolve("adapters").resolve(artifact.digest()), artifact);
    return artifact;
  }

  /** What the scorer itself says; null is the base. */
  float[] image(AdapterArtifact artifact, byte[] encoded) {
    try (ScorerAdapter adapter = adapter(artifact)) {
      return scorer
          .embedImages(
              adapter,
              List.of(processor.process(new ImageDecoder(1_000_000).decode(encoded, "test"))))[0];
    }
  }

  /** What the scorer itself says; null is the base. */
  float[] text(AdapterArtifact artifact, String text) {
    try (ScorerAdapter adapter = adapter(artifact)) {
      return scorer.embedTexts(adapter, List.of(text))[0];
    }
  }

  private ScorerAdapter adapter(AdapterArtifact artifact) {
    return artifact == null ? scorer.base().retain() : scorer.load(artifact);
  }

  static byte[] picture(int index) {
    return SceneRenderer.png(
        SceneRenderer.render(new SceneGenerator(7, SceneLook.STANDARD).scene(index)));
  }

  @Override
  public void close() {
    scorer.close();
  }
}
