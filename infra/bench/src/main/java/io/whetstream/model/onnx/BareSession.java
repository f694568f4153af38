package io.whetstream.model.onnx;

import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtLoraAdapter;
import ai.onnxruntime.OrtSession;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.Checkpoint;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What a careful person would write by hand over the graph that the scorer runs: one batch of
 * texts, tensors made once, output in place, the same adapter. In this package because the
 * conversion of adapters is not for everybody.
 */
public final class BareSession implements AutoCloseable {
  private final OrtSession session;
  private final OrtLoraAdapter lora;
  private final OrtSession.RunOptions options;
  private final Map<String, OnnxTensor> inputs;
  private final Map<String, OnnxTensor> outputs;

  /**
   * @param rows the batch that every {@link #run} computes: token ids, all rows equally long
   * @param adapter null for the base alone
   */
  public BareSession(Path model, int threads, List<long[]> rows, AdapterWeights adapter)
      throws OrtException {
    OrtEnvironment environment = OnnxRuntime.environment();
    int width;
    try (Checkpoint checkpoint = Checkpoint.open(model);
        OrtSession.SessionOptions settings = new OrtSession.SessionOptions()) {
      OnnxExporter exporter = new OnnxExporter(checkpoint, false);
      settings.setIntraOpNumThreads(threads);
      settings.setInterOpNumThreads(1);
      settings.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
      settings.addConfigEntry("session.intra_op.allow_spinning", "0");
      settings.addConfigEntry(
          "session.model_external_initializers_file_folder_path",
          exporter.weightsFolder().toString());
      session = environment.createSession(exporter.export(OnnxExporter.Graph.DECODER), settings);
      width = checkpoint.config().text().hiddenSize();
    }
    options = new OrtSession.RunOptions();
    if (adapter == null) {
      lora = null;
    } else {
      lora = OrtLoraAdapter.create(AdapterFile.encode(AdapterFile.parameters(adapter, false)));
      options.addActiveLoraAdapter(lora);
    }
    int count = rows.size();
    int length = rows.get(0).length;
    LongBuffer ids = direct(8 * count * length).asLongBuffer();
    LongBuffer last = direct(8 * count).asLongBuffer();
    for (long[] row : rows) {
      ids.put(row);
      last.put(row.length - 1);
    }
    FloatBuffer result = direct(4 * count * width).asFloatBuffer();
    inputs =
        Map.of(
            "ids",
            OnnxTensor.createTensor(environment, ids.flip(), new long[] {count, length}),
            "last",
            OnnxTensor.createTensor(environment, last.flip(), new long[] {count}),
            "features",
            OnnxTensor.createTensor(environment, direct(0).asFloatBuffer(), new long[] {0, width}),
            "side",
            OnnxTensor.createTensor(
                environment, direct(8).asLongBuffer().put(0, 1), new long[] {1}));
    outputs =
        Map.of(
            "embedding", OnnxTensor.createTensor(environment, result, new long[] {count, width}));
  }

  private static ByteBuffer direct(int bytes) {
    return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
  }

  /** Embeds the batch once more. */
  public void run() {
    try (OrtSession.Result ignored = session.run(inputs, Set.of(), outputs, options)) {
      return;
    } catch (OrtException e) {
      throw new IllegalStateException(e);
    }
  }

  /** What {@link #run} wrote: [rows * d]. */
  public float[] embeddings() {
    FloatBuffer values = outputs.get("embedding").getFloatBuffer();
    float[] copy = new float[values.remaining()];
    values.get(copy);
    return copy;
  }

  @Override
  public void close() throws OrtException {
    inputs.values().forEach(OnnxTensor::close);
    outputs.values().forEach(OnnxTensor::close);
    options.close();
    if (lora != null) {
      lora.close();
    }
    session.close();
  }
}
