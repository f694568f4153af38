package io.whetstream.model.lvlm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.DType;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.checkpoint.SafeTensorsWriter;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How weights come into memory. */
class LoadingTest {
  private static final Path GOLDEN = Path.of("src", "test", "resources", "golden", "llava-tiny");
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path scratch;

  /** Loads the directory it is given and prints: most memory ever, bytes of the weights, a row. */
  static final class Child {
    private Child() {}

    public static void main(String[] args) throws IOException {
      LvlmOptions options = new LvlmOptions(Precision.valueOf(args[1]), "cpu", 1);
      try (Checkpoint checkpoint = Checkpoint.open(Path.of(args[0]));
          Lvlm model = Lvlm.open(checkpoint, options)) {
        String status = Files.readString(Path.of("/proc/self/status"));
        String peak = status.lines().filter(line -> line.startsWith("VmHWM:")).findFirst().get();
        float[] last = model.tokenEmbeddings(new long[] {Long.parseLong(args[2])});
        System.out.println(
            "peak "
                + Long.parseLong(peak.replaceAll("[^0-9]", "")) * 1024
                + " weights "
                + model.loadedBytes()
                + " row "
                + last[0]
                + " "
                + last[last.length - 1]);
      }
    }
  }

  /** A LLaVA whose weights are zeros that take no room on the disk, but one embedding. */
  private void sparse(int vocabulary, int width, int layers, String dtype, int marked)
      throws IOException {
    ObjectNode config = (ObjectNode) JSON.readTree(GOLDEN.resolve("config.json").toFile());
    ObjectNode text = (ObjectNode) config.get("text_config");
    text.put("vocab_size", vocabulary).put("hidden_size", width).put("num_hidden_layers", layers);
    text.put("intermediate_size", 4 * width).put("num_attention_heads", width / 64);
    text.put("num_key_value_heads", width / 64).put("head_dim", 64);
    text.put("tie_word_embeddings", true);
    config.put("tie_word_embeddings", true);
    JSON.writeValue(scratch.resolve("config.json").toFile(), config);
    Map<String, long[]> shapes =
        new TreeMap<>(ModelConfig.read(scratch.resolve("config.json")).architecture().tensors());
    shapes.remove("language_model.lm_head.weight");
    ObjectNode header = JSON.createObjectNode();
    long at = 0;
    long row = -1;
    int size = DType.valueOf(dtype).bytes();
    for (Map.Entry<String, long[]> entry : shapes.entrySet()) {
      long end = at + size * Arrays.stream(entry.getValue()).reduce(1, (a, b) -> a * b);
      ObjectNode node = header.putObject(entry.getKey()).put("dtype", dtype);
      Arrays.stream(entry.getValue()).forEach(node.withArray("shape")::add);
      node.putArray("data_offsets").add(at).add(end);
      row =
          entry.getKey().endsWith("embed_tokens.weight") ? at + (long) marked * width * size : row;
      at = end;
    }
    byte[] json = JSON.writeValueAsString(header).getBytes(StandardCharsets.UTF_8);
    try (RandomAccessFile file =
        new RandomAccessFile(scratch.resolve("model.safetensors").toFile(), "rw")) {
      ByteBuffer length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
      file.write(length.putLong(json.length).array());
      file.write(json);
      long data = file.getFilePointer();
      file.setLength(data + at);
      file.seek(data + row + (long) width * size - 2);
      file.write(new byte[] {(byte) 0x80, 0x3f}); // 1 in both types, their upper half
    }
  }

