package io.whetstream.model.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import io.whetstream.model.LfsPointer;
import java.io.EOFException;
import java.io.IOException;
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
import java.util.TreeMap;
import java.util.function.Consumer;

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
  private volatile List<Piece> pieces;
  private final Map<String, TensorInfo> tensors;
  private final Map<String, String> unread;
  private final Map<String, String> metadata;

  /** A mapped part of the file: whole tensors, or a part of one that is too large for a map. */
  private record Piece(long begin, ByteBuffer map) {}

  /** What a tensor takes of the file, whatever its type is. */
  private record Span(String name, long begin, long end) {}

  private SafeTensors(
      Path file,
      List<Piece> pieces,
      Map<String, TensorInfo> tensors,
      Map<String, String> unread,
      Map<String, String> metadata) {
    this.file = file;
    this.pieces = pieces;
    this.tensors = Collections.unmodifiableMap(tensors);
    this.unread = Collections.unmodifiableMap(unread);
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
    // Nothing but opening uses the channel: a thread that is interrupted in it closes it for all.
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      return parse(file, channel);
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e, e);
    }
  }

  private static SafeTensors parse(Path file, FileChannel channel) throws IOException {
    long size = channel.size();
    if (size < 8) {
      throw new BadInputException(
          file + ": not a safetensors file: " + size + " bytes, shorter than its length field");
    }
    LfsPointer.refuse(file, readFully(channel, 0, (int) Math.min(size, LfsPointer.LENGTH)).array());
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
    List<Span> found = new ArrayList<>();
    Map<String, TensorInfo> tensors = new TreeMap<>();
    Map<String, String> unread = new TreeMap<>();
    for (Map.Entry<String, JsonNode> entry : header.properties()) {
      if (entry.getKey().equals("__metadata__")) {
        for (Map.Entry<String, JsonNode> item : entry.getValue().properties()) {
          metadata.put(item.getKey(), item.getValue().asText());
        }
      } else {
        String name = entry.getKey();
        Span span = span(file, name, entry.getValue(), 8 + length, size);
        found.add(span);
        String dtype = entry.getValue().path("dtype").asText();
        if (isRead(dtype)) {
          tensors.put(name, tensor(file, span, DType.valueOf(dtype), entry.getValue()));
        } else if (dtype.isEmpty()) {
          throw new BadInputException(file + ": tensor " + name + ": no dtype");
        } else {
          unread.put(name, dtype);
        }
      }
    }
    found.sort(Comparator.comparingLong(Span::begin).thenComparingLong(Span::end));
    long position = 8 + length;
    Span before = null;
    for (Span info : found) {
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
    return new SafeTensors(file, map(channel, found), tensors, unread, metadata);
  }

  /** Maps the data, cut where tensors end; one larger than a map is cut between its elements. */
  private static List<Piece> map(FileChannel channel, List<Span> spans) throws IOException {
    List<Piece> pieces = new ArrayList<>();
    long begin = -1;
    long end = -1;
    for (Span span : spans) {
      if (begin >= 0 && span.end() - begin > MAP_BYTES) {
        pieces.add(piece(channel, begin, end));
        begin = -1;
      }
      begin = begin < 0 ? span.begin() : begin;
      while (span.end() - begin > MAP_BYTES) {
        pieces.add(piece(channel, begin, begin + MAP_BYTES));
        begin += MAP_BYTES;
      }
      end = span.end();
    }
    if (begin >= 0 && end > begin) {
      pieces.add(piece(channel, begin, end));
    }
    return pieces;
  }

  private static Piece piece(FileChannel channel, long begin, long end) throws IOException {
    return new Piece(begin, channel.map(FileChannel.MapMode.READ_ONLY, begin, end - begin));
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

  private static Span span(Path file, String name, JsonNode node, long start, long size) {
    String where = file + ": tensor " + name + ": ";
    if (!node.isObject()) {
      throw new BadInputException(where + "its header entry is not a JSON object");
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
    return new Span(name, start + begin, start + end);
  }

  private static TensorInfo tensor(Path file, Span span, DType dtype, JsonNode node) {
    String where = file + ": tensor " + span.name() + ": ";
    JsonNode dimensions = node.path("shape");
    if (!dimensions.isArray()) {
      throw new BadInputException(where + "no shape");
    }
    long[] shape = new long[dimensions.size()];
    for (int i = 0; i < shape.length; i++) {
      shape[i] = natural(where + "shape", dimensions.get(i));
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
    if (bytes != span.end() - span.begin()) {
      throw new BadInputException(
          where
              + dtype
              + Arrays.toString(shape)
              + " needs "
              + bytes
              + " bytes, its data_offsets span "
              + (span.end() - span.begin()));
    }
    return new TensorInfo(span.name(), dtype, shape, span.begin(), span.end());
  }

  private static boolean isRead(String dtype) {
    return Arrays.stream(DType.values()).anyMatch(known -> known.name().equals(dtype));
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

  /** Tensors of element types that this library does not read: type by name. */
  public Map<String, String> unread() {
    return unread;
  }

  /** All tensors by name, in order of name, but those {@link #unread}. */
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
  void forEachMap(TensorInfo info, Consumer<ByteBuffer> use) {
    List<Piece> open = pieces;
    if (open == null) {
      throw new IllegalStateException(file + " has been closed");
    }
    for (Piece piece : open) {
      long begin = Math.max(info.begin(), piece.begin());
      long end = Math.min(info.end(), piece.begin() + piece.map().capacity());
      if (begin < end) {
        int at = (int) (begin - piece.begin());
        use.accept(
            piece
                .map()
                .slice(at, (int) (end - begin))
                .asReadOnlyBuffer()
                .order(ByteOrder.LITTLE_ENDIAN));
      }
    }
  }

  /**
   * Hands over a tensor's bytes in order, as many whole elements at a time as the buffer holds.
   * They are read, not mapped: what has been read of a map counts as memory of the process for as
   * long as the map lives, and a model would count twice while it is loaded.
   *
   * @param room a direct buffer of any multiple of 8 bytes, given to {@code use} filled
   */
  void forEachPiece(TensorInfo info, ByteBuffer room, Consumer<ByteBuffer> use) {
    if (pieces == null) {
      throw new IllegalStateException(file + " has been closed");
    }
    // A channel of its own: a thread that is interrupted in it closes it for nobody else.
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      long at = info.begin();
      while (at < info.end()) {
        room.clear().limit((int) Math.min(room.capacity(), info.end() - at));
        while (room.hasRemaining()) {
          if (channel.read(room, at + room.position()) < 0) {
            throw new EOFException("it ends at byte " + (at + room.position()));
          }
        }
        at += room.position();
        use.accept(room.flip().slice().order(ByteOrder.LITTLE_ENDIAN));
      }
    } catch (IOException e) {
      throw new BadInputException(file + ": tensor " + info.name() + " cannot be read: " + e, e);
    }
  }

  /** Lets go of the maps; the system takes them back once no buffer of theirs is in use. */
  @Override
  public void close() {
    pieces = null;
  }
}
