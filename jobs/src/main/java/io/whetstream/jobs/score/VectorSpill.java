package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind.Side;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.CRC32;

/**
 * Watchlist vectors on local disk, so that a restart of the process does not embed the watchlist
 * again. A cache: everything in it can be computed, so nothing is forced to disk and a damaged
 * record only ends the part of its file that is used.
 *
 * <p>One file per base model, adapter digest and side: fixed-size records of the content's SHA-256,
 * the vector (big-endian floats) and a CRC-32 over both. At most {@value #KEPT} adapters are kept.
 * Thread-safe. One process owns the directory.
 */
final class VectorSpill implements AutoCloseable {
  static final int KEPT = 3;
  private static final int DIGEST_BYTES = 32;

  private static final class Spilled {
    final FileChannel channel;
    final Map<String, Integer> records = new HashMap<>();

    Spilled(FileChannel channel) {
      this.channel = channel;
    }
  }

  private final Path directory;
  private final int dimension;
  private final int recordBytes;
  private final Map<Path, Spilled> open = new HashMap<>();

  /**
   * @param directory made if absent
   * @param baseDigest digest of the base model, part of the path
   */
  VectorSpill(Path directory, String baseDigest, int dimension) {
    this.directory = directory.resolve(baseDigest.substring(0, 16));
    this.dimension = dimension;
    this.recordBytes = DIGEST_BYTES + dimension * Float.BYTES + Integer.BYTES;
    try {
      Files.createDirectories(this.directory);
    } catch (IOException e) {
      throw new UncheckedIOException("watchlist.spillDirectory cannot be used", e);
    }
  }

  /** The vector of a content under an adapter, or null. */
  synchronized float[] get(String adapterDigest, Side side, String contentDigest) {
    try {
      Spilled file = file(adapterDigest, side);
      Integer at = file.records.get(contentDigest);
      return at == null ? null : vector(read(file.channel, at));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Keeps a vector. */
  synchronized void put(String adapterDigest, Side side, String contentDigest, float[] vector) {
    try {
      Spilled file = file(adapterDigest, side);
      if (file.records.containsKey(contentDigest)) {
        return;
      }
      ByteBuffer record = ByteBuffer.allocate(recordBytes);
      record.put(HexFormat.of().parseHex(contentDigest));
      for (float value : vector) {
        record.putFloat(value);
      }
      record.putInt(checksum(record));
      record.flip();
      int at = file.records.size();
      long position = (long) at * recordBytes;
      while (record.hasRemaining()) {
        position += file.channel.write(record, position);
      }
      file.records.put(contentDigest, at);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private int checksum(ByteBuffer record) {
    CRC32 crc = new CRC32();
    crc.update(record.duplicate().clear().limit(recordBytes - Integer.BYTES));
    return (int) crc.getValue();
  }

  private ByteBuffer read(FileChannel channel, int at) throws IOException {
    ByteBuffer record = ByteBuffer.allocate(recordBytes);
    long start = (long) at * recordBytes;
    while (record.hasRemaining() && channel.read(record, start + record.position()) >= 0) {
      // read() may give less than asked for
    }
    return record.flip();
  }

  private float[] vector(ByteBuffer record) {
    float[] vector = new float[dimension];
    record.position(DIGEST_BYTES);
    record.asFloatBuffer().get(vector);
    return vector;
  }

  private Spilled file(String adapterDigest, Side side) throws IOException {
    Path path =
        directory.resolve(adapterDigest + "." + side.name().toLowerCase(Locale.ROOT) + ".vectors");
    Spilled known = open.get(path);
    if (known != null) {
      return known;
    }
    prune(adapterDigest);
    Spilled file =
        new Spilled(
            FileChannel.open(
                path,
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE));
    int at = 0;
    while (true) {
      ByteBuffer record = read(file.channel, at);
      if (record.limit() < recordBytes
          || record.getInt(recordBytes - Integer.BYTES) != checksum(record)) {
        break;
      }
      file.records.put(HexFormat.of().formatHex(record.array(), 0, DIGEST_BYTES), at);
      at++;
    }
    file.channel.truncate((long) at * recordBytes);
    open.put(path, file);
    return file;
  }

  /** Removes what belongs to adapters older than the last ones. */
  private void prune(String adding) throws IOException {
    Map<String, Long> newest = new HashMap<>();
    List<Path> files = new ArrayList<>();
    try (Stream<Path> all = Files.list(directory)) {
      for (Path file : all.toList()) {
        files.add(file);
        newest.merge(adapterOf(file), Files.getLastModifiedTime(file).toMillis(), Math::max);
      }
    }
    newest.remove(adding);
    List<String> old =
        newest.entrySet().stream()
            .sorted(Map.Entry.comparingByValue(Comparator.reverseOrder()))
            .skip(KEPT - 1)
            .map(Map.Entry::getKey)
            .toList();
    for (Path file : files) {
      if (old.contains(adapterOf(file))) {
        Spilled spilled = open.remove(file);
        if (spilled != null) {
          spilled.channel.close();
        }
        Files.deleteIfExists(file);
      }
    }
  }

  private static String adapterOf(Path file) {
    String name = file.getFileName().toString();
    int dot = name.indexOf('.');
    return dot < 0 ? name : name.substring(0, dot);
  }

  @Override
  public synchronized void close() {
    for (Spilled file : open.values()) {
      try {
        file.channel.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    open.clear();
  }
}
