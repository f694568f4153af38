package io.whetstream.connectors.kafka;

import io.whetstream.connectors.Digests;
import io.whetstream.connectors.StoredFiles;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Header;
import io.whetstream.connectors.types.Types;
import java.io.IOException;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;

/**
 * Moves values that a dead-letter topic cannot take into files named by their digest, and names the
 * file in the letter. Writing the same value again changes nothing, so a replay after a failure is
 * harmless.
 */
public final class SpillLargeLetters extends RichMapFunction<DeadLetter, DeadLetter> {
  private static final long serialVersionUID = 1L;

  private final String directory;
  private final long maxBytes;

  private SpillLargeLetters(String directory, long maxBytes) {
    this.directory = directory;
    this.maxBytes = maxBytes;
  }

  /**
   * Letters that fit.
   *
   * @param directory on any Flink file system, usually {@code dead-letters} beside the adapters
   * @param topicMaxBytes the dead-letter topic's {@code max.message.bytes}
   */
  public static SingleOutputStreamOperator<DeadLetter> apply(
      DataStream<DeadLetter> letters, String directory, long topicMaxBytes, String uid) {
    return letters
        .map(
            new SpillLargeLetters(
                directory,
                // Sinks send no more than this, whatever the topic takes.
                Math.min(topicMaxBytes - Topics.DEAD_LETTER_ROOM, Topics.MAX_RECORD_BYTES)))
        .returns(Types.DEAD_LETTER)
        .name("spill large dead letters")
        .uid(uid);
  }

  @Override
  public DeadLetter map(DeadLetter letter) throws IOException {
    if (letter.value() == null || bytes(letter) <= maxBytes) {
      return letter;
    }
    return letter.spilled(store(directory, letter.value()));
  }

  private static long bytes(DeadLetter letter) {
    long bytes = letter.value().length;
    bytes += letter.recordKey() == null ? 0 : letter.recordKey().length;
    for (Header header : letter.headers()) {
      bytes += header.name().length() + (header.value() == null ? 0 : header.value().length);
    }
    return bytes;
  }

  /** Writes a value under its digest and returns where. */
  static String store(String directory, byte[] value) throws IOException {
    Path path = new Path(StoredFiles.path(directory), Digests.sha256(value));
    FileSystem files = path.getFileSystem();
    if (!files.exists(path) || files.getFileStatus(path).getLen() != value.length) {
      StoredFiles.write(path, value);
    }
    return path.toString();
  }
}
