package io.whetstream.connectors.types;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.SchemaCompatibility.SchemaCompatibilityType;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSchemaCompatibility;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Avro bytes, then the coordinates, which are not part of a record's schema. */
final class RecordSerializer<T extends StreamRecord> extends ImmutableSerializer<T> {
  private static final long serialVersionUID = 1L;

  private final Class<T> javaClass;
  private final String readSchema;
  private transient RecordType<T> type;
  private transient RecordCodec<T> reader;
  private transient RecordCodec<T> writer;

  RecordSerializer(RecordType<T> type, Schema readSchema) {
    this.javaClass = type.javaClass();
    this.readSchema = readSchema.toString();
  }

  private RecordType<T> type() {
    if (type == null) {
      type = RecordType.forClass(javaClass);
    }
    return type;
  }

  @Override
  public void serialize(T record, DataOutputView out) throws IOException {
    if (writer == null) {
      writer = RecordFormat.avro().codec(type(), null);
    }
    writeBytes(writer.encode(record), out);
    writeCoordinates(type().coordinatesOf(record), out);
  }

  @Override
  public T deserialize(DataInputView in) throws IOException {
    if (reader == null) {
      reader =
          new RecordFormat(RecordFormat.Encoding.AVRO, null, readSchema, null, null)
              .codec(type(), null);
    }
    byte[] bytes = readBytes(in);
    Coordinates at = readCoordinates(in);
    try {
      return reader.decode(bytes, at, 0);
    } catch (BadInputException e) {
      throw new IOException(javaClass.getSimpleName() + " in state or on the wire is corrupt", e);
    }
  }

  @Override
  public TypeSerializer<T> duplicate() {
    return new RecordSerializer<>(type(), new Schema.Parser().parse(readSchema));
  }

  @Override
  public TypeSerializerSnapshot<T> snapshotConfiguration() {
    return new Snapshot<>(javaClass, type().schema().toString());
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof RecordSerializer<?> that
        && javaClass.equals(that.javaClass)
        && readSchema.equals(that.readSchema);
  }

  @Override
  public int hashCode() {
    return javaClass.hashCode();
  }

  /** The class and the Avro schema that values were written with. */
  public static final class Snapshot<T extends StreamRecord> implements TypeSerializerSnapshot<T> {
    private Class<T> javaClass;
    private String schema;

    /** For Flink. */
    public Snapshot() {}

    Snapshot(Class<T> javaClass, String schema) {
      this.javaClass = javaClass;
      this.schema = schema;
    }

    @Override
    public int getCurrentVersion() {
      return 1;
    }

    @Override
    public void writeSnapshot(DataOutputView out) throws IOException {
      writeText(javaClass.getSimpleName(), out);
      writeText(schema, out);
    }

    @Override
    @SuppressWarnings("unchecked")
    public void readSnapshot(int version, DataInputView in, ClassLoader loader) throws IOException {
      javaClass = (Class<T>) RecordType.named(readText(in)).javaClass();
      schema = readText(in);
    }

    @Override
    public TypeSerializer<T> restoreSerializer() {
      return new RecordSerializer<>(
          RecordType.forClass(javaClass), new Schema.Parser().parse(schema));
    }

    @Override
    public TypeSerializerSchemaCompatibility<T> resolveSchemaCompatibility(
        TypeSerializerSnapshot<T> oldSnapshot) {
      if (!(oldSnapshot instanceof Snapshot<T> old) || !javaClass.equals(old.javaClass)) {
        return TypeSerializerSchemaCompatibility.incompatible();
      }
      if (schema.equals(old.schema)) {
        return TypeSerializerSchemaCompatibility.compatibleAsIs();
      }
      Schema now = new Schema.Parser().parse(schema);
      Schema then = new Schema.Parser().parse(old.schema);
      return SchemaCompatibility.checkReaderWriterCompatibility(now, then).getType()
              == SchemaCompatibilityType.COMPATIBLE
          ? TypeSerializerSchemaCompatibility.compatibleAfterMigration()
          : TypeSerializerSchemaCompatibility.incompatible();
    }
  }
}
