package io.whetstream.model.checkpoint;

/**
 * The vision tower.
 *
 * @param type {@code clip}, {@code siglip}, {@code idefics3}, {@code qwen2_vl}, {@code qwen2_5_vl}
 *     or {@code qwen3_vl}
 * @param hiddenSize width
 * @param intermediateSize inner width of the MLP
 * @param layers encoder layers
 * @param heads attention heads
 * @param imageSize side of the square input in pixels; 0 where pictures of any size are taken
 * @param patchSize side of a patch in pixels
 * @param layerNormEps epsilon of the layer norms
 * @param activation Hugging Face's name of the MLP's activation
 * @param dynamic what a tower has that takes pictures of any size; null for one of square inputs
 */
public record VisionConfig(
    String type,
    int hiddenSize,
    int intermediateSize,
    int layers,
    int heads,
    int imageSize,
    int patchSize,
    double layerNormEps,
    String activation,
    DynamicVision dynamic) {

  /** A tower of square inputs. */
  public VisionConfig(
      String type,
      int hiddenSize,
      int intermediateSize,
      int layers,
      int heads,
      int imageSize,
      int patchSize,
      double layerNormEps,
      String activation) {
    this(
        type,
        hiddenSize,
        intermediateSize,
        layers,
        heads,
        imageSize,
        patchSize,
        layerNormEps,
        activation,
        null);
  }

  /** Patches a square input is cut into. */
  public int patches() {
    int side = imageSize / patchSize;
    return side * side;
  }

  /** Positions of the encoder: the patches and, in CLIP, the class embedding before them. */
  public int positions() {
    return patches() + (type.equals("clip") ? 1 : 0);
  }
}
