package io.whetstream.jobs.finetune;

import io.whetstream.model.image.ModelImage;

/**
 * A checked pair with its processed picture, between two chained stages only.
 *
 * @param pair without its mining embedding
 * @param image as the model takes it
 */
record PreparedImage(MinedPair pair, ModelImage image) {}
