package io.whetstream.connectors.registry;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.flink.core.fs.BlockLocation;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.core.fs.FSDataOutputStream;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.FileSystemFactory;
import org.apache.flink.core.fs.Path;

/**
 * A file system with the semantics of an object store, scheme {@code objects}: an object appears
 * whole when it is closed, there are no directories beside common prefixes, nothing can be renamed
 * or synced.
 */
public final class ObjectStore extends FileSystem {
  private record Stored(byte[] bytes, long modified) {}

  private static final NavigableMap<String, Stored> OBJECTS = new TreeMap<>();
  private static int writesLeft = Integer.MAX_VALUE;
  private static int writes;

  /** For Flink's discovery. */
  public static final class Factory implements FileSystemFactory {
    @Override
    public String getScheme() {
      return "objects";
    }

    @Override
    public FileSystem create(URI uri) {
      return new ObjectStore();
    }
  }

  /** After so many further objects, writing fails, as when the process is killed. */
  static void failAfter(int count) {
    synchronized (OBJECTS) {
      writesLeft = count;
    }
  }

  static int writes() {
    synchronized (OBJECTS) {
      return writes;
    }
  }

  static void age(String prefix, long millis) {
    synchronized (OBJECTS) {
      OBJECTS
          .subMap(prefix, prefix + Character.MAX_VALUE)
          .replaceAll((key, stored) -> new Stored(stored.bytes(), stored.modified() - millis));
    }
  }

  static List<String> keys(String prefix) {
    synchronized (OBJECTS) {
      return List.copyOf(OBJECTS.subMap(prefix, prefix + Character.MAX_VALUE).keySet());
    }
  }

  static byte[] bytes(String key) {
    synchronized (OBJECTS) {
      return OBJECTS.get(key).bytes();
    }
  }

  static void overwrite(String key, byte[] bytes) {
    synchronized (OBJECTS) {
      OBJECTS.put(key, new Stored(bytes, OBJECTS.get(key).modified()));
    }
  }

  private static String key(Path path) {
    return path.getPath().replaceAll("/+$", "");
  }

  @Override
  public URI getUri() {
    return URI.create("objects:///");
  }

  @Override
  public Path getWorkingDirectory() {
    return new Path("objects:///");
  }

  @Override
  public Path getHomeDirectory() {
    return new Path("objects:///");
  }

  @Override
  public boolean isDistributedFS() {
    return true;
  }

  @Override
  public boolean mkdirs(Path path) {
    return true;
  }

  @Override
  public boolean rename(Path from, Path to) {
    throw new UnsupportedOperationException("an object store cannot rename");
  }

  @Override
  public BlockLocation[] getFileBlockLocations(FileStatus file, long start, long length) {
    return new BlockLocation[0];
  }

  @Override
  public FileStatus getFileStatus(Path path) throws IOException {
    synchronized (OBJECTS) {
      Stored stored = OBJECTS.get(key(path));
      if (stored != null) {
        return new Status(path, stored.bytes().length, stored.modified(), false);
      }
      if (!keys(key(path) + "/").isEmpty()) {
        return new Status(path, 0, 0, true);
      }
      throw new FileNotFoundException(path.toString());
    }
  }

  @Override
  public FileStatus[] listStatus(Path path) throws IOException {
    String prefix = key(path) + "/";
    List<FileStatus> found = new ArrayList<>();
    synchronized (OBJECTS) {
      for (String name :
          new TreeSet<>(
              keys(prefix).stream()
                  .map(k -> k.substring(prefix.length()).split("/", 2)[0])
                  .toList())) {
        found.add(getFileStatus(new Path(path, name)));
      }
    }
    if (found.isEmpty()) {
      throw new FileNotFoundException(path.toString());
    }
    return found.toArray(new FileStatus[0]);
  }

  @Override
  public boolean delete(Path path, boolean recursive) {
    synchronized (OBJECTS) {
      boolean there = OBJECTS.remove(key(path)) != null;
      if (recursive) {
        there |= OBJECTS.keySet().removeIf(k -> k.startsWith(key(path) + "/"));
      }
      return there;
    }
  }

  @Override
  public FSDataInputStream open(Path path, int bufferSize) throws IOException {
    return open(path);
  }

  @Override
  public FSDataInputStream open(Path path) throws IOException {
    Map.Entry<String, Stored> entry;
    synchronized (OBJECTS) {
      Stored stored = OBJECTS.get(key(path));
      if (stored == null) {
        throw new FileNotFoundException(path.toString());
      }
      entry = Map.entry(key(path), stored);
    }
    ByteArrayInputStream in = new ByteArrayInputStream(entry.getValue().bytes());
    return new FSDataInputStream() {
      @Override
      public void seek(long position) {
        in.reset();
        in.skip(position);
      }

      @Override
      public long getPos() {
        return entry.getValue().bytes().length - (long) in.available();
      }

      @Override
      public int read() {
        return in.read();
      }

      @Override
      public int read(byte[] target, int from, int length) {
        return in.read(target, from, length);
      }
    };
  }

  @Override
  public FSDataOutputStream create(Path path, WriteMode mode) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    return new FSDataOutputStream() {
      @Override
      public long getPos() {
        return out.size();
      }

      @Override
      public void write(int b) {
        out.write(b);
      }

      @Override
      public void write(byte[] bytes, int from, int length) {
        out.write(bytes, from, length);
      }

      @Override
      public void flush() {}

      @Override
      public void sync() {
        throw new UnsupportedOperationException("an object store cannot sync");
      }

      @Override
      public void close() throws IOException {
        synchronized (OBJECTS) {
          if (writesLeft-- <= 0) {
            throw new IOException("killed");
          }
          writes++;
          OBJECTS.put(key(path), new Stored(out.toByteArray(), System.currentTimeMillis()));
        }
      }
    };
  }

  private record Status(Path path, long length, long modified, boolean directory)
      implements FileStatus {
    @Override
    public long getLen() {
      return length;
    }

    @Override
    public long getBlockSize() {
      return length;
    }

    @Override
    public short getReplication() {
      return 1;
    }

    @Override
    public long getModificationTime() {
      return modified;
    }

    @Override
    public long getAccessTime() {
      return modified;
    }

    @Override
    public boolean isDir() {
      return directory;
    }

    @Override
    public Path getPath() {
      return path;
    }
  }
}
