package io.whetstream.jobs.finetune;

/**
 * A change of the distribution.
 *
 * @param step at which it became certain
 * @param signal {@code recall} (test-then-train) or {@code embedding} (pictures)
 * @param before mean of the signal until then
 * @param after mean since
 * @param window steps that the new mean rests on
 */
record DriftEvent(long step, String signal, double before, double after, int window) {}
