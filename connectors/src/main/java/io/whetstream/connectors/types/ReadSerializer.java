package io.whetstream.connectors.types;

import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Header;
import io.whetstream.connectors.records.StreamRecord;
import java.io.IOException;
import java.util.List;
import org.apache.flink.api.common.typeutils.CompositeTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** Between operators, and in the state of those that wait for images. */
final class ReadSerializer<T extends StreamRecord> extends ImmutableSerializer<Read<T>> {
  private static final long serialVersionUID = 1L;

  private final TypeSerializer<T> values;

  ReadSerializer(RecordType<T> type) {
    this(Types.serializer(type));
  }

  private ReadSerializer(TypeSerializer<T> values) {
    this.values = values;
  }

  @Override
  public void serialize(Read<T> read, DataOutputView out) throws IOException {
    writeCoordinates(read.at(), out);
    out.writeLong(read.timestamp());
    writeBytes(read.rawKey(), out);
    writeBytes(read.raw(), out);
    writeHeaders(read.headers(), out);
    out.writeInt(read.hops());
    writeCoordinates(read.origin(), out);
    out.writeBoolean(read.value() != null);
    if (read.value() != null) {
      values.serialize(read.value(), out);
    }
    DeadLetter letter = read.deadLetter();
    out.writeBoolean(letter != null);
    if (letter != null) {
      // The rest of a letter is in what was read.
      writeText(letter.stage(), out);
      writeText(letter.errorClass(), out);
      writeText(letter.message(), out);
    }
  }

  @Override
  public Read<T> deserialize(DataInputView in) throws IOException {
    Coordinates at = readCoordinates(in);
    long timestamp = in.readLong();
    byte[] key = readBytes(in);
    byte[] raw = readBytes(in);
    List<Header> headers = readHeaders(in);
    int hops = in.readInt();
    Coordinates origin = readCoordinates(in);
    T value = in.readBoolean() ? values.deserialize(in) : null;
    DeadLetter letter =
        in.readBoolean()
            ? new DeadLetter(
                at,
                timestamp,
                key,
                raw,
                headers,
                readText(in),
                readText(in),
                readText(in),
                hops,
                null)
            : null;
    return new Read<>(at, timestamp, key, raw, headers, hops, origin, value, letter);
  }

  @Override
  public TypeSerializer<Read<T>> duplicate() {
    return new ReadSerializer<>(values.duplicate());
  }

  @Override
  public TypeSerializerSnapshot<Read<T>> snapshotConfiguration() {
    return new Snapshot<>(this);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof ReadSerializer<?> that && values.equals(that.values);
  }

  @Override
  public int hashCode() {
    return values.hashCode();
  }

  /** For Flink. */
  public static final class Snapshot<T extends StreamRecord>
      extends CompositeTypeSerializerSnapshot<Read<T>, ReadSerializer<T>> {
    public Snapshot() {}

    Snapshot(ReadSerializer<T> serializer) {
      super(serializer);
    }

    @Override
    protected int getCurrentOuterSnapshotVersion() {
      return 1;
    }

    @Override
    protected TypeSerializer<?>[] getNestedSerializers(ReadSerializer<T> serializer) {
      return new TypeSerializer<?>[] {serializer.values};
    }

    @Override
    @SuppressWarnings("unchecked")
    protected ReadSerializer<T> createOuterSerializerWithNestedSerializers(
        TypeSerializer<?>[] nested) {
      return new ReadSerializer<>((TypeSerializer<T>) nested[0]);
    }
  }
}
