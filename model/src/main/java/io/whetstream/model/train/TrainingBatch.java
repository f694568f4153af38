package io.whetstream.model.train;

import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.Row;
import java.util.List;

/**
 * The rows of one global batch and how they belong together.
 *
 * @param rows every sequence that goes through the decoder
 * @param images the images that rows name by index
 * @param imageRows per contrastive pair, the row whose embedding is its image's
 * @param textRows per contrastive pair, the row whose embedding is its caption's
 * @param excluded [pairs * pairs], row-major and symmetric: true where two pairs are never each
 *     other's negatives
 */
record TrainingBatch(
    List<Row> rows, List<ModelImage> images, int[] imageRows, int[] textRows, boolean[] excluded) {}
