package io.whetstream.model.checkpoint;

/**
 * Scaling of rotary frequencies for longer contexts.
 *
 * @param type {@code linear} (positions divided by the factor), {@code dynamic} (frequencies change
 *     only beyond the model's positions, which this library never exceeds) or {@code llama3}
 * @param factor by how much the context grows
 * @param lowFrequencyFactor llama3: longer waves than original positions by this are scaled fully
 * @param highFrequencyFactor llama3: shorter waves than original positions by this are not scaled
 * @param originalMaxPositions llama3: positions before scaling
 */
public record RopeScaling(
    String type,
    double factor,
    double lowFrequencyFactor,
    double highFrequencyFactor,
    int originalMaxPositions) {}
