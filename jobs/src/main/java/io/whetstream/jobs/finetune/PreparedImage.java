package io.whetstream.jobs.finetune;

/**
 * A checked pair with its processed picture, between two chained stages only.
 *
 * @param pair without its mining embedding
 * @param pixels processed image [3*S*S]
 */
@SuppressWarnings("ArrayRecordComponent") // handed over, never compared
record PreparedImage(MinedPair pair, float[] pixels) {}
