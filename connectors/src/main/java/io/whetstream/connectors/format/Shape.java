package io.whetstream.connectors.format;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.time.DateTimeException;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.avro.LogicalTypes;
import org.apache.avro.Schema;
import org.apache.avro.io.Encoder;

/** How a value of one type is read and written in JSON and Avro. Never sees null. */
abstract class Shape {
  abstract Object readJson(JsonInput in, String field) throws IOException;

  abstract void writeJson(Object value, JsonGenerator out) throws IOException;

  abstract Object fromAvro(Object datum);

  abstract void writeAvro(Object value, Encoder out) throws IOException;

  static Shape of(Schema schema, Type type) {
    Class<?> raw =
        type instanceof ParameterizedType p ? (Class<?>) p.getRawType() : (Class<?>) type;
    return switch (schema.getType()) {
      case STRING -> raw.isEnum() ? new EnumShape(raw) : TEXT;
      case LONG -> LogicalTypes.timestampMillis().equals(schema.getLogicalType()) ? TIME : LONG;
      case INT -> INT;
      case DOUBLE -> DOUBLE;
      case BOOLEAN -> BOOLEAN;
      case BYTES -> BYTES;
      case RECORD -> new RecordShape(raw, schema);
      case MAP -> new MapShape(of(schema.getValueType(), argument(type, 1)));
      case ARRAY ->
          raw == float[].class
              ? FLOATS
              : new ListShape(of(schema.getElementType(), argument(type, 0)));
      default -> throw new IllegalArgumentException("no shape for " + schema + " in " + raw);
    };
  }

  private static Type argument(Type type, int index) {
    return ((ParameterizedType) type).getActualTypeArguments()[index];
  }

  static BadInputException wrongType(String field, String wanted, JsonInput in) {
    JsonToken token = in.parser().currentToken();
    String found =
        switch (token == null ? JsonToken.NOT_AVAILABLE : token) {
          case START_OBJECT -> "an object";
          case START_ARRAY -> "an array";
          case VALUE_STRING -> "a text";
          case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> "a number";
          case VALUE_TRUE, VALUE_FALSE -> "true or false";
          default -> "nothing";
        };
    return new BadInputException("field " + field + " must be " + wanted + ", but is " + found);
  }

  /** Reads a token of a kind that is accepted; null if its contents are not. */
  private interface Reader {
    Object read(JsonParser parser) throws IOException;
  }

  private interface JsonWriter {
    void write(Object value, JsonGenerator out) throws IOException;
  }

  private interface AvroWriter {
    void write(Object value, Encoder out) throws IOException;
  }

  /** A value that is one token of JSON and comes from Avro as what it is, or as a text. */
  private static final class Scalar extends Shape {
    private final String wanted;
    private final Set<JsonToken> tokens;
    private final Reader reader;
    private final JsonWriter json;
    private final AvroWriter avro;

    Scalar(String wanted, Set<JsonToken> tokens, Reader reader, JsonWriter json, AvroWriter avro) {
      this.wanted = wanted;
      this.tokens = tokens;
      this.reader = reader;
      this.json = json;
      this.avro = avro;
    }

    @Override
    Object readJson(JsonInput in, String field) throws IOException {
      Object value = tokens.contains(in.parser().currentToken()) ? reader.read(in.parser()) : null;
      if (value == null) {
        throw wrongType(field, wanted, in);
      }
      return value;
    }

    @Override
    void writeJson(Object value, JsonGenerator out) throws IOException {
      json.write(value, out);
    }

    @Override
    Object fromAvro(Object datum) {
      return datum instanceof CharSequence ? datum.toString() : datum;
    }

    @Override
    void writeAvro(Object value, Encoder out) throws IOException {
      avro.write(value, out);
    }
  }

  static final Shape TEXT =
      new Scalar(
          "a text",
          EnumSet.of(JsonToken.VALUE_STRING),
          JsonParser::getText,
          (value, out) -> out.writeString((String) value),
          (value, out) -> out.writeString((String) value));

  static final Shape LONG =
      new Scalar(
          "a whole number",
          EnumSet.of(JsonToken.VALUE_NUMBER_INT),
          JsonParser::getLongValue,
          (value, out) -> out.writeNumber((Long) value),
          (value, out) -> out.writeLong((Long) value));

  static final Shape INT =
      new Scalar(
          "a whole number",
          EnumSet.of(JsonToken.VALUE_NUMBER_INT),
          JsonParser::getIntValue,
          (value, out) -> out.writeNumber((Integer) value),
          (value, out) -> out.writeInt((Integer) value));

