package io.whetstream.connectors.types;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Header;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * Serializer of values that are never changed: copies are the values themselves.
 *
 * @param <T> an immutable type
 */
abstract class ImmutableSerializer<T> extends TypeSerializer<T> {
  private static final long serialVersionUID = 1L;

  @Override
  public final boolean isImmutableType() {
    return true;
  }

  @Override
  public final T createInstance() {
    return null;
  }

  @Override
  public final T copy(T from) {
    return from;
  }

  @Override
  public final T copy(T from, T reuse) {
    return from;
  }

  @Override
  public final int getLength() {
    return -1;
  }

  @Override
  public final T deserialize(T reuse, DataInputView source) throws IOException {
    return deserialize(source);
  }

  @Override
  public void copy(DataInputView source, DataOutputView target) throws IOException {
    serialize(deserialize(source), target);
  }

  static void writeBytes(byte[] bytes, DataOutputView out) throws IOException {
    if (bytes == null) {
      out.writeInt(-1);
    } else {
      out.writeInt(bytes.length);
      out.write(bytes);
    }
  }

  static byte[] readBytes(DataInputView in) throws IOException {
    int length = in.readInt();
    if (length < 0) {
      return null;
    }
    byte[] bytes = new byte[length];
    in.readFully(bytes);
    return bytes;
  }

  static void writeText(String text, DataOutputView out) throws IOException {
    writeBytes(text == null ? null : text.getBytes(StandardCharsets.UTF_8), out);
  }

  static String readText(DataInputView in) throws IOException {
    byte[] bytes = readBytes(in);
    return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
  }

  static void writeCoordinates(Coordinates at, DataOutputView out) throws IOException {
    writeText(at == null ? null : at.topic(), out);
    if (at != null) {
      out.writeInt(at.partition());
      out.writeLong(at.offset());
    }
  }

  static Coordinates readCoordinates(DataInputView in) throws IOException {
    String topic = readText(in);
    return topic == null ? null : new Coordinates(topic, in.readInt(), in.readLong());
  }

  static void writeHeaders(List<Header> headers, DataOutputView out) throws IOException {
    out.writeInt(headers.size());
    for (Header header : headers) {
      writeText(header.name(), out);
      writeBytes(header.value(), out);
    }
  }

  static List<Header> readHeaders(DataInputView in) throws IOException {
    int count = in.readInt();
    List<Header> headers = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      headers.add(new Header(readText(in), readBytes(in)));
    }
    return headers;
  }
}
