package io.whetstream.model.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SafeTensorsTest {
  @TempDir Path scratch;

  private Path write(long headerLength, String header, int dataBytes) throws IOException {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer bytes =
        ByteBuffer.allocate(8 + text.length + dataBytes).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(headerLength).put(text);
    return Files.write(scratch.resolve("hostile.safetensors"), bytes.array());
  }

  private Path write(String header, int dataBytes) throws IOException {
    return write(header.getBytes(StandardCharsets.UTF_8).length, header, dataBytes);
  }

  private static void refused(Path file, String... words) {
    BadInputException e =
        assertThrows(BadInputException.class, () -> SafeTensors.open(file).close());
    for (String word : words) {
      assertTrue(e.getMessage().contains(word), e.getMessage());
    }
    assertTrue(e.getMessage().contains(file.toString()), e.getMessage());
  }

  private static String entry(String name, String dtype, String shape, String offsets) {
    return "\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":%s}"
        .formatted(name, dtype, shape, offsets);
  }

  @Test
  void readsBackEveryType() {
    float[] values = {0f, -0f, 1f, -2.5f, 65504f, 0x1p-24f, Float.POSITIVE_INFINITY, 0.3330078125f};
    long[] shape = {2, 4};
    Path file = scratch.resolve("all.safetensors");
    new SafeTensorsWriter()
        .add("f16", DType.F16, shape, values)
        .add("f32", shape, values)
        .add("f64", DType.F64, shape, values)
        .add("i64", new long[] {2}, new long[] {Long.MIN_VALUE, 7})
        .add("i32", DType.I32, new long[] {1}, new byte[] {-2, -1, -1, -1})
        .add("i16", DType.I16, new long[] {1}, new byte[] {-3, -1})
        .add("i8", DType.I8, new long[] {1}, new byte[] {-4})
        .add("u8", DType.U8, new long[] {1}, new byte[] {-1})
        .add("bool", DType.BOOL, new long[] {2}, new byte[] {0, 1})
        .add("bf16", DType.BF16, new long[] {3}, new float[] {1f, -2.5f, 0x1.02p100f})
        .add("scalar", new long[0], new float[] {2.5f})
        .add("empty", new long[] {0, 3}, new float[0])
        .metadata("format", "pt")
        .write(file);
    try (SafeTensors read = SafeTensors.open(file)) {
      for (String name : List.of("f16", "f32", "f64")) {
        assertArrayEquals(values, read.floats(name), name);
        assertArrayEquals(shape, read.info(name).shape());
      }
      assertArrayEquals(new long[] {Long.MIN_VALUE, 7}, read.longs("i64"));
      assertArrayEquals(new long[] {-2}, read.longs("i32"));
      assertArrayEquals(new long[] {-3}, read.longs("i16"));
      assertArrayEquals(new long[] {-4}, read.longs("i8"));
      assertArrayEquals(new long[] {255}, read.longs("u8"));
      assertArrayEquals(new long[] {0, 1}, read.longs("bool"));
      assertArrayEquals(new float[] {1f, -2.5f, 0x1.02p100f}, read.floats("bf16"));
      assertEquals(new FloatTensor(new long[0], new float[] {2.5f}), read.tensor("scalar"));
      assertEquals(0, read.floats("empty").length);
      assertEquals(Map.of("format", "pt"), read.metadata());
      assertArrayEquals(new byte[] {0, 1}, read.bytes("bool"));
    }
  }

  @Test
  void halfPrecisionRoundsToNearestEvenForEveryValue() {
    // Every half survives the way to float and back, and what lies between two goes to the nearest.
    for (int bits = 0; bits < 0x7c00; bits++) {
      float exact = Floats.fromHalf((short) bits);
      float next = bits == 0x7bff ? 65536f : Floats.fromHalf((short) (bits + 1));
      assertEquals((short) bits, Floats.toHalf(exact));
      assertEquals((short) (bits | 0x8000), Floats.toHalf(-exact));
      float middle = exact + (next - exact) / 2;
      assertEquals((short) (bits + (bits & 1)), Floats.toHalf(middle));
      assertEquals((short) bits, Floats.toHalf(Math.nextDown(middle)));
      assertEquals((short) (bits + 1), Floats.toHalf(Math.nextUp(middle)));
    }
    assertTrue(Float.isNaN(Floats.fromHalf(Floats.toHalf(Float.NaN))));
    assertTrue(Float.isNaN(Floats.fromBrain(Floats.toBrain(Float.NaN))));
    assertEquals(Float.NEGATIVE_INFINITY, Floats.fromHalf(Floats.toHalf(-1e9f)));
  }

  @ParameterizedTest
  @CsvSource({"0x1.01p0, 0x1.00p0", "0x1.03p0, 0x1.04p0", "0x1.010002p0, 0x1.02p0"})
  void brainFloatRoundsToNearestEven(String value, String expected) {
    assertEquals(
        Float.parseFloat(expected), Floats.fromBrain(Floats.toBrain(Float.parseFloat(value))));
  }

  @Test
  void bytesDoNotDependOnTheOrderOfCalls() {
    SafeTensorsWriter one = new SafeTensorsWriter();
    one.add("b", new long[] {1}, new float[] {1}).add("a", new long[] {1}, new long[] {2});
    one.metadata("x", "1").metadata("y", "2");
    SafeTensorsWriter two = new SafeTensorsWriter();
    two.metadata("y", "2").metadata("x", "1");
    two.add("a", new long[] {1}, new long[] {2}).add("b", new long[] {1}, new float[] {1});
    assertArrayEquals(one.toBytes(), two.toBytes());
  }

  @Test
  void aFailedWriteLeavesNothingBehind() throws IOException {
    Path taken = Files.createDirectories(scratch.resolve("taken.safetensors/inside"));
    SafeTensorsWriter writer = new SafeTensorsWriter().add("a", new long[] {1}, new float[] {1});
    assertThrows(UncheckedIOException.class, () -> writer.write(taken.getParent()));
    try (Stream<Path> left = Files.list(scratch)) {
      assertEquals(List.of(taken.getParent()), left.toList());
    }
  }

  @Test
  void readsBehindTwoGigabytesAndTensorsAcrossMaps() throws IOException {
    long big = (1L << 30) + (1L << 29);
    String header =
        "{"
            + entry("big", "F32", "[" + big / 4 + "]", "[0," + big + "]")
            + ","
            + entry("more", "U8", "[" + big + "]", "[" + big + "," + 2 * big + "]")
            + ","
            + entry("tail", "F32", "[2]", "[" + 2 * big + "," + (2 * big + 8) + "]")
            + "}";
    Path file = write(header, 0);
    long start = Files.size(file);
    try (RandomAccessFile sparse = new RandomAccessFile(file.toFile(), "rw")) {
      sparse.setLength(start + 2 * big + 8);
      for (long at : new long[] {start + (1L << 30) - 4, start + 2 * big}) {
        sparse.seek(at);
        // Little-endian 1.0f and 2.0f.
        sparse.write(new byte[] {0, 0, (byte) 0x80, 0x3f, 0, 0, 0, 0x40});
      }
    }
    try (SafeTensors read = SafeTensors.open(file)) {
      assertTrue(read.info("tail").begin() > Integer.MAX_VALUE);
      assertArrayEquals(new float[] {1f, 2f}, read.floats("tail"));
      List<Float> edges = new ArrayList<>();
      long[] bytes = {0};
      read.forEachMap(
          read.info("big"),
          map -> {
            bytes[0] += map.remaining();
            edges.add(map.getFloat(0));
            edges.add(map.getFloat(map.limit() - 4));
          });
      assertEquals(big, bytes[0]);
      assertEquals(List.of(0f, 1f, 2f, 0f), edges);
    }
    Files.delete(file);
  }

  @Test
  void refusesAFileShorterThanItsLengthField() throws IOException {
    refused(Files.write(scratch.resolve("short.safetensors"), new byte[7]), "7 bytes");
  }

  @Test
  void refusesAMissingFile() {
    refused(scratch.resolve("none.safetensors"), "no such file");
  }

  @ParameterizedTest
  @CsvSource({"100", "9223372036854775807", "-1", "-9223372036854775808"})
  void refusesAHeaderLengthBeyondTheFile(long length) throws IOException {
    refused(write(length, "{}", 0), "header", Long.toUnsignedString(length));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {"not json", "[1]", "{\"a\":", "{} {}", "7", "\"\"", "{\"a\":7}"})
  void refusesAHeaderThatIsNoJsonObject(String header) throws IOException {
    refused(write(header, 0), header.contains("7}") ? "tensor a" : "header");
  }

  @Test
  void refusesDeepNesting() throws IOException {
    refused(write("{\"a\":" + "[".repeat(5000) + "]".repeat(5000) + "}", 0), "JSON");
  }

  @Test
  void refusesANameTwice() throws IOException {
    String twice =
        "{" + entry("a", "U8", "[1]", "[0,1]") + "," + entry("a", "U8", "[1]", "[1,2]") + "}";
    refused(write(twice, 2), "Duplicate", "'a'");
  }

  @Test
  void refusesOverlap() throws IOException {
    String header =
        "{" + entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[1,3]") + "}";
    refused(write(header, 3), "tensor b overlaps tensor a");
  }

  @Test
  void refusesGapsAndStrayBytes() throws IOException {
    String gap =
        "{" + entry("a", "U8", "[1]", "[0,1]") + "," + entry("b", "U8", "[1]", "[2,3]") + "}";
    refused(write(gap, 3), "stray", "tensor b");
    refused(write("{" + entry("a", "U8", "[1]", "[0,1]") + "}", 2), "stray");
  }

  @Test
  void refusesATruncatedFileAtEveryLength() throws IOException {
    byte[] whole =
        new SafeTensorsWriter()
            .add("weight", new long[] {2, 3}, new float[6])
            .add("bias", new long[] {2}, new float[2])
            .toBytes();
    Path file = scratch.resolve("cut.safetensors");
    for (int length = 0; length < whole.length; length++) {
      Files.write(file, java.util.Arrays.copyOf(whole, length));
      refused(file);
    }
    Files.write(file, whole);
    SafeTensors.open(file).close();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "F32 | [1] | [4,8] | outside",
        "F32 | [1] | [4,0] | outside",
        "F32 | [1] | [-4,0] | no size",
        "F32 | [2] | [0,4] | needs 8 bytes",
        "F32 | [1152921504606846976] | [0,4] | needs",
        "F32 | [1152921504606846976,16] | [0,4] | larger than any file",
        "F32 | [4294967296,4294967296] | [0,0] | larger than any file",
        "F32 | [-1] | [0,4] | no size",
        "F32 | [1.5] | [0,4] | no size",
        "F32 | [99999999999999999999] | [0,4] | no size",
        "F32 | 1 | [0,4] | no shape",
        "F32 | [1] | [0] | data_offsets",
        "F32 | [1] | [0,18446744073709551615] | no size",
        "C64 | [1] | [0,8] | outside",
        "'' | [1] | [0,4] | no dtype",
      })
  void refusesAnImpossibleTensor(String dtype, String shape, String offsets, String reason)
      throws IOException {
    Path file = write("{" + entry("layer.weight", dtype, shape, offsets) + "}", 4);
    refused(file, "tensor layer.weight", reason);
  }

  @Test
  void tensorsOfTypesThatAreNotReadAreNamedAndNothingElse() throws IOException {
    Path file =
        write(
            "{"
                + entry("a", "F8_E4M3", "[4]", "[0,4]")
                + ","
                + entry("b", "F32", "[1]", "[4,8]")
                + ","
                + entry("c", "U16", "[2]", "[8,12]")
                + "}",
            12);
    try (SafeTensors read = SafeTensors.open(file)) {
      assertEquals(Map.of("a", "F8_E4M3", "c", "U16"), read.unread());
      assertEquals(Set.of("b"), read.tensors().keySet());
      assertEquals(1, read.floats("b").length);
    }
  }

  @Test
  void handsOverATensorInPiecesOfWholeElements() throws IOException {
    Path file = scratch.resolve("pieces.safetensors");
    float[] values = new float[103];
    for (int i = 0; i < values.length; i++) {
      values[i] = i;
    }
    new SafeTensorsWriter()
        .add("a", new long[] {3}, new float[3])
        .add("w", new long[] {103}, values)
        .write(file);
    try (SafeTensors read = SafeTensors.open(file)) {
      List<Float> got = new ArrayList<>();
      List<Integer> sizes = new ArrayList<>();
      read.forEachPiece(
          read.info("w"),
          ByteBuffer.allocateDirect(160),
          piece -> {
            sizes.add(piece.remaining());
            while (piece.hasRemaining()) {
              got.add(piece.getFloat());
            }
          });
      assertEquals(List.of(160, 160, 92), sizes);
      assertEquals(103, got.size());
      for (int i = 0; i < values.length; i++) {
        assertEquals(values[i], got.get(i));
      }
    }
  }

  @Test
  void aPointerOfGitLfsIsCalledOne() throws IOException {
    Path file = scratch.resolve("pointer.safetensors");
    Files.writeString(file, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 14\n");
    refused(file, "Git LFS pointer", "git lfs pull");
  }

  @Test
  void aThreadThatIsInterruptedTakesNothingFromOthers() throws Exception {
    Path file = scratch.resolve("shared.safetensors");
    new SafeTensorsWriter().add("w", new long[] {2}, new float[] {1, 2}).write(file);
    try (SafeTensors read = SafeTensors.open(file)) {
      Thread other =
          new Thread(
              () -> {
                Thread.currentThread().interrupt();
                read.floats("w");
              });
      other.start();
      other.join();
      assertArrayEquals(new float[] {1, 2}, read.floats("w"));
    }
  }

  @Test
  void aFileIsReadableByWhomTheProcessLetsRead() throws IOException {
    Path plain = Files.createFile(scratch.resolve("plain"));
    Path file = scratch.resolve("rights.safetensors");
    new SafeTensorsWriter().add("w", new long[] {1}, new float[] {1}).write(file);
    assertEquals(Files.getPosixFilePermissions(plain), Files.getPosixFilePermissions(file));
  }

  @Test
  void namesTheTensorThatIsAskedForInTheWrongType() throws IOException {
    Path file = scratch.resolve("types.safetensors");
    new SafeTensorsWriter()
        .add("ids", new long[] {1}, new long[] {1})
        .add("weight", new long[] {1}, new float[] {1})
        .write(file);
    try (SafeTensors read = SafeTensors.open(file)) {
      for (Map.Entry<String, org.junit.jupiter.api.function.Executable> wrong :
          Map.<String, org.junit.jupiter.api.function.Executable>of(
                  "ids", () -> read.floats("ids"),
                  "weight", () -> read.longs("weight"),
                  "none", () -> read.bytes("none"))
              .entrySet()) {
        BadInputException e = assertThrows(BadInputException.class, wrong.getValue());
        assertTrue(e.getMessage().contains("tensor " + wrong.getKey()), e.getMessage());
        assertFalse(e.getMessage().isBlank());
      }
    }
  }
}
