package io.whetstream.model.lvlm;

import io.whetstream.model.checkpoint.Activation;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.Architecture.Decoder;
import io.whetstream.model.checkpoint.Architecture.Tower;
import io.whetstream.model.checkpoint.DynamicVision;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * Assembles TorchScript archives: a zip of the parts that an architecture names, with the model's
 * constants filled in, and a pickle of a module without parameters. The weights are arguments of
 * every call, so an archive is a few kilobytes.
 */
final class TorchScriptArchive {
  private static final Pattern CONSTANT = Pattern.compile("@([A-Z0-9_]+)@");

  /** Below it stand a part's methods. */
  private static final String METHODS = "# methods\n";

  private TorchScriptArchive() {}

  /**
   * The archive's bytes, as {@code torch.jit.load} reads them; equal for equal arguments.
   *
   * @param adapter the part that computes adapters
   * @param more parts besides those of the model
   */
  static byte[] assemble(
      Architecture architecture, Precision precision, ScriptPart adapter, List<ScriptPart> more) {
    StringBuilder functions = new StringBuilder();
    StringBuilder methods =
        new StringBuilder("class Lvlm(Module):\n")
            .append("  __parameters__ = []\n  __buffers__ = []\n  training : bool\n");
    Map<String, String> constants = constants(architecture);
    put(constants, "DTYPE", precision.scalarType());
    List<ScriptPart> parts = new ArrayList<>();
    for (String name : parts(architecture)) {
      parts.add(ScriptPart.of(TorchScriptArchive.class, name, Map.of()));
    }
    parts.add(adapter);
    parts.addAll(more);
    parts.forEach(part -> constants.putAll(part.constants()));
    for (ScriptPart part : parts) {
      String source = fill(part, constants);
      int at = source.indexOf(METHODS);
      functions.append(at < 0 ? source : source.substring(0, at)).append('\n');
      methods.append(at < 0 ? "" : source.substring(at + METHODS.length()));
    }
    String code = functions.append(methods).toString();
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

  /** The resources that make up a model of this architecture, without an adapter. */
  private static List<String> parts(Architecture architecture) {
    return List.of(
        "common",
        "tower_" + architecture.tower().kind(),
        "connector_" + architecture.connector().kind(),
        "positions_" + architecture.decoder().scheme().name().toLowerCase(Locale.ROOT),
        architecture.decoder().layers().get(0).queryNorm() == null ? "heads_plain" : "heads_normed",
        "decoder",
        "model");
  }

  private static Map<String, String> constants(Architecture architecture) {
    Tower tower = architecture.tower();
    Decoder decoder = architecture.decoder();
    Map<String, String> constants = new LinkedHashMap<>();
    WeightSlot.vision(architecture).places().addTo(constants);
    WeightSlot.decoder(architecture).places().addTo(constants);
    AdapterLayout.pairs(architecture).addTo(constants);
    put(constants, "PATCH", tower.patchSize());
    put(constants, "VISION_HEADS", tower.heads());
    put(constants, "VISION_LAYERS", tower.layers().size());
    tower.layers().stream()
        .limit(1)
        .forEach(
            layer -> {
              constants.put("VISION_EPS", Double.toString(layer.attentionNorm().epsilon()));
              constants.put("VISION_ACT", function(layer.activation()));
            });
    constants.put("PRE_NORM", ScriptPart.bool(tower.before() != null));
    put(constants, "SELECT_FROM", tower.dropped());
    constants.put("POST_NORM", ScriptPart.bool(tower.after() != null));
    put(constants, "SHUFFLE", architecture.connector().square());
    put(constants, "SHUFFLED_GRID", tower.grid() / architecture.connector().square());
    if (architecture.connector().activation() != null) {
      constants.put("CONNECTOR_ACT", function(architecture.connector().activation()));
    }
    DynamicVision dynamic = tower.dynamic();
    if (dynamic != null) {
      boolean gated = !tower.layers().isEmpty() && tower.layers().get(0).inner().size() > 1;
      constants.put("VISION_GATED", ScriptPart.bool(gated));
      constants.put("FULL_LAYERS", integers(dynamic.fullAttentionLayers()));
      constants.put("DEEPSTACK_LAYERS", integers(dynamic.deepstackLayers()));
    }
    put(constants, "DEEPSTACK", architecture.connector().deepstack().size());
    put(constants, "CONNECTOR_STRIDE", WeightSlot.connectorSize(architecture));
    constants.put("RMS_EPS", Double.toString(decoder.norm().epsilon()));
    put(constants, "LAYERS", decoder.layers().size());
    put(constants, "HEADS", decoder.heads());
    put(constants, "KV_HEADS", decoder.keyValueHeads());
    put(constants, "HEAD_DIM", decoder.headDim());
    constants.put("TEXT_ACT", function(decoder.layers().get(0).activation()));
    return constants;
  }

  private static void put(Map<String, String> constants, String name, int value) {
    constants.put(name, Integer.toString(value));
  }

  private static String integers(List<Integer> list) {
    return list.isEmpty() ? "annotate(List[int], [])" : list.toString();
  }

  private static String function(Activation activation) {
    return activation.name().toLowerCase(Locale.ROOT);
  }

  private static String fill(ScriptPart part, Map<String, String> constants) {
    Matcher matcher = CONSTANT.matcher(part.source());
    StringBuilder filled = new StringBuilder();
    while (matcher.find()) {
      String value = constants.get(matcher.group(1));
      if (value == null) {
        throw new IllegalStateException(
            part.name() + ".py names an unknown constant " + matcher.group());
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
