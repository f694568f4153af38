package io.whetstream.model.checkpoint;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.FreshFiles;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writes safetensors files. The bytes depend on contents only, never on the order of calls: tensors
 * are sorted by element size (largest first, so that all are aligned) and name, metadata by key.
 * Not safe for use by several threads.
 */
public final class SafeTensorsWriter {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int CHUNK = 1 << 20;

  private record Entry(String name, DType dtype, long[] shape, Object values) {
    long bytes() {
      long bytes = dtype.bytes();
      for (long dimension : shape) {
        bytes = Math.multiplyExact(bytes, dimension);
      }
      return bytes;
    }
  }

  private final Map<String, Entry> entries = new TreeMap<>();
  private final Map<String, String> metadata = new TreeMap<>();

  /** Adds a tensor of 32-bit floats. */
  public SafeTensorsWriter add(String name, long[] shape, float[] data) {
    return add(name, DType.F32, shape, data);
  }

  /** Adds a tensor of 32-bit floats. */
  public SafeTensorsWriter add(String name, FloatTensor tensor) {
    return add(name, DType.F32, tensor.shape(), tensor.data());
  }

  /** Adds a floating-point tensor, rounded to the given type (to nearest, ties to even). */
  public SafeTensorsWriter add(String name, DType dtype, long[] shape, float[] data) {
    if (!dtype.isFloat()) {
      throw new IllegalArgumentException(dtype + " is not a floating-point type");
    }
    return put(new Entry(name, dtype, shape.clone(), data), data.length);
  }

  /** Adds a tensor of 64-bit integers. */
  public SafeTensorsWriter add(String name, long[] shape, long[] data) {
    return put(new Entry(name, DType.I64, shape.clone(), data), data.length);
  }

  /** Adds a tensor by its bytes, little-endian. */
  public SafeTensorsWriter add(String name, DType dtype, long[] shape, byte[] data) {
    if (data.length % dtype.bytes() != 0) {
      throw new IllegalArgumentException(
          name + ": " + data.length + " bytes are no whole number of " + dtype + " elements");
    }
    return put(new Entry(name, dtype, shape.clone(), data), data.length / dtype.bytes());
  }

  private SafeTensorsWriter put(Entry entry, long elements) {
    if (entry.bytes() != elements * entry.dtype().bytes()) {
      throw new IllegalArgumentException(
          entry.name()
              + ": shape "
              + Arrays.toString(entry.shape())
              + " does not fit "
              + elements
              + " elements");
    }
    if (entry.name().equals("__metadata__") || entries.putIfAbsent(entry.name(), entry) != null) {
      throw new IllegalArgumentException("tensor name " + entry.name() + " is taken");
    }
    return this;
  }

  /** Sets one string of the file's metadata. */
  public SafeTensorsWriter metadata(String key, String value) {
    metadata.put(key, value);
    return this;
  }

  /** The whole file. */
  public byte[] toBytes() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      writeTo(bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  /**
   * Writes the file atomically: a reader sees the old content or the new, never a part. On failure
   * nothing is left behind.
   */
  public void write(Path file) {
    Path target = file.toAbsolutePath();
    Path part = null;
    try {
      part = FreshFiles.file(target.getParent(), target.getFileName().toString());
      try (FileChannel channel = FileChannel.open(part, StandardOpenOption.WRITE)) {
        writeTo(Channels.newOutputStream(channel));
        channel.force(true);
      }
      try {
        Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
      } catch (AtomicMoveNotSupportedException e) {
        Files.move(part, target, StandardCopyOption.REPLACE_EXISTING);
      }
      part = null;
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write " + file, e);
    } finally {
      if (part != null) {
        part.toFile().delete();
      }
    }
  }

  private void writeTo(OutputStream out) throws IOException {
    List<Entry> ordered = new ArrayList<>(entries.values());
    ordered.sort(
        Comparator.comparingInt((Entry e) -> -e.dtype().bytes()).thenComparing(Entry::name));
    ObjectNode header = JSON.createObjectNode();
    if (!metadata.isEmpty()) {
      ObjectNode node = header.putObject("__metadata__");
      metadata.forEach(node::put);
    }
    long at = 0;
    for (Entry entry : ordered) {
      ObjectNode node = header.putObject(entry.name());
      node.put("dtype", entry.dtype().name());
      Arrays.stream(entry.shape()).forEach(node.putArray("shape")::add);
      node.putArray("data_offsets").add(at).add(at + entry.bytes());
      at += entry.bytes();
    }
    String json = JSON.writeValueAsString(header);
    byte[] text = json.getBytes(StandardCharsets.UTF_8);
    byte[] padded = Arrays.copyOf(text, (text.length + 7) / 8 * 8);
    Arrays.fill(padded, text.length, padded.length, (byte) ' ');
    out.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(padded.length).array());
    out.write(padded);
    for (Entry entry : ordered) {
      writeData(entry, out);
    }
  }

  private static void writeData(Entry entry, OutputStream out) throws IOException {
    if (entry.values() instanceof byte[] bytes) {
      out.write(bytes);
      return;
    }
    ByteBuffer buffer = ByteBuffer.allocate(CHUNK).order(ByteOrder.LITTLE_ENDIAN);
    if (entry.values() instanceof long[] longs) {
      for (long value : longs) {
        flushIfFull(buffer, out);
        buffer.putLong(value);
      }
    } else {
      for (float value : (float[]) entry.values()) {
        flushIfFull(buffer, out);
        switch (entry.dtype()) {
          case F32 -> buffer.putFloat(value);
          case F64 -> buffer.putDouble(value);
          case F16 -> buffer.putShort(Floats.toHalf(value));
          default -> buffer.putShort(Floats.toBrain(value));
        }
      }
    }
    out.write(buffer.array(), 0, buffer.position());
  }

  private static void flushIfFull(ByteBuffer buffer, OutputStream out) throws IOException {
    if (!buffer.hasRemaining()) {
      out.write(buffer.array(), buffer.arrayOffset(), buffer.position());
      buffer.clear();
    }
  }
}
