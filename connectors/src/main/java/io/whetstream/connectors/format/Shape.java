package io.whetstream.connectors.format;

import com.fasterxml.jackson.core.JsonGenerator;
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
import java.util.List;
import java.util.Locale;
import java.util.Map;
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

  static final Shape TEXT =
      new Shape() {
        @Override
        Object readJson(JsonInput in, String field) throws IOException {
          if (in.parser().currentToken() != JsonToken.VALUE_STRING) {
            throw wrongType(field, "a text", in);
          }
          return in.parser().getText();
        }

        @Override
        void writeJson(Object value, JsonGenerator out) throws IOException {
          out.writeString((String) value);
        }

        @Override
        Object fromAvro(Object datum) {
          return datum.toString();
        }

        @Override
        void writeAvro(Object value, Encoder out) throws IOException {
          out.writeString((String) value);
        }
      };

  static final Shape LONG =
      new Shape() {
        @Override
        Object readJson(JsonInput in, String field) throws IOException {
          if (in.parser().currentToken() != JsonToken.VALUE_NUMBER_INT) {
            throw wrongType(field, "a whole number", in);
          }
          return in.parser().getLongValue();
        }

        @Override
        void writeJson(Object value, JsonGenerator out) throws IOException {
          out.writeNumber((Long) value);
        }

        @Override
        Object fromAvro(Object datum) {
          return datum;
        }

        @Override
        void writeAvro(Object value, Encoder out) throws IOException {
          out.writeLong((Long) value);
        }
      };

  /** Milliseconds since 1970, in JSON also ISO-8601 with an offset. */
  static final Shape TIME =
      new Shape() {
        @Override
        Object readJson(JsonInput in, String field) throws IOException {
          if (in.parser().currentToken() == JsonToken.VALUE_STRING) {
            try {
              return OffsetDateTime.parse(in.parser().getText()).toInstant().toEpochMilli();
            } catch (DateTimeException | ArithmeticException e) {
              throw new BadInputException(
                  "field "
                      + field
                      + " must be milliseconds since 1970 or a time like 2026-01-31T12:00:00Z",
                  e);
            }
          }
          return LONG.readJson(in, field);
        }

        @Override
        void writeJson(Object value, JsonGenerator out) throws IOException {
          LONG.writeJson(value, out);
        }

        @Override
        Object fromAvro(Object datum) {
          return datum;
        }

        @Override
        void writeAvro(Object value, Encoder out) throws IOException {
          LONG.writeAvro(value, out);
        }
      };

  static final Shape INT =
      new Shape() {
        @Override
        Object readJson(JsonInput in, String field) throws IOException {
          if (in.parser().currentToken() != JsonToken.VALUE_NUMBER_INT) {
            throw wrongType(field, "a whole number", in);
          }
          return in.parser().getIntValue();
        }

        @Override
        void writeJson(Object value, JsonGenerator out) throws IOException {
          out.writeNumber((Integer) value);
        }

        @Override
        Object fromAvro(Object datum) {
          return datum;
        }

        @Override
        void writeAvro(Object value, Encoder out) throws IOException {
          out.writeInt((Integer) value);
        }
      };

  static final Shape DOUBLE =
      new Shape() {
        @Override
        Object readJson(JsonInput in, String field) throws IOException {
          return readDouble(in, field);
        }

        @Override
        void writeJson(Object value, JsonGenerator out) throws IOException {
          out.writeNumber((Double) value);
        }

        @Override
        Object fromAvro(Object datum) {
          return datum;
        }

        @Override
        void writeAvro(Object value, Encoder out) throws IOException {
          out.writeDouble((Double) value);
        }
      };

  private static double readDouble(JsonInput in, String field) throws IOException {
    JsonToken token = in.parser().currentToken();
    if (token == JsonToken.VALUE_NUMBER_FLOAT || token == JsonToken.VALUE_NUMBER_INT) {
      return in.parser().getDoubleValue();
    }
    // JSON has no word for these; they are written as texts.
    if (token == JsonToken.VALUE_STRING) {
      switch (in.parser().getText()) {
        case "NaN":
          return Double.NaN;
        case "Infinity":
          return Double.POSITIVE_INFINITY;
        case "-Infinity":
          return Double.NEGATIVE_INFINITY;
        default:
      }
    }
    throw wrongType(field, "a number", in);
  }

  static final Shape BOOLEAN =
      new Shape() {
        @Override
        Object readJson(JsonInput in, String field) {
          JsonToken token = in.parser().currentToken();
          if (token != JsonToken.VALUE_TRUE && token != JsonToken.VALUE_FALSE) {
            throw wrongType(field, "true or false", in);
          }
          return token == JsonToken.VALUE_TRUE;
        }

        @Override
        void writeJson(Object value, JsonGenerator out) throws IOException {
          out.writeBoolean((Boolean) value);
        }

        @Override
        Object fromAvro(Object datum) {
          return datum;
        }

        @Override
        void writeAvro(Object value, Encoder out) throws IOException {
          out.writeBoolean((Boolean) value);
        }
      };

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
            values[size++] = (float) readDouble(in, field);
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
