package io.whetstream.jobs.score;

import io.whetstream.jobs.StateText;
import io.whetstream.jobs.StateVersion;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;

/**
 * A live sketch of scores as it lies in a checkpoint. Each subtask keeps its own, and each goes to
 * one subtask on a restore, so no score is counted twice.
 *
 * @param digest the adapter its scores are of
 * @param kind as calibrations name it
 * @param sketch see {@link KindThresholds#toBytes}
 */
record SketchState(String digest, String kind, byte[] sketch) {
  private static final int VERSION = 2;

  /** It had one sketch, and texts of at most 65,535 bytes. */
  private static final int SHORT_TEXTS = 1;

  byte[] toBytes() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      out.writeByte(VERSION);
      StateText.write(digest, out);
      StateText.write(kind, out);
      out.writeInt(sketch.length);
      out.write(sketch);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  static SketchState fromBytes(byte[] state) {
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(state))) {
      int version = in.readByte();
      StateVersion.require("a sketch of live scores", version, SHORT_TEXTS, VERSION);
      String digest = version == SHORT_TEXTS ? in.readUTF() : StateText.read(in);
      String kind = version == SHORT_TEXTS ? in.readUTF() : StateText.read(in);
      byte[] sketch = in.readNBytes(in.readInt());
      return new SketchState(
          digest, kind, version == SHORT_TEXTS ? KindThresholds.ofOneSketch(sketch) : sketch);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
