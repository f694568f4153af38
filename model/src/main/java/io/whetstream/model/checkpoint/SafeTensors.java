package io.whetstream.model.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A safetensors file, open for reading. The header is checked completely on opening, as strictly as
 * the reference implementation does: no gap, no overlap, nothing outside the file, no name twice,
 * sizes that fit shapes. Data is memory-mapped on demand in pieces, so files and single tensors
 * beyond 2 GB are no special case and nothing is held on the heap but what is asked for.
 *
 * <p>Safe for use by several threads. The file must not be changed while it is open.
 */
public final class SafeTensors implements AutoCloseable {
  /** The reference implementation's bound on the header. */
  private static final int MAX_HEADER = 100_000_000;

  /** A multiple of every element size, so no element crosses two maps. */
  private static final long MAP_BYTES = 1L << 30;

  private static final ObjectMapper JSON =
      new ObjectMapper(
          JsonFactory.builder()
              .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
              .streamReadConstraints(
                  StreamReadConstraints.builder()
                      .maxNestingDepth(8)
                      .maxStringLength(MAX_HEADER)
                      .build())
              .build());

  private final Path file;
  private final FileChannel channel;
  private final Map<String, TensorInfo> tensors;
  private final Map<String, String> metadata;

  private SafeTensors(
      Path file,
      FileChannel channel,
      Map<String, TensorInfo> tensors,
      Map<String, String> metadata) {
    this.file = file;
    this.channel = channel;
    this.tensors = Collections.unmodifiableMap(tensors);
    this.metadata = Collections.unmodifiableMap(metadata);
  }

