package io.whetstream.model.checkpoint;

/**
 * The vision tower.
 *
 * @param type {@code clip} or {@code siglip}
 * @param hiddenSize width
 * @param intermediateSize inner width of the MLP
 * @param layers encoder layers
 * @param heads attention heads
 * @param imageSize side of the square input in pixels
 * @param patchSize side of a patch in pixels
 * @param layerNormEps epsilon of the layer norms
 * @param activation Hugging Face's name of the MLP's activation
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
    String activation) {

  /** Patches an image is cut into. */
  public int patches() {
    int side = imageSize / patchSize;
    return side * side;
  }

  /** Positions of the encoder: the patches and, in CLIP, the class embedding before them. */
  public int positions() {
    return patches() + (type.equals("clip") ? 1 : 0);
  }
}