  private long[] load(Precision precision, int row) throws Exception {
    Process child =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx128m",
                "-Dai.djl.offline=true",
                "-Dwhetstream.cache=" + scratch.resolve("cache"),
                "-cp",
                System.getProperty("java.class.path"),
                Child.class.getName(),
                scratch.toString(),
                precision.name(),
                Integer.toString(row))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    String text = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertTrue(child.waitFor(300, TimeUnit.SECONDS));
    assertEquals(0, child.exitValue(), text);
    String line = text.lines().filter(each -> each.startsWith("peak ")).findFirst().orElseThrow();
    String[] words = line.split(" ");
    assertEquals("0.0", words[5]);
    assertEquals("1.0", words[6]);
    return new long[] {Long.parseLong(words[1]), Long.parseLong(words[3])};
  }

  private static void requireLittleBesideTheWeights(String what, long[] peakAndWeights) {
    double peak = peakAndWeights[0] / 1e9;
    double weights = peakAndWeights[1] / 1e9;
    System.out.printf(
        Locale.ROOT, "%s: weights %.2f GB, peak of the process %.2f GB%n", what, weights, peak);
    assertTrue(peak <= 1.1 * weights + 0.5, what + ": peak " + peak + " GB for " + weights + " GB");
  }

  @Test
  @Tag("slow")
  void aTableOfMoreElementsThanAnArrayOfBytesCouldHoldIsLoaded() throws Exception {
    int last = 599_999;
    sparse(last + 1, 896, 1, "BF16", last);
    try (SafeTensors file = SafeTensors.open(scratch.resolve("model.safetensors"))) {
      assertTrue(file.info("language_model.model.embed_tokens.weight").size() > 1L << 29);
    }
    requireLittleBesideTheWeights("bf16 as bf16", load(Precision.BF16, last));
  }

  @Test
  @Tag("slow")
  void loadingTakesLittleMoreThanTheWeightsThatStay() throws Exception {
    sparse(400, 2048, 6, "BF16", 399);
    requireLittleBesideTheWeights("bf16 as fp32", load(Precision.FP32, 399));
    requireLittleBesideTheWeights("bf16 as bf16", load(Precision.BF16, 399));
    Files.delete(scratch.resolve("model.safetensors"));
    sparse(400, 2048, 6, "F32", 399);
    requireLittleBesideTheWeights("fp32 as fp32", load(Precision.FP32, 399));
  }

  /** Values that every type holds, so that nothing but a fault in reading them moves a number. */
  @Test
  void weightsAreTheSameWhateverTypeTheyAreStoredIn() throws IOException {
    float[][] rows = new float[4][];
    DType[] types = {DType.F32, DType.F64, DType.F16, DType.BF16};
    for (int i = 0; i < types.length; i++) {
      Path directory = Files.createDirectory(scratch.resolve(types[i].name()));
      Files.copy(GOLDEN.resolve("config.json"), directory.resolve("config.json"));
      SafeTensorsWriter writer = new SafeTensorsWriter();
      try (SafeTensors file = SafeTensors.open(GOLDEN.resolve("model.safetensors"))) {
        for (String name : file.tensors().keySet()) {
          float[] values = file.floats(name);
          for (int j = 0; j < values.length; j++) {
            values[j] = Math.round(values[j] * 64) / 64f;
          }
          writer.add(name, types[i], file.info(name).shape(), values);
        }
      }
      writer.write(directory.resolve("model.safetensors"));
      try (Checkpoint checkpoint = Checkpoint.open(directory);
          Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(Precision.FP32, "cpu", 1))) {
        rows[i] =
            model.step(
                step ->
                    model
                        .unit(
                            step,
                            List.of(Row.embedding(new long[] {1, 50, 60}, true)),
                            model.features(step, List.of(), 1),
                            model.adapter(step, null, null, 0))
                        .embeddings()
                        .toFloatArray());
        assertEquals(4L * elements(checkpoint), model.loadedBytes(), 4L * elements(checkpoint) / 5);
      }
      assertArrayEquals(rows[0], rows[i], types[i].name());
    }
  }

  private static long elements(Checkpoint checkpoint) {
    return checkpoint.config().architecture().tensors().values().stream()
        .mapToLong(shape -> Arrays.stream(shape).reduce(1, (a, b) -> a * b))
        .sum();
  }
}