  static final Shape BOOLEAN =
      new Scalar(
          "true or false",
          EnumSet.of(JsonToken.VALUE_TRUE, JsonToken.VALUE_FALSE),
          JsonParser::getBooleanValue,
          (value, out) -> out.writeBoolean((Boolean) value),
          (value, out) -> out.writeBoolean((Boolean) value));

  static final Shape DOUBLE =
      new Scalar(
          "a number",
          EnumSet.of(
              JsonToken.VALUE_NUMBER_FLOAT, JsonToken.VALUE_NUMBER_INT, JsonToken.VALUE_STRING),
          Shape::readDouble,
          (value, out) -> out.writeNumber((Double) value),
          (value, out) -> out.writeDouble((Double) value));

  /** Milliseconds since 1970, in JSON also ISO-8601 with an offset. */
  static final Shape TIME =
      new Scalar(
          "milliseconds since 1970 or a time like 2026-01-31T12:00:00Z",
          EnumSet.of(JsonToken.VALUE_NUMBER_INT, JsonToken.VALUE_STRING),
          Shape::readTime,
          (value, out) -> out.writeNumber((Long) value),
          (value, out) -> out.writeLong((Long) value));

  private static Object readDouble(JsonParser parser) throws IOException {
    if (parser.currentToken() != JsonToken.VALUE_STRING) {
      return parser.getDoubleValue();
    }
    // JSON has no word for these; they are written as texts.
    return switch (parser.getText()) {
      case "NaN" -> Double.NaN;
      case "Infinity" -> Double.POSITIVE_INFINITY;
      case "-Infinity" -> Double.NEGATIVE_INFINITY;
      default -> null;
    };
  }

  private static Object readTime(JsonParser parser) throws IOException {
    if (parser.currentToken() != JsonToken.VALUE_STRING) {
      return parser.getLongValue();
    }
    try {
      return OffsetDateTime.parse(parser.getText()).toInstant().toEpochMilli();
    } catch (DateTimeException | ArithmeticException e) {
      return null;
    }
  }

  /** In JSON base64, or a URI, which comes out as a text; see {@link RecordShape}. */
  static final Shape BYTES =
      new Shape() {
        @Override
        Object readJson(JsonInput in, String field) throws IOException {
          if (in.parser().currentToken() != JsonToken.VALUE_STRING) {
            throw wrongType(field, "base64 or a URI", in);
          }
          return in.bytesOrUri(field);
        }

        @Override
        void writeJson(Object value, JsonGenerator out) throws IOException {
          out.writeBinary((byte[]) value);
        }

        @Override
        Object fromAvro(Object datum) {
          ByteBuffer buffer = (ByteBuffer) datum;
          if (buffer.hasArray()
              && buffer.arrayOffset() == 0
              && buffer.remaining() == buffer.array().length) {
            return buffer.array();
          }
          byte[] bytes = new byte[buffer.remaining()];
          buffer.duplicate().get(bytes);
          return bytes;
        }

        @Override
        void writeAvro(Object value, Encoder out) throws IOException {
          out.writeBytes((byte[]) value);
        }
      };

  static final Shape FLOATS =
      new Shape() {
        @Override
        Object readJson(JsonInput in, String field) throws IOException {
          if (in.parser().currentToken() != JsonToken.START_ARRAY) {
            throw wrongType(field, "an array of numbers", in);
          }
          float[] values = new float[16];
          int size = 0;
          while (in.parser().nextToken() != JsonToken.END_ARRAY) {
            if (size == values.length) {
              values = Arrays.copyOf(values, 2 * size);
            }
            values[size++] = ((Double) DOUBLE.readJson(in, field)).floatValue();
          }
          return Arrays.copyOf(values, size);
        }

        @Override
        void writeJson(Object value, JsonGenerator out) throws IOException {
          out.writeStartArray();
          for (float element : (float[]) value) {
            out.writeNumber(element);
          }
          out.writeEndArray();
        }

        @Override
        Object fromAvro(Object datum) {
          List<?> elements = (List<?>) datum;
          float[] values = new float[elements.size()];
          for (int i = 0; i < values.length; i++) {
            values[i] = (Float) elements.get(i);
          }
          return values;
        }

        @Override
        void writeAvro(Object value, Encoder out) throws IOException {
          float[] values = (float[]) value;
          out.writeArrayStart();
          out.setItemCount(values.length);
          for (float element : values) {
            out.startItem();
            out.writeFloat(element);
          }
          out.writeArrayEnd();
        }
      };

