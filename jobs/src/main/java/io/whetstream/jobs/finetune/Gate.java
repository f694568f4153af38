package io.whetstream.jobs.finetune;

/** Decides whether a candidate may be published. Stateless: what it says follows from its input. */
final class Gate {
  private Gate() {}

  /** What becomes of a candidate. */
  enum Decision {
    PUBLISH,
    REFUSE,
    /** Too few held-out pairs: neither published nor counted as refused. */
    UNDECIDED
  }

  /**
   * @param decision what becomes of the candidate
   * @param reason one sentence for log and manifest
   * @param candidate mean of both directions' R@1 on the held-out set
   * @param published the same of the adapter in use, or of the base before the first one
   * @param sample held-out pairs both were measured on
   */
  record Verdict(
      Decision decision, String reason, double candidate, double published, int sample) {}

  static Verdict judge(
      FineTuneConfig.Gate settings, double candidate, double published, int sample) {
    if (sample < settings.minSample()) {
      return new Verdict(
          Decision.UNDECIDED,
          "only %d held-out pairs, gate.minSample is %d".formatted(sample, settings.minSample()),
          candidate,
          published,
          sample);
    }
    String figures =
        "held-out recall %.4f against %.4f published, %d pairs"
            .formatted(candidate, published, sample);
    if (!Double.isFinite(candidate) || candidate < settings.minRecall()) {
      return new Verdict(
          Decision.REFUSE,
          figures + ": below gate.minRecall " + settings.minRecall(),
          candidate,
          published,
          sample);
    }
    if (candidate - published < settings.minChange()) {
      return new Verdict(
          Decision.REFUSE,
          figures + ": change below gate.minChange " + settings.minChange(),
          candidate,
          published,
          sample);
    }
    return new Verdict(Decision.PUBLISH, figures, candidate, published, sample);
  }
}
