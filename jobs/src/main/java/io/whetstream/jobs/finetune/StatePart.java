package io.whetstream.jobs.finetune;

/** What the trainer's state is made of, in the order in which it is written. */
enum StatePart {
  /** Weights, optimizer moments, step number. */
  MODEL,
  /** What became of every pair, offsets, counters. */
  LEDGER,
  /** Pairs that wait for the next step. */
  BATCH,
  /** Pairs that are never trained on. */
  HELD_OUT,
  /** Published adapter, refusals, versions, candidates on their way out. */
  PUBLISHING,
  /** Change detectors and what they found. */
  DRIFT
}
