package io.whetstream.connectors.types;

import io.whetstream.connectors.records.DeadLetter;
import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/** A version byte, then the fields. */
final class DeadLetterSerializer extends ImmutableSerializer<DeadLetter> {
  private static final long serialVersionUID = 1L;
  private static final int VERSION = 1;

  @Override
  public void serialize(DeadLetter letter, DataOutputView out) throws IOException {
    out.writeByte(VERSION);
    writeCoordinates(letter.at(), out);
    out.writeLong(letter.timestamp());
    writeBytes(letter.recordKey(), out);
    writeBytes(letter.value(), out);
    writeHeaders(letter.headers(), out);
    writeText(letter.stage(), out);
    writeText(letter.errorClass(), out);
    writeText(letter.message(), out);
    out.writeInt(letter.hops());
    writeText(letter.spilledTo(), out);
  }

  @Override
  public DeadLetter deserialize(DataInputView in) throws IOException {
    int version = in.readByte();
    if (version != VERSION) {
      throw new IOException("dead letter of unknown version " + version);
    }
    return new DeadLetter(
        readCoordinates(in),
        in.readLong(),
        readBytes(in),
        readBytes(in),
        readHeaders(in),
        readText(in),
        readText(in),
        readText(in),
        in.readInt(),
        readText(in));
  }

  @Override
  public TypeSerializer<DeadLetter> duplicate() {
    return this;
  }

  @Override
  public TypeSerializerSnapshot<DeadLetter> snapshotConfiguration() {
    return new Snapshot();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof DeadLetterSerializer;
  }

  @Override
  public int hashCode() {
    return DeadLetterSerializer.class.hashCode();
  }

  /** For Flink. */
  public static final class Snapshot extends SimpleTypeSerializerSnapshot<DeadLetter> {
    public Snapshot() {
      super(DeadLetterSerializer::new);
    }
  }
}
