package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.whetstream.model.image.ImageGeometry;
import java.io.IOException;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.junit.jupiter.api.Test;

/** Values in the forms in which the first release left them in savepoints. */
class StreamTypesTest {
  private static final MinedPair PAIR =
      new MinedPair(
          "p-1",
          new byte[] {1, 2, 3},
          "a red circle",
          null,
          "ab".repeat(32),
          "cd".repeat(32),
          new byte[] {4, 5},
          9,
          1_600_000_000_000L,
          3,
          17);

  private final DataOutputSerializer out = new DataOutputSerializer(64);

  private DataInputDeserializer written() {
    return new DataInputDeserializer(out.getCopyOfBuffer());
  }

  /** Version, pair, number of values, values: squares without a word on their tokens. */
  @Test
  void aPreparedImageOfTheFirstFormIsASquare() throws IOException {
    float[] pixels = new float[3 * 4 * 4];
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] = i / 7f;
    }
    out.writeByte(1);
    new StreamTypes.PairSerializer().serialize(PAIR, out);
    out.writeInt(pixels.length);
    for (float value : pixels) {
      out.writeFloat(value);
    }
    DataInputDeserializer in = written();
    StreamTypes.PreparedSerializer serializer = new StreamTypes.PreparedSerializer();
    PreparedImage read = serializer.deserialize(in);
    assertEquals(0, in.available());
    assertEquals(ImageGeometry.whole(4, 4, 1), read.image().geometry());
    assertArrayEquals(pixels, read.image().pixels());
    assertEquals("p-1", read.pair().id());
    assertEquals(17, read.pair().offset());

    // Written on, it is of the present form and the same image.
    out.clear();
    serializer.serialize(read, out);
    assertEquals(2, out.getCopyOfBuffer()[0]);
    PreparedImage again = serializer.deserialize(written());
    assertEquals(read.image().geometry(), again.image().geometry());
    assertArrayEquals(pixels, again.image().pixels());
  }

  /** Without words, which the second form has. */
  @Test
  void aSketchOfTheFirstFormHasNoWords() throws IOException {
    out.writeByte(1);
    out.writeLong(5);
    VersionedSerializer.writeBytes(new byte[] {1, -2, 3}, out);
    out.writeLong(11);
    out.writeLong(12);
    out.writeLong(13);
    out.writeInt(14);
    DataInputDeserializer in = written();
    Sketch read = new StreamTypes.SketchSerializer().deserialize(in);
    assertEquals(0, in.available());
    assertEquals(5, read.number());
    assertArrayEquals(new byte[] {1, -2, 3}, read.vector());
    assertEquals(0, read.words().length);
    assertEquals(13, read.deadline());
    assertEquals(14, read.bytes());
  }
}
