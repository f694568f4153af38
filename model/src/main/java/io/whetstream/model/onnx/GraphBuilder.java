package io.whetstream.model.onnx;

import io.whetstream.model.checkpoint.DType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;

/**
 * An ONNX model under construction. Values are named by strings; each operator returns the name of
 * its output. Field numbers are those of onnx.proto3 (ONNX 1.18, IR version 11).
 */
final class GraphBuilder {
  static final int OPSET = 23;
  static final int IR_VERSION = 11;
  static final int FLOAT = 1;
  static final int UINT8 = 2;
  static final int INT8 = 3;
  static final int INT64 = 7;

  private final ProtoWriter nodes = new ProtoWriter();
  private final ProtoWriter initializers = new ProtoWriter();
  private final ProtoWriter inputs = new ProtoWriter();
  private final ProtoWriter outputs = new ProtoWriter();
  private final Map<String, String> constants = new LinkedHashMap<>();
  private int values;
  private boolean contributed;

  /** Attributes of a node. */
  static final class Attributes {
    private final ProtoWriter fields = new ProtoWriter();

    Attributes integer(String name, long value) {
      fields.message(5, new ProtoWriter().text(1, name).number(3, value).number(20, 2));
      return this;
    }

    Attributes real(String name, double value) {
      fields.message(5, new ProtoWriter().text(1, name).real(2, (float) value).number(20, 1));
      return this;
    }

    Attributes string(String name, String value) {
      fields.message(5, new ProtoWriter().text(1, name).text(4, value).number(20, 3));
      return this;
    }

    Attributes integers(String name, long... values) {
      ProtoWriter attribute = new ProtoWriter().text(1, name).number(20, 7);
      for (long value : values) {
        attribute.number(8, value);
      }
      fields.message(5, attribute);
      return this;
    }
  }

  static Attributes attributes() {
    return new Attributes();
  }

  String node(String operator, String... operands) {
    return node(operator, attributes(), operands);
  }

  String node(String operator, Attributes attributes, String... operands) {
    String output = "v" + values++;
    nodeTo(output, operator, attributes, operands);
    return output;
  }

  /** A node whose output has a given name: an output of the graph. */
  void nodeTo(String output, String operator, Attributes attributes, String... operands) {
    ProtoWriter node = new ProtoWriter();
    for (String operand : operands) {
      node.text(1, operand);
    }
    node.text(2, output).text(3, output).text(4, operator);
    byte[] fields = attributes.fields.toBytes();
    nodes.bytes(1, concat(node.toBytes(), fields));
  }

  /** An operator that only ONNX Runtime has. */
  String contributed(String operator, String... operands) {
    contributed = true;
    Attributes domain = attributes();
    domain.fields.text(7, "com.microsoft");
    return node(operator, domain, operands);
  }

  private static byte[] concat(byte[] first, byte[] second) {
    return ByteBuffer.allocate(first.length + second.length).put(first).put(second).array();
  }

  String constant(long... values) {
    ByteBuffer raw = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    raw.asLongBuffer().put(values);
    return constant(
        "i" + java.util.Arrays.toString(values), INT64, new long[] {values.length}, raw);
  }

  String scalar(long value) {
    ByteBuffer raw = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(0, value);
    return constant("i" + value, INT64, new long[0], raw);
  }

  String scalar(float value) {
    ByteBuffer raw = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putFloat(0, value);
    return constant("f" + value, FLOAT, new long[0], raw);
  }

  String scalarByte(int type, int value) {
    return constant(
        "b" + type + "." + value, type, new long[0], ByteBuffer.wrap(new byte[] {(byte) value}));
  }

  String table(String name, long[] shape, float[] data) {
    ByteBuffer raw = ByteBuffer.allocate(4 * data.length).order(ByteOrder.LITTLE_ENDIAN);
    raw.asFloatBuffer().put(data);
    return constant(name, FLOAT, shape, raw);
  }

  private String constant(String name, int type, long[] shape, ByteBuffer raw) {
    return constants.computeIfAbsent(
        name,
        key -> {
          initializers.message(5, tensor(key, type, shape).bytes(9, raw.array()));
          return key;
        });
  }

  private static ProtoWriter tensor(String name, int type, long[] shape) {
    ProtoWriter tensor = new ProtoWriter();
    for (long dimension : shape) {
      tensor.number(1, dimension);
    }
    return tensor.number(2, type).text(8, name);
  }

  /** A tensor that lies in a file. */
  String external(
      String name, DType dtype, long[] shape, String location, long offset, long length) {
    return constants.computeIfAbsent(
        name,
        key -> {
          ProtoWriter tensor = tensor(key, elementType(dtype), shape);
          entry(tensor, 13, "location", location);
          entry(tensor, 13, "offset", Long.toString(offset));
          entry(tensor, 13, "length", Long.toString(length));
          initializers.message(5, tensor.number(14, 1));
          return key;
        });
  }

  static int elementType(DType dtype) {
    return switch (dtype) {
      case F32 -> FLOAT;
      case U8 -> UINT8;
      case I8 -> INT8;
      case I16 -> 5;
      case I32 -> 6;
      case I64 -> INT64;
      case BOOL -> 9;
      case F16 -> 10;
      case F64 -> 11;
      case BF16 -> 16;
    };
  }

  /**
   * An empty initializer that a run may override: it is an input too.
   *
   * @param shape dimensions; the one that varies is a name, the others are numbers
   */
  String overridable(String name, int type, Object... shape) {
    long[] empty = new long[shape.length];
    for (int i = 0; i < shape.length; i++) {
      empty[i] = shape[i] instanceof Number fixed ? fixed.longValue() : 0;
    }
    initializers.message(5, tensor(name, type, empty).bytes(9, new byte[0]));
    return input(name, type, shape);
  }

  String input(String name, int type, Object... shape) {
    inputs.message(11, valueInfo(name, type, shape));
    return name;
  }

  void output(String name, int type, Object... shape) {
    outputs.message(12, valueInfo(name, type, shape));
  }

  private static ProtoWriter valueInfo(String name, int type, Object... shape) {
    ProtoWriter dimensions = new ProtoWriter();
    for (Object dimension : shape) {
      dimensions.message(
          1,
          dimension instanceof Number fixed
              ? new ProtoWriter().number(1, fixed.longValue())
              : new ProtoWriter().text(2, dimension.toString()));
    }
    ProtoWriter tensor = new ProtoWriter().number(1, type).message(2, dimensions);
    return new ProtoWriter().text(1, name).message(2, new ProtoWriter().message(1, tensor));
  }

  private static void entry(ProtoWriter owner, int field, String key, String value) {
    owner.message(field, new ProtoWriter().text(1, key).text(2, value));
  }

  /** The whole model. */
  byte[] model(String graphName, SortedMap<String, String> metadata) {
    ProtoWriter head = new ProtoWriter().text(2, graphName);
    byte[] graph = nodes.toBytes();
    for (ProtoWriter part : List.of(head, initializers, inputs, outputs)) {
      graph = concat(graph, part.toBytes());
    }
    ProtoWriter model =
        new ProtoWriter().number(1, IR_VERSION).text(2, "whetstream").bytes(7, graph);
    model.message(8, new ProtoWriter().text(1, "").number(2, OPSET));
    if (contributed) {
      model.message(8, new ProtoWriter().text(1, "com.microsoft").number(2, 1));
    }
    metadata.forEach((key, value) -> entry(model, 14, key, value));
    return model.toBytes();
  }
}
