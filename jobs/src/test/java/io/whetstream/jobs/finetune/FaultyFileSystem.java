package io.whetstream.jobs.finetune;

import java.io.IOException;
import java.net.URI;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.flink.core.fs.BlockLocation;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.core.fs.FSDataOutputStream;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.FileSystemFactory;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.fs.local.LocalFileSystem;

/** This machine's files behind scheme {@code faulty}, which at times do not answer. */
public final class FaultyFileSystem extends FileSystem {
  /** Whether nothing answers now. */
  static final AtomicBoolean DOWN = new AtomicBoolean();

  private static final LocalFileSystem FILES = new LocalFileSystem();

  /** For Flink's service loader. */
  public static final class Factory implements FileSystemFactory {
    @Override
    public String getScheme() {
      return "faulty";
    }

    @Override
    public FileSystem create(URI uri) {
      return new FaultyFileSystem();
    }
  }

  private static Path local(Path path) throws IOException {
    if (DOWN.get()) {
      throw new IOException("the store does not answer");
    }
    return new Path("file", null, path.getPath());
  }

  @Override
  public Path getWorkingDirectory() {
    return new Path("faulty", null, FILES.getWorkingDirectory().getPath());
  }

  @Override
  public Path getHomeDirectory() {
    return new Path("faulty", null, FILES.getHomeDirectory().getPath());
  }

  @Override
  public URI getUri() {
    return URI.create("faulty:///");
  }

  @Override
  public FileStatus getFileStatus(Path path) throws IOException {
    return FILES.getFileStatus(local(path));
  }

  @Override
  public BlockLocation[] getFileBlockLocations(FileStatus file, long start, long length)
      throws IOException {
    return FILES.getFileBlockLocations(file, start, length);
  }

  @Override
  public FSDataInputStream open(Path path, int bufferSize) throws IOException {
    return FILES.open(local(path), bufferSize);
  }

  @Override
  public FSDataInputStream open(Path path) throws IOException {
    return FILES.open(local(path));
  }

  @Override
  public FileStatus[] listStatus(Path path) throws IOException {
    return FILES.listStatus(local(path));
  }

  @Override
  public boolean delete(Path path, boolean recursive) throws IOException {
    return FILES.delete(local(path), recursive);
  }

  @Override
  public boolean mkdirs(Path path) throws IOException {
    return FILES.mkdirs(local(path));
  }

  @Override
  public FSDataOutputStream create(Path path, WriteMode mode) throws IOException {
    return FILES.create(local(path), mode);
  }

  @Override
  public boolean rename(Path from, Path to) throws IOException {
    return FILES.rename(local(from), local(to));
  }

  @Override
  public boolean isDistributedFS() {
    return true;
  }
}
