package io.whetstream.model.eval;

/**
 * The share of queries, 0 to 1, that find a right target among their first 1, 5 and 10.
 *
 * <p>See {@link Retrieval} for how it is counted.
 */
public record Recall(double r1, double r5, double r10) {}
