package io.whetstream.model.train;

/**
 * What one optimizer step did.
 *
 * @param step number of steps taken, this one included; unchanged by a skipped one
 * @param pairs pairs in the global batch
 * @param skipped true if loss or gradient was not finite: nothing was changed
 * @param lossContrastive mean symmetric InfoNCE, with the weights before the step; NaN without
 *     short captions
 * @param lossNextToken mean next-token cross entropy per target token; NaN without long captions
 * @param nextTokenAccuracy share of target tokens ranked first; NaN without long captions
 * @param logitScale multiplier of cosines after the step
 * @param learningRate rate of this step
 * @param gradientNorm global norm before clipping
 * @param maskedNegatives negatives left out, both directions together
 * @param recallT2i share of captions whose image ranks first in the batch, weights before the step
 *     (test-then-train); pairs that are not each other's negatives do not count against it
 * @param recallI2t the other direction
 * @param recallApart the mean of both directions for new pairs among those of other groups only, so
 *     that it does not fall when groups become harder; NaN without groups
 * @param tokens positions of the decoder in all rows, soft vectors among them
 * @param imageTokens those of them that stand for images: what the pixel budget costs
 * @param seconds wall-clock time
 * @param flops useful floating-point operations, see {@link io.whetstream.model.lvlm.Flops}
 */
public record StepReport(
    long step,
    int pairs,
    boolean skipped,
    double lossContrastive,
    double lossNextToken,
    double nextTokenAccuracy,
    double logitScale,
    double learningRate,
    double gradientNorm,
    int maskedNegatives,
    double recallT2i,
    double recallI2t,
    double recallApart,
    long tokens,
    long imageTokens,
    double seconds,
    double flops) {}