  /**
   * Opens and checks a file.
   *
   * @throws BadInputException if it is missing or not a valid safetensors file; the message names
   *     file and tensor
   */
  public static SafeTensors open(Path file) {
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(file + ": no such file");
    }
    FileChannel channel;
    try {
      channel = FileChannel.open(file, StandardOpenOption.READ);
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e, e);
    }
    try {
      return parse(file, channel);
    } catch (IOException e) {
      closeQuietly(channel, e);
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    } catch (RuntimeException e) {
      closeQuietly(channel, e);
      throw e;
    }
  }

  private static void closeQuietly(FileChannel channel, Exception cause) {
    try {
      channel.close();
    } catch (IOException e) {
      cause.addSuppressed(e);
    }
  }

  private static SafeTensors parse(Path file, FileChannel channel) throws IOException {
    long size = channel.size();
    if (size < 8) {
      throw new BadInputException(
          file + ": not a safetensors file: " + size + " bytes, shorter than its length field");
    }
    long length = readFully(channel, 0, 8).getLong();
    if (length < 0 || length > size - 8) {
      throw new BadInputException(
          file
              + ": not a safetensors file, or a truncated one: its header should be "
              + Long.toUnsignedString(length)
              + " bytes long, the whole file has "
              + size);
    }
    if (length > MAX_HEADER) {
      throw new BadInputException(
          file + ": header of " + length + " bytes; at most " + MAX_HEADER + " are allowed");
    }
    JsonNode header = header(file, readFully(channel, 8, (int) length));
    Map<String, String> metadata = new LinkedHashMap<>();
    List<TensorInfo> found = new ArrayList<>();
    for (Map.Entry<String, JsonNode> entry : header.properties()) {
      if (entry.getKey().equals("__metadata__")) {
        for (Map.Entry<String, JsonNode> item : entry.getValue().properties()) {
          metadata.put(item.getKey(), item.getValue().asText());
        }
      } else {
        found.add(tensor(file, entry.getKey(), entry.getValue(), 8 + length, size));
      }
    }
    found.sort(Comparator.comparingLong(TensorInfo::begin).thenComparingLong(TensorInfo::end));
    long position = 8 + length;
    TensorInfo before = null;
    for (TensorInfo info : found) {
      if (info.begin() < position) {
        throw new BadInputException(
            file + ": tensor " + info.name() + " overlaps tensor " + before.name());
      }
      if (info.begin() > position) {
        throw new BadInputException(
            file + ": " + (info.begin() - position) + " stray bytes before tensor " + info.name());
      }
      position = info.end();
      before = info;
    }
    if (position != size) {
      throw new BadInputException(
          file + ": " + (size - position) + " stray bytes behind the last tensor");
    }
    Map<String, TensorInfo> tensors = new LinkedHashMap<>();
    found.stream()
        .sorted(Comparator.comparing(TensorInfo::name))
        .forEach(info -> tensors.put(info.name(), info));
    return new SafeTensors(file, channel, tensors, metadata);
  }

  private static JsonNode header(Path file, ByteBuffer bytes) {
    JsonNode header;
    try (JsonParser parser =
        JSON.getFactory().createParser(bytes.array(), bytes.arrayOffset(), bytes.capacity())) {
      header = JSON.readTree(parser);
      if (header != null && parser.nextToken() != null) {
        throw new BadInputException(file + ": text behind the end of the safetensors header");
      }
    } catch (IOException e) {
      // The first line says what and where; the rest of Jackson's message quotes the source.
      String reason =
          e.getMessage() == null ? e.toString() : e.getMessage().lines().findFirst().get();
      throw new BadInputException(
          file + ": the safetensors header is not valid JSON: " + reason, e);
    }
    if (header == null || !header.isObject()) {
      throw new BadInputException(file + ": the safetensors header is not a JSON object");
    }
    return header;
  }

  private static TensorInfo tensor(Path file, String name, JsonNode node, long start, long size) {
    String where = file + ": tensor " + name + ": ";
    if (!node.isObject()) {
      throw new BadInputException(where + "its header entry is not a JSON object");
    }
    DType dtype = dtype(where, node.path("dtype").asText());
    JsonNode dimensions = node.path("shape");
    if (!dimensions.isArray()) {
      throw new BadInputException(where + "no shape");
    }
    long[] shape = new long[dimensions.size()];
    for (int i = 0; i < shape.length; i++) {
      shape[i] = natural(where + "shape", dimensions.get(i));
    }
    JsonNode offsets = node.path("data_offsets");
    if (offsets.size() != 2) {
      throw new BadInputException(where + "no data_offsets [begin, end]");
    }
    long begin = natural(where + "data_offsets", offsets.get(0));
    long end = natural(where + "data_offsets", offsets.get(1));
    if (begin > end || end > size - start) {
      throw new BadInputException(
          where
              + "data_offsets "
              + begin
              + ".."
              + end
              + " are outside the file's "
              + (size - start)
              + " bytes of data; the file is truncated or damaged");
    }
    long bytes;
    try {
      bytes = dtype.bytes();
      for (long dimension : shape) {
        bytes = Math.multiplyExact(bytes, dimension);
      }
    } catch (ArithmeticException e) {
      throw new BadInputException(
          where + "shape " + Arrays.toString(shape) + " is larger than any file", e);
    }
    if (bytes != end - begin) {
      throw new BadInputException(
          where
              + dtype
              + Arrays.toString(shape)
              + " needs "
              + bytes
              + " bytes, its data_offsets span "
              + (end - begin));
    }
    return new TensorInfo(name, dtype, shape, start + begin, start + end);
  }

  private static DType dtype(String where, String name) {
    for (DType dtype : DType.values()) {
      if (dtype.name().equals(name)) {
        return dtype;
      }
    }
    throw new BadInputException(
        where + "dtype '" + name + "' is not supported; supported: " + List.of(DType.values()));
  }

  private static long natural(String where, JsonNode node) {
    if (!node.isIntegralNumber() || !node.canConvertToLong() || node.asLong() < 0) {
      throw new BadInputException(where + " holds " + node + ", which is no size");
    }
    return node.asLong();
  }

  private static ByteBuffer readFully(FileChannel channel, long position, int length)
      throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(length).order(ByteOrder.LITTLE_ENDIAN);
    while (buffer.hasRemaining()) {
      if (channel.read(buffer, position + buffer.position()) < 0) {
        throw new EOFException("it ends at byte " + (position + buffer.position()));
      }
    }
    return buffer.flip().order(ByteOrder.LITTLE_ENDIAN);
  }

  /** The file. */
  public Path file() {
    return file;
  }

  /** All tensors by name, in order of name. */
  public Map<String, TensorInfo> tensors() {
    return tensors;
  }

  /** The strings under {@code __metadata__}. */
  public Map<String, String> metadata() {
    return metadata;
  }

  /**
   * One tensor's place in the file.
   *
   * @throws BadInputException if there is none of this name
   */
  public TensorInfo info(String name) {
    TensorInfo info = tensors.get(name);
    if (info == null) {
      throw new BadInputException(file + ": no tensor " + name);
    }
    return info;
  }

  /** The elements of a floating-point tensor; F16, BF16 and F64 are converted. */
  public float[] floats(String name) {
    TensorInfo info = info(name);
    float[] values = new float[arrayLength(info, 1)];
    read(name, FloatBuffer.wrap(values));
    return values;
  }

  /** A floating-point tensor with its shape. */
  public FloatTensor tensor(String name) {
    return new FloatTensor(info(name).shape(), floats(name));
  }

  /**
   * Puts the elements of a floating-point tensor into a buffer, from its position on; F16, BF16 and
   * F64 are converted.
   */
  public void read(String name, FloatBuffer target) {
    TensorInfo info = info(name);
    if (!info.dtype().isFloat()) {
      throw new BadInputException(
          file + ": tensor " + name + " is " + info.dtype() + ", not floating-point");
    }
    forEachMap(
        info,
        map -> {
          switch (info.dtype()) {
            case F32 -> target.put(map.asFloatBuffer());
            case F64 -> {
              while (map.hasRemaining()) {
                target.put((float) map.getDouble());
              }
            }
            case F16 -> {
              while (map.hasRemaining()) {
                target.put(Floats.fromHalf(map.getShort()));
              }
            }
            default -> {
              while (map.hasRemaining()) {
                target.put(Floats.fromBrain(map.getShort()));
              }
            }
          }
        });
  }

  /** Puts the bytes of a tensor, little-endian as they are, into a buffer. */
  public void read(String name, ByteBuffer target) {
    forEachMap(info(name), target::put);
  }

  /** The bytes of a tensor, little-endian as they are. */
  public byte[] bytes(String name) {
    TensorInfo info = info(name);
    byte[] values = new byte[arrayLength(info, info.dtype().bytes())];
    read(name, ByteBuffer.wrap(values));
    return values;
  }

  /** The elements of an integer or boolean tensor. */
  public long[] longs(String name) {
    TensorInfo info = info(name);
    if (info.dtype().isFloat()) {
      throw new BadInputException(
          file + ": tensor " + name + " is " + info.dtype() + ", not integer");
    }
    long[] values = new long[arrayLength(info, 1)];
    int[] at = {0};
    forEachMap(
        info,
        map -> {
          while (map.hasRemaining()) {
            values[at[0]++] =
                switch (info.dtype()) {
                  case I64 -> map.getLong();
                  case I32 -> map.getInt();
                  case I16 -> map.getShort();
                  case I8 -> map.get();
                  default -> map.get() & 0xff;
                };
          }
        });
    return values;
  }

  private int arrayLength(TensorInfo info, int unit) {
    long length = info.size() * unit;
    if (length > Integer.MAX_VALUE - 8) {
      throw new BadInputException(
          file + ": tensor " + info.name() + " has " + info.size() + " elements, too many to hold");
    }
    return (int) length;
  }

  /** Hands over the tensor's bytes in order, in read-only little-endian maps. */
  void forEachMap(TensorInfo info, java.util.function.Consumer<ByteBuffer> use) {
    try {
      for (long at = info.begin(); at < info.end(); at += MAP_BYTES) {
        long length = Math.min(MAP_BYTES, info.end() - at);
        use.accept(
            channel.map(FileChannel.MapMode.READ_ONLY, at, length).order(ByteOrder.LITTLE_ENDIAN));
      }
    } catch (IOException e) {
      throw new UncheckedIOException(file + ": tensor " + info.name() + " cannot be read", e);
    }
  }

  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
