package io.whetstream.jobs.finetune;

/**
 * Decides whether a candidate may be published. Stateless: what it says follows from its input.
 *
 * <p>Candidate and adapter in use answer the same held-out pairs, and only pairs on which they
 * differ count: under equal quality each of them is a fair coin (McNemar 1947, the exact form, on
 * pairs: one counts for the side that answers more of its two directions). A candidate is published
 * if it is better by {@code gate.minChange} beyond what such coins show by chance at {@code
 * gate.error}, and refused if it is worse than that likewise; in between nothing is known, and
 * training goes on. So a run of small losses cannot pass one by one: each would have to be taken
 * for a gain.
 */
final class Gate {
  private Gate() {}

  /** What becomes of a candidate. */
  enum Decision {
    PUBLISH,
    REFUSE,
    /** Not told apart, or too few held-out pairs: neither published nor counted as refused. */
    UNDECIDED
  }

  /**
   * Two adapters on the same pairs.
   *
   * @param candidate mean of both directions' R@1; NaN if it was not measured
   * @param published the same of the adapter in use, or of the base before the first one
   * @param wins pairs that the candidate answers better
   * @param losses pairs that it answers worse
   * @param sample pairs
   */
  record Comparison(double candidate, double published, int wins, int losses, int sample) {
    static final Comparison NONE = new Comparison(Double.NaN, Double.NaN, 0, 0, 0);

    /**
     * @param candidate score of each pair: 0, 0.5 or 1
     * @param published the same
     */
    static Comparison of(double[] candidate, double[] published) {
      int wins = 0;
      int losses = 0;
      double first = 0;
      double second = 0;
      for (int i = 0; i < candidate.length; i++) {
        first += candidate[i];
        second += published[i];
        wins += candidate[i] > published[i] ? 1 : 0;
        losses += candidate[i] < published[i] ? 1 : 0;
      }
      int n = candidate.length;
      return new Comparison(first / n, second / n, wins, losses, n);
    }

    /** Probability that at least so many wins come by chance if the change is {@code margin}. */
    double chanceOfWins(double margin) {
      return tail(wins + extra(-margin), losses + extra(margin));
    }

    /** The same of the losses. */
    double chanceOfLosses(double margin) {
      return tail(losses + extra(margin), wins + extra(-margin));
    }

    /** A margin as pairs that the other side has won beforehand. */
    private int extra(double margin) {
      return margin <= 0 ? 0 : (int) Math.ceil(margin * sample);
    }

    @Override
    public String toString() {
      return "recall %.4f against %.4f published, %d better and %d worse of %d pairs"
          .formatted(candidate, published, wins, losses, sample);
    }
  }

  /** P(X >= k) for X binomial of k + other fair coins. */
  static double tail(int k, int other) {
    int n = k + other;
    // From the logarithm, since 2^-n is 0 for n in the thousands.
    double term = -n * Math.log(2);
    double sum = 0;
    for (int i = n; i >= k; i--) {
      sum += Math.exp(term);
      // C(n, i - 1) = C(n, i) * i / (n - i + 1)
      term += Math.log(i) - Math.log(n - i + 1.0);
    }
    return Math.min(1, sum);
  }

  /**
   * @param decision what becomes of the candidate
   * @param reason one sentence for log and manifest
   * @param newest on the newest held-out pairs
   * @param history on the sample of all held-out pairs
   * @param forgot whether the candidate has lost some of the past
   */
  record Verdict(
      Decision decision, String reason, Comparison newest, Comparison history, boolean forgot) {}

  static Verdict judge(FineTuneConfig.Gate settings, Comparison newest, Comparison history) {
    return judge(settings, 1, newest, history);
  }

  /**
   * @param candidates of which this is the best on these pairs: each may be there by chance
   */
  static Verdict judge(
      FineTuneConfig.Gate settings, int candidates, Comparison newest, Comparison history) {
    double error = settings.error() / candidates;
    if (newest.sample() < settings.minSample()) {
      return new Verdict(
          Decision.UNDECIDED,
          "only %d held-out pairs, gate.minSample is %d"
              .formatted(newest.sample(), settings.minSample()),
          newest,
          history,
          false);
    }
    boolean forgot = history.sample() >= settings.minSample() && history.chanceOfLosses(0) <= error;
    String figures =
        "held-out " + newest + (forgot ? "; of the past it has lost some: " + history : "");
    if (!Double.isFinite(newest.candidate()) || newest.candidate() < settings.minRecall()) {
      return new Verdict(
          Decision.REFUSE,
          figures + ": below gate.minRecall " + settings.minRecall(),
          newest,
          history,
          forgot);
    }
    if (newest.chanceOfLosses(settings.minChange()) <= error) {
      return new Verdict(
          Decision.REFUSE,
          figures + ": change below gate.minChange " + settings.minChange(),
          newest,
          history,
          forgot);
    }
    if (forgot && settings.forgetting() == FineTuneConfig.Forgetting.REFUSE) {
      return new Verdict(
          Decision.REFUSE, figures + ": gate.forgetting is REFUSE", newest, history, true);
    }
    if (newest.chanceOfWins(settings.minChange()) > error) {
      return new Verdict(
          Decision.UNDECIDED,
          figures + ": not told apart at an error of " + error,
          newest,
          history,
          forgot);
    }
    return new Verdict(Decision.PUBLISH, figures, newest, history, forgot);
  }
}