  /** A text on the wire: the constant's name in lower case with hyphens. */
  private static final class EnumShape extends Shape {
    private final Map<String, Object> byLabel = new TreeMap<>();

    EnumShape(Class<?> type) {
      for (Object constant : type.getEnumConstants()) {
        byLabel.put(label(constant.toString()), constant);
      }
    }

    private static String label(String name) {
      return name.toLowerCase(Locale.ROOT).replace('_', '-');
    }

    private Object parse(String text, String field) {
      Object constant = byLabel.get(label(text));
      if (constant == null) {
        throw new BadInputException(
            "field "
                + field
                + " must be one of "
                + String.join(", ", byLabel.keySet())
                + ", not '"
                + Texts.shorten(text, 40)
                + "'");
      }
      return constant;
    }

    @Override
    Object readJson(JsonInput in, String field) throws IOException {
      return parse((String) TEXT.readJson(in, field), field);
    }

    @Override
    void writeJson(Object value, JsonGenerator out) throws IOException {
      out.writeString(label(value.toString()));
    }

    @Override
    Object fromAvro(Object datum) {
      return parse(datum.toString(), "of a fixed choice");
    }

    @Override
    void writeAvro(Object value, Encoder out) throws IOException {
      out.writeString(label(value.toString()));
    }
  }

  private static final class ListShape extends Shape {
    private final Shape element;

    ListShape(Shape element) {
      this.element = element;
    }

    @Override
    Object readJson(JsonInput in, String field) throws IOException {
      if (in.parser().currentToken() != JsonToken.START_ARRAY) {
        throw wrongType(field, "an array", in);
      }
      List<Object> values = new ArrayList<>();
      while (in.parser().nextToken() != JsonToken.END_ARRAY) {
        values.add(element.readJson(in, field));
      }
      return values;
    }

    @Override
    void writeJson(Object value, JsonGenerator out) throws IOException {
      out.writeStartArray();
      for (Object item : (List<?>) value) {
        element.writeJson(item, out);
      }
      out.writeEndArray();
    }

    @Override
    Object fromAvro(Object datum) {
      List<Object> values = new ArrayList<>();
      for (Object item : (List<?>) datum) {
        values.add(element.fromAvro(item));
      }
      return values;
    }

    @Override
    void writeAvro(Object value, Encoder out) throws IOException {
      List<?> values = (List<?>) value;
      out.writeArrayStart();
      out.setItemCount(values.size());
      for (Object item : values) {
        out.startItem();
        element.writeAvro(item, out);
      }
      out.writeArrayEnd();
    }
  }

  /** Keys in order, so that equal maps have equal bytes. */
  private static final class MapShape extends Shape {
    private final Shape element;

    MapShape(Shape element) {
      this.element = element;
    }

    @Override
    Object readJson(JsonInput in, String field) throws IOException {
      if (in.parser().currentToken() != JsonToken.START_OBJECT) {
        throw wrongType(field, "an object", in);
      }
      Map<String, Object> values = new TreeMap<>();
      while (in.parser().nextToken() == JsonToken.FIELD_NAME) {
        String key = in.parser().currentName();
        in.parser().nextToken();
        values.put(key, element.readJson(in, field + "." + Texts.shorten(key, 40)));
      }
      return values;
    }

    @Override
    void writeJson(Object value, JsonGenerator out) throws IOException {
      out.writeStartObject();
      for (Map.Entry<?, ?> entry : new TreeMap<>((Map<?, ?>) value).entrySet()) {
        out.writeFieldName((String) entry.getKey());
        element.writeJson(entry.getValue(), out);
      }
      out.writeEndObject();
    }

    @Override
    Object fromAvro(Object datum) {
      Map<String, Object> values = new TreeMap<>();
      ((Map<?, ?>) datum)
          .forEach((key, item) -> values.put(key.toString(), element.fromAvro(item)));
      return values;
    }

    @Override
    void writeAvro(Object value, Encoder out) throws IOException {
      Map<?, ?> values = new TreeMap<>((Map<?, ?>) value);
      out.writeMapStart();
      out.setItemCount(values.size());
      for (Map.Entry<?, ?> entry : values.entrySet()) {
        out.startItem();
        out.writeString((String) entry.getKey());
        element.writeAvro(entry.getValue(), out);
      }
      out.writeMapEnd();
    }
  }
}
