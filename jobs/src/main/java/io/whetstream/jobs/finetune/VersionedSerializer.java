package io.whetstream.jobs.finetune;

import io.whetstream.jobs.StateVersion;
import java.io.IOException;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * Writes a version byte before each value, so that a later form still reads what an earlier one
 * wrote to a savepoint. Values are immutable: copies are the values themselves.
 *
 * @param <T> an immutable type
 */
abstract class VersionedSerializer<T> extends TypeSerializerSingleton<T> {
  private static final long serialVersionUID = 1L;

  private final int version;

  VersionedSerializer(int version) {
    this.version = version;
  }

  abstract void write(T value, DataOutputView out) throws IOException;

  abstract T read(int version, DataInputView in) throws IOException;

  @Override
  public final void serialize(T value, DataOutputView out) throws IOException {
    out.writeByte(version);
    write(value, out);
  }

  @Override
  public final T deserialize(DataInputView in) throws IOException {
    int written = in.readByte();
    StateVersion.require("what " + getClass().getSimpleName() + " reads", written, 1, version);
    return read(written, in);
  }

  @Override
  public final T deserialize(T reuse, DataInputView in) throws IOException {
    return deserialize(in);
  }

  @Override
  public final void copy(DataInputView in, DataOutputView out) throws IOException {
    serialize(deserialize(in), out);
  }

  @Override
  public final T copy(T value) {
    return value;
  }

  @Override
  public final T copy(T value, T reuse) {
    return value;
  }

  @Override
  public final boolean isImmutableType() {
    return true;
  }

  @Override
  public final T createInstance() {
    return null;
  }

  @Override
  public final int getLength() {
    return -1;
  }

  static void writeBytes(byte[] bytes, DataOutputView out) throws IOException {
    out.writeInt(bytes.length);
    out.write(bytes);
  }

  static byte[] readBytes(DataInputView in) throws IOException {
    byte[] bytes = new byte[in.readInt()];
    in.readFully(bytes);
    return bytes;
  }

  static void writeText(String text, DataOutputView out) throws IOException {
    if (text == null) {
      out.writeInt(-1);
    } else {
      writeBytes(text.getBytes(java.nio.charset.StandardCharsets.UTF_8), out);
    }
  }

  static String readText(DataInputView in) throws IOException {
    int length = in.readInt();
    if (length < 0) {
      return null;
    }
    byte[] bytes = new byte[length];
    in.readFully(bytes);
    return new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
  }
}
