package io.whetstream.model.onnx;

import com.google.flatbuffers.FlatBufferBuilder;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.FloatTensor;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * ONNX Runtime's adapter format: a flatbuffer with identifier {@code TORT}, {@code Adapter
 * {format_version, adapter_version, model_version, parameters}} and {@code Parameter {name, dims,
 * data_type, raw_data}}.
 */
final class AdapterFile {
  private static final int FORMAT_VERSION = 1;

  private AdapterFile() {}

  /** The parameters of the graph that an adapter overrides; may be empty. */
  static SortedMap<String, FloatTensor> parameters(AdapterWeights weights) {
    SortedMap<String, FloatTensor> parameters = new TreeMap<>();
    float scaling = (float) weights.config().scaling();
    weights
        .lora()
        .forEach(
            (name, tensor) -> {
              String graphName = name.substring(0, name.length() - ".weight".length());
              float factor = graphName.endsWith(".lora_B") ? scaling : 1;
              parameters.put(graphName, transposed(tensor, factor));
            });
    if (weights.softImage().data().length > 0) {
      parameters.put(OnnxExporter.SOFT_IMAGE, weights.softImage());
    }
    if (weights.softText().data().length > 0) {
      parameters.put(OnnxExporter.SOFT_TEXT, weights.softText());
    }
    return parameters;
  }

  private static FloatTensor transposed(FloatTensor tensor, float factor) {
    int rows = (int) tensor.shape()[0];
    int columns = (int) tensor.shape()[1];
    float[] source = tensor.data();
    float[] target = new float[source.length];
    for (int row = 0; row < rows; row++) {
      for (int column = 0; column < columns; column++) {
        target[column * rows + row] = source[row * columns + column] * factor;
      }
    }
    return new FloatTensor(new long[] {columns, rows}, target);
  }

  static byte[] encode(Map<String, FloatTensor> parameters) {
    int size = 1024;
    for (FloatTensor tensor : parameters.values()) {
      size += 256 + 4 * tensor.data().length;
    }
    FlatBufferBuilder builder = new FlatBufferBuilder(size);
    int[] tables = new int[parameters.size()];
    int count = 0;
    for (Map.Entry<String, FloatTensor> entry : parameters.entrySet()) {
      tables[count++] = parameter(builder, entry.getKey(), entry.getValue());
    }
    builder.startVector(4, tables.length, 4);
    for (int i = tables.length - 1; i >= 0; i--) {
      builder.addOffset(tables[i]);
    }
    int vector = builder.endVector();
    builder.startTable(4);
    builder.addInt(0, FORMAT_VERSION, 0);
    builder.addInt(1, 1, 0);
    builder.addInt(2, 1, 0);
    builder.addOffset(3, vector, 0);
    builder.finish(builder.endTable(), "TORT");
    return builder.sizedByteArray();
  }

  private static int parameter(FlatBufferBuilder builder, String name, FloatTensor tensor) {
    builder
        .createUnintializedVector(1, 4 * tensor.data().length, 8)
        .order(ByteOrder.LITTLE_ENDIAN)
        .asFloatBuffer()
        .put(tensor.data());
    int data = builder.endVector();
    long[] shape = tensor.shape();
    builder.startVector(8, shape.length, 8);
    for (int i = shape.length - 1; i >= 0; i--) {
      builder.addLong(shape[i]);
    }
    int dims = builder.endVector();
    int text = builder.createString(name);
    builder.startTable(4);
    builder.addOffset(0, text, 0);
    builder.addOffset(1, dims, 0);
    builder.addInt(2, GraphBuilder.FLOAT, 0);
    builder.addOffset(3, data, 0);
    return builder.endTable();
  }
}
