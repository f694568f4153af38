package io.whetstream.connectors.types;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.StreamRecord;
import java.lang.reflect.Type;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.TypeInfoFactory;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.TypeSerializer;

/**
 * Type information of records. {@code TypeInformation.of(Item.class)} finds the same through an
 * annotation.
 */
public final class Types {
  /** Of dead letters. */
  public static final TypeInformation<DeadLetter> DEAD_LETTER =
      new ValueTypeInfo<>(DeadLetter.class, new DeadLetterSerializer());

  private Types() {}

  /** Of a record. */
  public static <T extends StreamRecord> TypeInformation<T> of(RecordType<T> type) {
    return new ValueTypeInfo<>(type.javaClass(), serializer(type));
  }

  /** A serializer of a record, for state. */
  public static <T extends StreamRecord> TypeSerializer<T> serializer(RecordType<T> type) {
    return new RecordSerializer<>(type, type.schema());
  }

  /** A serializer of dead letters. */
  public static TypeSerializer<DeadLetter> deadLetterSerializer() {
    return new DeadLetterSerializer();
  }

  /** For Flink's annotation on record classes. */
  public static final class OfRecord<T> extends TypeInfoFactory<T> {
    @Override
    @SuppressWarnings({"unchecked", "rawtypes"})
    public TypeInformation<T> createTypeInfo(
        Type type, Map<String, TypeInformation<?>> parameters) {
      return type == DeadLetter.class
          ? (TypeInformation<T>) DEAD_LETTER
          : (TypeInformation<T>) of(RecordType.forClass((Class) type));
    }
  }
}
