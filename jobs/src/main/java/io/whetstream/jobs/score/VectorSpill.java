package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind.Side;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Watchlist vectors on local disk, so that a restart of the process does not embed the watchlist
 * again. A cache: everything in it can be computed, so nothing is forced to disk, a damaged record
 * only ends the part of its file that is used, and a disk that is full, read-only or gone makes
 * every vector an absent one, which is logged.
 *
 * <p>One file per base model, adapter digest and side: fixed-size records of the content's SHA-256,
 * the vector (big-endian floats) and a CRC-32 over both, verified whenever one is read. At most
 * {@value #KEPT} adapters are kept. Thread-safe.
 *
 * <p>A process locks the directory. Where that is taken, by another TaskManager on the same disk or
 * another job in this process, the directories {@code other-1} and so on in it are tried.
 */
final class VectorSpill implements AutoCloseable {
  static final int KEPT = 3;

  private static final Logger LOGGER = LoggerFactory.getLogger(VectorSpill.class);
  private static final int MOST_OWNERS = 64;

  /** After a failure the disk is left alone for so long. */
  private static final Duration RETRY = Duration.ofMinutes(1);

  private static final int DIGEST_BYTES = 32;

  private static final class Spilled {
    final FileChannel channel;
    final Map<String, Integer> records = new HashMap<>();

    /** Where the next record goes. */
    int end;

    Spilled(FileChannel channel) {
      this.channel = channel;
    }
  }

  private final FileChannel lock;
  private final Path directory;
  private final int dimension;
  private final int recordBytes;
  private final Map<Path, Spilled> open = new HashMap<>();

  /** {@link System#nanoTime} before which nothing is tried after a failure. */
  private long notBefore = System.nanoTime();

  private VectorSpill(Path owned, FileChannel lock, String baseDigest, int dimension)
      throws IOException {
    this.lock = lock;
    this.directory = owned.resolve(baseDigest.substring(0, 16));
    this.dimension = dimension;
    this.recordBytes = DIGEST_BYTES + dimension * Float.BYTES + Integer.BYTES;
    Files.createDirectories(directory);
  }

  /**
   * Opens a directory, made if absent.
   *
   * @param baseDigest digest of the base model, part of the path
   * @return null if the disk does not allow it, which is logged
   */
  static VectorSpill open(Path directory, String baseDigest, int dimension) {
    try {
      for (int owner = 0; owner < MOST_OWNERS; owner++) {
        Path owned = owner == 0 ? directory : directory.resolve("other-" + owner);
        FileChannel lock = lock(owned);
        if (lock != null) {
          return new VectorSpill(owned, lock, baseDigest, dimension);
        }
      }
      LOGGER.warn("vectors are not kept: {} is used by {} others", directory, MOST_OWNERS);
    } catch (IOException e) {
      LOGGER.warn(
          "vectors are not kept in watchlist.spillDirectory {}: {}", directory, e.toString());
    }
    return null;
  }

  /** The locked file of a directory, or null if another has it. */
  private static FileChannel lock(Path directory) throws IOException {
    Files.createDirectories(directory);
    FileChannel channel =
        FileChannel.open(
            directory.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
    try {
      if (channel.tryLock() != null) {
        return channel;
      }
    } catch (OverlappingFileLockException e) {
      // Another of this process.
    } catch (IOException e) {
      channel.close();
      throw e;
    }
    channel.close();
    return null;
  }

  /** The vector of a content under an adapter, or null if none is kept or the disk fails. */
  synchronized float[] get(String adapterDigest, Side side, String contentDigest) {
    if (isPaused()) {
      return null;
    }
    try {
      Spilled file = file(adapterDigest, side);
      Integer at = file.records.get(contentDigest);
      ByteBuffer record = at == null ? null : read(file.channel, at);
      if (record == null) {
        return null;
      }
      if (!isSound(record) || !digest(record).equals(contentDigest)) {
        LOGGER.warn("a kept vector in {} is damaged and computed again", directory);
        file.records.remove(contentDigest);
        return null;
      }
      return vector(record);
    } catch (IOException e) {
      pause(adapterDigest, side, e);
      return null;
    }
  }

  /** Keeps a vector if the disk allows it. */
  synchronized void put(String adapterDigest, Side side, String contentDigest, float[] vector) {
    if (isPaused()) {
      return;
    }
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
      long position = (long) file.end * recordBytes;
      while (record.hasRemaining()) {
        position += file.channel.write(record, position);
      }
      file.records.put(contentDigest, file.end++);
    } catch (IOException e) {
      pause(adapterDigest, side, e);
    }
  }

  private boolean isPaused() {
    return System.nanoTime() - notBefore < 0;
  }

  private void pause(String adapterDigest, Side side, IOException why) {
    LOGGER.warn(
        "vectors are not kept in {} for {} s: {}", directory, RETRY.toSeconds(), why.toString());
    notBefore = System.nanoTime() + RETRY.toNanos();
    Spilled file = open.remove(path(adapterDigest, side));
    if (file != null) {
      close(file.channel);
    }
  }

  private static void close(FileChannel channel) {
    try {
      channel.close();
    } catch (IOException e) {
      LOGGER.warn("a file of vectors could not be closed: {}", e.toString());
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

  private boolean isSound(ByteBuffer record) {
    return record.limit() == recordBytes
        && record.getInt(recordBytes - Integer.BYTES) == checksum(record);
  }

  private static String digest(ByteBuffer record) {
    return HexFormat.of().formatHex(record.array(), 0, DIGEST_BYTES);
  }

  private Path path(String adapterDigest, Side side) {
    return directory.resolve(
        adapterDigest + "." + side.name().toLowerCase(Locale.ROOT) + ".vectors");
  }

  private Spilled file(String adapterDigest, Side side) throws IOException {
    Path path = path(adapterDigest, side);
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
    try {
      ByteBuffer record = read(file.channel, file.end);
      while (isSound(record)) {
        file.records.put(digest(record), file.end++);
        record = read(file.channel, file.end);
      }
      file.channel.truncate((long) file.end * recordBytes);
    } catch (IOException e) {
      close(file.channel);
      throw e;
    }
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
          close(spilled.channel);
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
    open.values().forEach(file -> close(file.channel));
    open.clear();
    // With the channel the lock goes.
    close(lock);
  }
}
