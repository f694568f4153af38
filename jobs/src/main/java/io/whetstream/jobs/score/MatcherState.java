package io.whetstream.jobs.score;

import io.whetstream.jobs.StateText;
import io.whetstream.jobs.StateVersion;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.Map;

/**
 * What one matcher subtask puts into a checkpoint: which adapters it knew and which queries it had
 * accepted. Vectors are not part of it, they are computed from the queries; the queries themselves
 * are read from their topic again.
 *
 * @param serving the adapter that served
 * @param next the adapter that was to serve next, or null
 * @param newestSeen the newest version ever announced, so that an old announcement is not taken up
 *     after a rollback; or null
 * @param accepted ids of accepted queries with their revision
 * @param refused ids of refused queries with their revision
 */
record MatcherState(
    AdapterVersion serving,
    AdapterVersion next,
    AdapterVersion newestSeen,
    Map<String, Long> accepted,
    Map<String, Long> refused) {
  /** Raised with each change of the form; earlier versions must stay readable. */
  static final int VERSION = 2;

  /** It had texts of at most 65,535 bytes. */
  private static final int SHORT_TEXTS = 1;

  byte[] toBytes() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      out.writeByte(VERSION);
      write(serving, out);
      write(next, out);
      write(newestSeen, out);
      write(accepted, out);
      write(refused, out);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  /** Reads what {@link #toBytes} wrote, if it is of a version that is known. */
  static MatcherState fromBytes(byte[] state) {
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(state))) {
      int version = in.readByte();
      StateVersion.require("the matcher's state", version, SHORT_TEXTS, VERSION);
      return new MatcherState(
          readVersion(in, version),
          readVersion(in, version),
          readVersion(in, version),
          readIds(in, version),
          readIds(in, version));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void write(AdapterVersion version, DataOutputStream out) throws IOException {
    out.writeBoolean(version != null);
    if (version != null) {
      out.writeLong(version.epoch());
      out.writeLong(version.n());
      StateText.write(version.digest(), out);
    }
  }

  private static String readText(DataInputStream in, int version) throws IOException {
    return version == SHORT_TEXTS ? in.readUTF() : StateText.read(in);
  }

  private static AdapterVersion readVersion(DataInputStream in, int version) throws IOException {
    return in.readBoolean()
        ? new AdapterVersion(in.readLong(), in.readLong(), readText(in, version))
        : null;
  }

  private static void write(Map<String, Long> ids, DataOutputStream out) throws IOException {
    out.writeInt(ids.size());
    for (Map.Entry<String, Long> entry : ids.entrySet()) {
      StateText.write(entry.getKey(), out);
      out.writeLong(entry.getValue());
    }
  }

  private static Map<String, Long> readIds(DataInputStream in, int version) throws IOException {
    int count = in.readInt();
    Map<String, Long> ids = new HashMap<>();
    for (int i = 0; i < count; i++) {
      ids.put(readText(in, version), in.readLong());
    }
    return ids;
  }
}
