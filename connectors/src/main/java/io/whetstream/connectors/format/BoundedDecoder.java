package io.whetstream.connectors.format;

import io.whetstream.model.BadInputException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.avro.io.Decoder;
import org.apache.avro.util.Utf8;

/**
 * Avro binary from an array, believing no length before the bytes are there: a hostile value cannot
 * make it allocate more than it brings. Texts must be UTF-8.
 */
final class BoundedDecoder extends Decoder {
  /** Elements that take no bytes (nulls) would otherwise be free to claim. */
  private static final int MAX_ELEMENTS = 1 << 20;

  private final byte[] bytes;
  private int at;
  private long elements;

  BoundedDecoder(byte[] bytes, int from) {
    this.bytes = bytes;
    this.at = from;
  }

  int position() {
    return at;
  }

  private void need(long count) {
    if (count < 0 || count > bytes.length - at) {
      throw new BadInputException(
          "the Avro value is truncated or corrupt: "
              + count
              + " bytes wanted at byte "
              + at
              + " of "
              + bytes.length);
    }
  }

  @Override
  public void readNull() {}

  @Override
  public boolean readBoolean() {
    need(1);
    byte b = bytes[at++];
    if (b != 0 && b != 1) {
      throw new BadInputException("the Avro value is corrupt: a boolean is " + b);
    }
    return b == 1;
  }

  @Override
  public int readInt() {
    long value = readLong();
    if (value != (int) value) {
      throw new BadInputException("the Avro value is corrupt: " + value + " is no int");
    }
    return (int) value;
  }

  @Override
  public long readLong() {
    long raw = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      need(1);
      byte b = bytes[at++];
      raw |= (long) (b & 0x7F) << shift;
      if (b >= 0) {
        return (raw >>> 1) ^ -(raw & 1);
      }
    }
    throw new BadInputException("the Avro value is corrupt: a number of more than 10 bytes");
  }

  @Override
  public float readFloat() {
    need(4);
    float value = ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.LITTLE_ENDIAN).getFloat(at);
    at += 4;
    return value;
  }

  @Override
  public double readDouble() {
    need(8);
    double value = ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.LITTLE_ENDIAN).getDouble(at);
    at += 8;
    return value;
  }

  @Override
  public Utf8 readString(Utf8 old) {
    return new Utf8(readString());
  }

  @Override
  public String readString() {
    long length = readLong();
    need(length);
    int malformed = Texts.firstMalformed(bytes, at, at + (int) length);
    if (malformed >= 0) {
      throw new BadInputException("a text is not UTF-8: byte " + malformed + " is malformed");
    }
    String text = new String(bytes, at, (int) length, StandardCharsets.UTF_8);
    at += (int) length;
    return text;
  }

  @Override
  public void skipString() {
    skipBytes();
  }

  @Override
  public ByteBuffer readBytes(ByteBuffer old) {
    long length = readLong();
    need(length);
    byte[] copy = new byte[(int) length];
    System.arraycopy(bytes, at, copy, 0, copy.length);
    at += copy.length;
    return ByteBuffer.wrap(copy);
  }

  @Override
  public void skipBytes() {
    long length = readLong();
    need(length);
    at += (int) length;
  }

  @Override
  public void readFixed(byte[] target, int start, int length) {
    need(length);
    System.arraycopy(bytes, at, target, start, length);
    at += length;
  }

  @Override
  public void skipFixed(int length) {
    need(length);
    at += length;
  }

  @Override
  public int readEnum() {
    return readInt();
  }

  private long blockCount() {
    long count = readLong();
    if (count < 0) {
      // A negative count is followed by the block's size in bytes.
      readLong();
      count = -count;
    }
    elements += count;
    if (count < 0 || elements > Math.min(MAX_ELEMENTS, (long) bytes.length)) {
      throw new BadInputException("the Avro value is corrupt: " + count + " elements claimed");
    }
    return count;
  }

  @Override
  public long readArrayStart() {
    return blockCount();
  }

  @Override
  public long arrayNext() {
    return blockCount();
  }

  @Override
  public long skipArray() {
    return blockCount();
  }

  @Override
  public long readMapStart() {
    return blockCount();
  }

  @Override
  public long mapNext() {
    return blockCount();
  }

  @Override
  public long skipMap() {
    return blockCount();
  }

  @Override
  public int readIndex() {
    return readInt();
  }
}
