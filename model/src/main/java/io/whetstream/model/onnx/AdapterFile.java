package io.whetstream.model.onnx;

import com.google.flatbuffers.FlatBufferBuilder;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.checkpoint.FloatTensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
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
  private static final String A = ".lora_A.weight";
  private static final String B = ".lora_B.weight";

  private AdapterFile() {}

  /** What overrides one initializer: its ONNX element type, its shape and its bytes. */
  record Parameter(int type, long[] shape, ByteBuffer data) {
    private static Parameter of(FloatTensor tensor) {
      ByteBuffer data =
          ByteBuffer.allocate(4 * tensor.data().length).order(ByteOrder.LITTLE_ENDIAN);
      data.asFloatBuffer().put(tensor.data());
      return new Parameter(GraphBuilder.FLOAT, tensor.shape(), data);
    }
  }

  /**
   * The parameters of the graph that an adapter overrides, by name; may be empty.
   *
   * @param int8 whether the graph multiplies in 8 bit ({@link OnnxExporter})
   */
  static SortedMap<String, Parameter> parameters(AdapterWeights weights, boolean int8) {
    SortedMap<String, Parameter> parameters = new TreeMap<>();
    float scaling = (float) weights.config().scaling();
    weights
        .lora()
        .forEach(
            (name, a) -> {
              if (name.endsWith(A)) {
                String module = name.substring(0, name.length() - A.length());
                float[] factors = new float[(int) a.shape()[0]];
                Arrays.fill(factors, scaling);
                parameters.put(
                    module + ".lora_A", int8 ? quantised(a, factors) : transposed(a, null));
                parameters.put(
                    module + ".lora_B", transposed(weights.lora().get(module + B), factors));
              }
            });
    if (weights.softImage().data().length > 0) {
      parameters.put(OnnxExporter.SOFT_IMAGE, Parameter.of(weights.softImage()));
    }
    if (weights.softText().data().length > 0) {
      parameters.put(OnnxExporter.SOFT_TEXT, Parameter.of(weights.softText()));
    }
    return parameters;
  }

  /**
   * [n, m] to [m, n].
   *
   * @param factors what each column of the tensor is multiplied by; null for nothing
   */
  private static Parameter transposed(FloatTensor tensor, float[] factors) {
    int rows = (int) tensor.shape()[0];
    int columns = (int) tensor.shape()[1];
    float[] source = tensor.data();
    float[] target = new float[source.length];
    for (int row = 0; row < rows; row++) {
      for (int column = 0; column < columns; column++) {
        float value = source[row * columns + column];
        target[column * rows + row] = factors == null ? value : value * factors[column];
      }
    }
    return Parameter.of(new FloatTensor(new long[] {columns, rows}, target));
  }

  /**
   * [n, m] to [m, n] in signed bytes, of which 127 stands for the largest magnitude of a row of the
   * tensor.
   *
   * @param factors multiplied by what one step stands for in each row of the tensor
   */
  private static Parameter quantised(FloatTensor tensor, float[] factors) {
    int rows = (int) tensor.shape()[0];
    int columns = (int) tensor.shape()[1];
    float[] source = tensor.data();
    byte[] target = new byte[source.length];
    for (int row = 0; row < rows; row++) {
      float largest = 0;
      for (int column = 0; column < columns; column++) {
        largest = Math.max(largest, Math.abs(source[row * columns + column]));
      }
      float step = largest / 127;
      factors[row] *= step;
      for (int column = 0; step > 0 && column < columns; column++) {
        target[column * rows + row] = (byte) Math.rint(source[row * columns + column] / step);
      }
    }
    return new Parameter(GraphBuilder.INT8, new long[] {columns, rows}, ByteBuffer.wrap(target));
  }

  static byte[] encode(Map<String, Parameter> parameters) {
    int size = 1024;
    for (Parameter parameter : parameters.values()) {
      size += 256 + parameter.data.capacity();
    }
    FlatBufferBuilder builder = new FlatBufferBuilder(size);
    int[] tables = new int[parameters.size()];
    int count = 0;
    for (Map.Entry<String, Parameter> entry : parameters.entrySet()) {
      tables[count++] = table(builder, entry.getKey(), entry.getValue());
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

  private static int table(FlatBufferBuilder builder, String name, Parameter parameter) {
    builder
        .createUnintializedVector(1, parameter.data.capacity(), 8)
        .put(parameter.data.duplicate().rewind());
    int data = builder.endVector();
    long[] shape = parameter.shape;
    builder.startVector(8, shape.length, 8);
    for (int i = shape.length - 1; i >= 0; i--) {
      builder.addLong(shape[i]);
    }
    int dims = builder.endVector();
    int text = builder.createString(name);
    builder.startTable(4);
    builder.addOffset(0, text, 0);
    builder.addOffset(1, dims, 0);
    builder.addInt(2, parameter.type, 0);
    builder.addOffset(3, data, 0);
    return builder.endTable();
  }
}
