package io.whetstream.model.checkpoint;

import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * What a configuration adds to the digest of a base: the text of a JSON object without blanks, keys
 * in order, that is written key by key here and nowhere else. A component that is added to a
 * configuration record is therefore no part of it, and no adapter and no savepoint becomes invalid.
 *
 * <p>The form of a model never changes. A model that version 1 cannot describe, because numbers
 * depend on something that has no key here, gets a version of its own; its text begins with the
 * line {@code whetstream base N}, which no text of version 1 does.
 */
final class CanonicalForm {
  private final SortedMap<String, String> fields = new TreeMap<>();

  /**
   * Version 1, of LLaVA with one fixed square image. It also holds what changes no number ({@code
   * maxPositions}, padding and end tokens): it is what releases before it had hashed.
   */
  static CanonicalForm version1(ModelConfig config) {
    return new CanonicalForm()
        .put("family", config.family())
        .put("imageTokenId", config.imageTokenId())
        .put("imageTokens", config.imageTokens())
        .put("padTokenId", config.padTokenId())
        .put("projectorActivation", config.projectorActivation())
        .put("projectorBias", config.projectorBias())
        .put("text", text(config.text()))
        .put("tiedEmbeddings", config.tiedEmbeddings())
        .put("vision", vision(config.vision()))
        .put("visionFeatureLayer", config.visionFeatureLayer())
        .put("visionFeatureSelectStrategy", config.visionFeatureSelectStrategy());
  }

  /** The form of any model: version 1 wherever that describes it. */
  static String of(ModelConfig config) {
    TextConfig text = config.text();
    boolean first =
        config.vision().dynamic() == null
            && config.shuffle() == 0
            && config.canvases() == null
            && text.outputBias() == text.attentionBias()
            && !text.headNorms()
            && text.multimodalRope() == null;
    return first ? version1(config).toString() : "whetstream base 2\n" + version2(config);
  }

  /** Version 2, of models whose pictures have any size or number of pieces. */
  private static CanonicalForm version2(ModelConfig config) {
    TextConfig text = config.text();
    MultimodalRope rope = text.multimodalRope();
    DynamicVision dynamic = config.vision().dynamic();
    Canvases canvases = config.canvases();
    return new CanonicalForm()
        .put("family", config.family())
        .put("imageTokenId", config.imageTokenId())
        .put("projectorActivation", config.projectorActivation())
        .put("projectorBias", config.projectorBias())
        .put("shuffle", config.shuffle())
        .put("tiedEmbeddings", config.tiedEmbeddings())
        .put("visionFeatureLayer", config.visionFeatureLayer())
        .put("visionFeatureSelectStrategy", config.visionFeatureSelectStrategy())
        .put("text", text(text))
        .put("headNorms", text.headNorms())
        .put("outputBias", text.outputBias())
        .put(
            "multimodalRope",
            rope == null
                ? null
                : new CanonicalForm()
                    .put("interleaved", rope.interleaved())
                    .put("sections", rope.sections().toString()))
        .put("vision", vision(config.vision()))
        .put(
            "dynamicVision",
            dynamic == null
                ? null
                : new CanonicalForm()
                    .put("deepstackLayers", dynamic.deepstackLayers().toString())
                    .put("fullAttentionLayers", dynamic.fullAttentionLayers().toString())
                    .put("merge", dynamic.merge())
                    .put("positionSide", dynamic.positionSide())
                    .put("windowSize", dynamic.windowSize()))
        .put(
            "canvases",
            canvases == null
                ? null
                : new CanonicalForm()
                    .put("maxSquares", canvases.maxSquares())
                    .put("sizes", canvases.sizes().toString()));
  }

  private static CanonicalForm text(TextConfig text) {
    return new CanonicalForm()
        .put("activation", text.activation())
        .put("attentionBias", text.attentionBias())
        .put("bosTokenId", text.bosTokenId())
        .put("eosTokenId", text.eosTokenId())
        .put("headDim", text.headDim())
        .put("heads", text.heads())
        .put("hiddenSize", text.hiddenSize())
        .put("intermediateSize", text.intermediateSize())
        .put("keyValueHeads", text.keyValueHeads())
        .put("layers", text.layers())
        .put("maxPositions", text.maxPositions())
        .put("mlpBias", text.mlpBias())
        .put("rmsNormEps", text.rmsNormEps())
        .put("ropeScaling", ropeScaling(text.ropeScaling()))
        .put("ropeTheta", text.ropeTheta())
        .put("vocabSize", text.vocabSize());
  }

  private static CanonicalForm ropeScaling(RopeScaling scaling) {
    return scaling == null
        ? null
        : new CanonicalForm()
            .put("factor", scaling.factor())
            .put("highFrequencyFactor", scaling.highFrequencyFactor())
            .put("lowFrequencyFactor", scaling.lowFrequencyFactor())
            .put("originalMaxPositions", scaling.originalMaxPositions())
            .put("type", scaling.type());
  }

  private static CanonicalForm vision(VisionConfig vision) {
    return new CanonicalForm()
        .put("activation", vision.activation())
        .put("heads", vision.heads())
        .put("hiddenSize", vision.hiddenSize())
        .put("imageSize", vision.imageSize())
        .put("intermediateSize", vision.intermediateSize())
        .put("layerNormEps", vision.layerNormEps())
        .put("layers", vision.layers())
        .put("patchSize", vision.patchSize())
        .put("type", vision.type());
  }

  CanonicalForm put(String key, long value) {
    return field(key, Long.toString(value));
  }

  CanonicalForm put(String key, double value) {
    return field(key, Double.toString(value));
  }

  CanonicalForm put(String key, boolean value) {
    return field(key, Boolean.toString(value));
  }

  /** A word; what would have to be escaped is not written here. */
  CanonicalForm put(String key, String value) {
    if (!value.chars().allMatch(c -> c >= ' ' && c < 0x7f && c != '"' && c != '\\')) {
      throw new IllegalArgumentException(key + " is no plain word: " + value);
    }
    return field(key, '"' + value + '"');
  }

  CanonicalForm put(String key, CanonicalForm value) {
    return field(key, String.valueOf(value));
  }

  private CanonicalForm field(String key, String value) {
    if (fields.put(key, value) != null) {
      throw new IllegalArgumentException(key + " is there already");
    }
    return this;
  }

  @Override
  public String toString() {
    return fields.entrySet().stream()
        .map((Map.Entry<String, String> field) -> '"' + field.getKey() + "\":" + field.getValue())
        .collect(Collectors.joining(",", "{", "}"));
  }
}
