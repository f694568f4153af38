package io.whetstream.connectors.format;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonToken;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.RecordComponent;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.JsonProperties;
import org.apache.avro.Schema;
import org.apache.avro.generic.IndexedRecord;
import org.apache.avro.io.Encoder;

/**
 * A Java record and an Avro record with the same field names. A component that the schema lacks
 * must be of type {@link Coordinates}: it is filled with where the record was read.
 */
final class RecordShape extends Shape {
  /**
   * One field.
   *
   * @param component index in the constructor
   * @param nullable whether the schema is a union with null; null is then its first branch
   * @param fallback when absent; {@link #REQUIRED} if there is none
   * @param kafkaTimestamp whether Kafka's timestamp is the fallback
   */
  record Field(
      String name,
      Shape shape,
      int component,
      MethodHandle accessor,
      boolean nullable,
      Object fallback,
      boolean kafkaTimestamp) {}

  static final Object REQUIRED = new Object();

  private final Class<?> type;
  private final Field[] fields;
  private final Map<String, Integer> byName = new HashMap<>();
  private final int components;
  private final int coordinates;
  private final MethodHandle coordinatesAccessor;
  private final MethodHandle constructor;

  RecordShape(Class<?> type, Schema schema) {
    this.type = type;
    RecordComponent[] declared = type.getRecordComponents();
    this.components = declared.length;
    this.fields = new Field[schema.getFields().size()];
    Class<?>[] types = new Class<?>[components];
    int place = -1;
    MethodHandle placeAccessor = null;
    MethodHandles.Lookup lookup = MethodHandles.publicLookup();
    try {
      for (int c = 0; c < components; c++) {
        types[c] = declared[c].getType();
        Schema.Field field = schema.getField(declared[c].getName());
        MethodHandle accessor =
            lookup
                .unreflect(declared[c].getAccessor())
                .asType(MethodType.methodType(Object.class, Object.class));
        if (field == null) {
          if (types[c] != Coordinates.class) {
            throw new IllegalArgumentException(type + " has " + declared[c] + ", its schema not");
          }
          place = c;
          placeAccessor = accessor;
          continue;
        }
        Schema value = field.schema();
        boolean nullable = value.getType() == Schema.Type.UNION;
        Shape shape =
            Shape.of(nullable ? value.getTypes().get(1) : value, declared[c].getGenericType());
        fields[field.pos()] =
            new Field(
                field.name(),
                shape,
                c,
                accessor,
                nullable,
                fallback(field),
                Boolean.TRUE.equals(field.getObjectProp("kafkaTimestamp")));
        byName.put(field.name(), field.pos());
      }
      this.constructor =
          lookup
              .findConstructor(type, MethodType.methodType(void.class, types))
              .asSpreader(Object[].class, components)
              .asType(MethodType.methodType(Object.class, Object[].class));
    } catch (ReflectiveOperationException e) {
      throw new IllegalArgumentException(type + " must be a public record", e);
    }
    this.coordinates = place;
    this.coordinatesAccessor = placeAccessor;
    for (Schema.Field field : schema.getFields()) {
      if (fields[field.pos()] == null) {
        throw new IllegalArgumentException(type + " has no component " + field.name());
      }
    }
  }

  private static Object fallback(Schema.Field field) {
    if (!field.hasDefaultValue()) {
      return REQUIRED;
    }
    Object value = field.defaultVal();
    if (value == JsonProperties.NULL_VALUE) {
      return null;
    }
    // The schema parser gives the narrowest number.
    if (value instanceof Integer number && field.schema().getType() == Schema.Type.LONG) {
      return number.longValue();
    }
    return value;
  }

  void checkNames(Collection<String> names) {
    for (String name : names) {
      if (!byName.containsKey(name)) {
        throw new BadInputException(
            "the field map names '"
                + name
                + "', but "
                + type.getSimpleName()
                + " has only "
                + String.join(", ", fieldNames()));
      }
    }
  }

  List<String> fieldNames() {
    return Arrays.stream(fields).map(Field::name).toList();
  }

  int size() {
    return fields.length;
  }

  Field field(int index) {
    return fields[index];
  }

  int index(String name) {
    return byName.getOrDefault(name, -1);
  }

  /**
   * The record of values by field index; null where absent.
   *
   * @throws BadInputException when a required field is absent or the record refuses its values
   */
  Object create(Object[] values, Coordinates at, long timestampMillis) {
    Object[] arguments = new Object[components];
    for (int i = 0; i < fields.length; i++) {
      Field field = fields[i];
      Object value = values[i];
      if (value == null) {
        if (field.kafkaTimestamp) {
          value = timestampMillis;
        } else if (field.fallback == REQUIRED) {
          throw new BadInputException(
              "field " + field.name + " of " + type.getSimpleName() + " is missing");
        } else {
          value = field.fallback;
        }
      }
      arguments[field.component] = value;
    }
    if (coordinates >= 0) {
      arguments[coordinates] = at;
    }
    try {
      return constructor.invokeExact(arguments);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException("a record's constructor throws no checked exception", e);
    }
  }

  Object value(Field field, Object record) {
    return call(field.accessor, record);
  }

  Coordinates coordinatesOf(Object record) {
    return coordinates < 0 ? null : (Coordinates) call(coordinatesAccessor, record);
  }

  private static Object call(MethodHandle accessor, Object record) {
    try {
      return accessor.invokeExact(record);
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException("a record's accessor throws no checked exception", e);
    }
  }

  @Override
  Object readJson(JsonInput in, String where) throws IOException {
    if (in.parser().currentToken() != JsonToken.START_OBJECT) {
      throw wrongType(where, "an object", in);
    }
    Object[] values = new Object[fields.length];
    while (in.parser().nextToken() == JsonToken.FIELD_NAME) {
      int index = index(in.parser().currentName());
      JsonToken token = in.parser().nextToken();
      if (index < 0) {
        in.parser().skipChildren();
      } else if (token != JsonToken.VALUE_NULL) {
        values[index] = fields[index].shape.readJson(in, where + "." + fields[index].name);
      }
    }
    return create(values, null, 0);
  }

  @Override
  void writeJson(Object record, JsonGenerator out) throws IOException {
    out.writeStartObject();
    writeJsonFields(record, out, fields.length);
    out.writeEndObject();
  }

  void writeJsonFields(Object record, JsonGenerator out, int count) throws IOException {
    for (int i = 0; i < count; i++) {
      Object value = value(fields[i], record);
      if (value != null) {
        out.writeFieldName(fields[i].name);
        fields[i].shape.writeJson(value, out);
      }
    }
  }

  @Override
  Object fromAvro(Object datum) {
    return create(avroValues(datum), null, 0);
  }

  Object[] avroValues(Object datum) {
    IndexedRecord record = (IndexedRecord) datum;
    Object[] values = new Object[fields.length];
    for (int i = 0; i < fields.length; i++) {
      Object value = record.get(i);
      values[i] = value == null ? null : fields[i].shape.fromAvro(value);
    }
    return values;
  }

  @Override
  void writeAvro(Object record, Encoder out) throws IOException {
    writeAvroFields(record, out, fields.length);
  }

  void writeAvroFields(Object record, Encoder out, int count) throws IOException {
    for (int i = 0; i < count; i++) {
      Object value = value(fields[i], record);
      if (fields[i].nullable) {
        out.writeIndex(value == null ? 0 : 1);
      }
      if (value == null) {
        out.writeNull();
      } else {
        fields[i].shape.writeAvro(value, out);
      }
    }
  }
}
