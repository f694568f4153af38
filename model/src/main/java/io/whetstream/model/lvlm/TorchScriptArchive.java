package io.whetstream.model.lvlm;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.TextConfig;
import io.whetstream.model.checkpoint.VisionConfig;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * Assembles the TorchScript archive of one model from the source in {@code llava.py}: a zip of that
 * source with the model's constants filled in, and a pickle of a module without parameters. The
 * weights are arguments of every call, so an archive is a few kilobytes.
 */
public final class TorchScriptArchive {
  private static final String SOURCE = "llava.py";
  private static final Pattern CONSTANT = Pattern.compile("@([A-Z_]+)@");

  private TorchScriptArchive() {}

  /** The archive's bytes, as {@code torch.jit.load} reads them; equal for equal configurations. */
  public static byte[] assemble(ModelConfig config) {
    String code = fill(source(), constants(config));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      entry(zip, "data.pkl", emptyModule());
      entry(zip, "code/__torch__.py", code.getBytes(StandardCharsets.UTF_8));
      // An empty tuple: no tensor constants.
      entry(zip, "constants.pkl", new byte[] {(byte) 0x80, 2, ')', '.'});
      entry(zip, "version", "3\n".getBytes(StandardCharsets.US_ASCII));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  private static Map<String, String> constants(ModelConfig config) {
    VisionConfig vision = config.vision();
    TextConfig text = config.text();
    Map<String, String> constants = new LinkedHashMap<>();
    constants.put("PATCH", Integer.toString(vision.patchSize()));
    constants.put("VISION_HEADS", Integer.toString(vision.heads()));
    constants.put("VISION_LAYERS", Integer.toString(vision.layers()));
    constants.put("VISION_LAYERS_USED", Integer.toString(config.visionLayersUsed()));
    constants.put("VISION_EPS", Double.toString(vision.layerNormEps()));
    constants.put("VISION_ACT", function(vision.activation()));
    constants.put("PRE_NORM", vision.type().equals("clip") ? "True" : "False");
    constants.put(
        "SELECT_FROM", config.visionFeatureSelectStrategy().equals("default") ? "1" : "0");
    constants.put("SHUFFLE", Integer.toString(config.shuffle()));
    constants.put(
        "SHUFFLED_GRID",
        Integer.toString(vision.imageSize() / vision.patchSize() / Math.max(1, config.shuffle())));
    constants.put("PROJECTOR_ACT", function(config.projectorActivation()));
    constants.put("RMS_EPS", Double.toString(text.rmsNormEps()));
    constants.put("LAYERS", Integer.toString(text.layers()));
    constants.put("HEADS", Integer.toString(text.heads()));
    constants.put("KV_HEADS", Integer.toString(text.keyValueHeads()));
    constants.put("HEAD_DIM", Integer.toString(text.headDim()));
    constants.put("TEXT_ACT", function(text.activation()));
    return constants;
  }

  private static String function(String activation) {
    return switch (activation) {
      case "quick_gelu" -> "quick_gelu";
      case "gelu" -> "gelu";
      case "gelu_pytorch_tanh", "gelu_new" -> "gelu_tanh";
      case "silu", "swish" -> "silu";
      case "relu" -> "relu";
      default ->
          throw new BadInputException(
              "activation '"
                  + activation
                  + "' is not supported; supported: quick_gelu, gelu, gelu_pytorch_tanh, gelu_new,"
                  + " silu, swish, relu");
    };
  }

  private static String source() {
    try (InputStream in = TorchScriptArchive.class.getResourceAsStream(SOURCE)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String fill(String source, Map<String, String> constants) {
    Matcher matcher = CONSTANT.matcher(source);
    StringBuilder filled = new StringBuilder();
    while (matcher.find()) {
      String value = constants.get(matcher.group(1));
      if (value == null) {
        throw new IllegalStateException(SOURCE + " names an unknown constant " + matcher.group());
      }
      matcher.appendReplacement(filled, Matcher.quoteReplacement(value));
    }
    return matcher.appendTail(filled).toString();
  }

  /** Pickle protocol 2 of {@code __torch__.Lvlm} with the one attribute every module has. */
  private static byte[] emptyModule() throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(0x80);
    out.write(2);
    out.write("c__torch__\nLvlm\n)".getBytes(StandardCharsets.US_ASCII));
    out.write(0x81);
    out.write("}(X".getBytes(StandardCharsets.US_ASCII));
    out.write(new byte[] {8, 0, 0, 0});
    out.write("training".getBytes(StandardCharsets.US_ASCII));
    out.write(0x88);
    out.write("ub.".getBytes(StandardCharsets.US_ASCII));
    return out.toByteArray();
  }

  private static void entry(ZipOutputStream zip, String name, byte[] bytes) throws IOException {
    ZipEntry entry = new ZipEntry("lvlm/" + name);
    entry.setTime(315532800000L); // 1980-01-01: equal inputs give equal archives
    zip.putNextEntry(entry);
    zip.write(bytes);
    zip.closeEntry();
  }
}
