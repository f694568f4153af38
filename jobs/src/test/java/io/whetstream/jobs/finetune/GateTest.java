package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.finetune.FineTuneConfig.Forgetting;
import io.whetstream.jobs.finetune.Gate.Comparison;
import io.whetstream.jobs.finetune.Gate.Decision;
import java.util.Random;
import org.junit.jupiter.api.Test;

class GateTest {
  private static final FineTuneConfig.Gate SETTINGS = settings(0, Forgetting.REPORT);

  private static FineTuneConfig.Gate settings(double minChange, Forgetting forgetting) {
    return new FineTuneConfig.Gate(0.2, minChange, 0.05, forgetting, 32, 3, 0);
  }

  private static Comparison compared(double published, int wins, int losses, int sample) {
    return new Comparison(
        published + (wins - losses) / (double) sample, published, wins, losses, sample);
  }

  private static Decision judge(Comparison newest) {
    return Gate.judge(SETTINGS, newest, Comparison.NONE).decision();
  }

  @Test
  void theTailOfFairCoinsIsThatOfTheTables() {
    assertEquals(1 / 32.0, Gate.tail(5, 0), 1e-12);
    assertEquals(56 / 1024.0, Gate.tail(8, 2), 1e-12);
    assertEquals(1, Gate.tail(0, 9), 1e-12);
    assertEquals(0.5, Gate.tail(5_001, 5_000), 1e-9);
  }

  @Test
  void onlyWhatIsBetterBeyondChanceIsPublished() {
    assertEquals(Decision.PUBLISH, judge(compared(0.5, 5, 0, 100)));
    assertEquals(Decision.UNDECIDED, judge(compared(0.5, 4, 0, 100)));
    assertEquals(Decision.UNDECIDED, judge(compared(0.5, 30, 25, 100)));
    assertEquals(Decision.UNDECIDED, judge(compared(0.5, 25, 30, 100)));
    assertEquals(Decision.REFUSE, judge(compared(0.5, 10, 25, 100)));
  }

  @Test
  void theChangeThresholdCountsAsPairsWonBeforehand() {
    Comparison newest = compared(0.5, 12, 2, 100);
    assertEquals(Decision.PUBLISH, judge(newest));
    assertEquals(
        Decision.UNDECIDED,
        Gate.judge(settings(0.1, Forgetting.REPORT), newest, Comparison.NONE).decision());
    assertEquals(
        Decision.PUBLISH,
        Gate.judge(settings(-0.1, Forgetting.REPORT), compared(0.5, 2, 3, 100), Comparison.NONE)
            .decision());
    assertEquals(
        Decision.REFUSE,
        Gate.judge(settings(0.5, Forgetting.REPORT), newest, Comparison.NONE).decision());
  }

  @Test
  void aCandidateBelowTheValueThresholdIsRefusedEvenIfTheOneInUseIsWorse() {
    Gate.Verdict verdict = Gate.judge(SETTINGS, compared(0.05, 60, 0, 500), Comparison.NONE);
    assertEquals(Decision.REFUSE, verdict.decision());
    assertTrue(verdict.reason().contains("gate.minRecall 0.2"), verdict.reason());
  }

  @Test
  void withTooFewPairsThereIsNoVerdict() {
    assertEquals(Decision.UNDECIDED, judge(compared(0.1, 30, 0, 31)));
  }

  @Test
  void aCandidateThatCannotBeMeasuredIsNeverPublished() {
    assertEquals(Decision.REFUSE, judge(new Comparison(Double.NaN, 0.1, 0, 0, 500)));
  }

  @Test
  void aCandidateThatLostThePastIsRefusedOrSaidToBySetting() {
    Comparison newest = compared(0.5, 30, 3, 100);
    Comparison history = compared(0.8, 2, 20, 100);
    Gate.Verdict said = Gate.judge(SETTINGS, newest, history);
    assertEquals(Decision.PUBLISH, said.decision());
    assertTrue(said.forgot());
    assertTrue(said.reason().contains("of the past it has lost some"), said.reason());
    Gate.Verdict refused = Gate.judge(settings(0, Forgetting.REFUSE), newest, history);
    assertEquals(Decision.REFUSE, refused.decision());
    assertTrue(refused.reason().contains("gate.forgetting"), refused.reason());
    assertFalse(Gate.judge(SETTINGS, newest, compared(0.8, 9, 12, 100)).forgot());
  }

  /** Share of candidates published that answer pairs with these probabilities. */
  private static double publishedShare(double candidate, double published, int sample, long seed) {
    Random random = new Random(seed);
    int passed = 0;
    for (int run = 0; run < 2_000; run++) {
      double[] first = new double[sample];
      double[] second = new double[sample];
      for (int i = 0; i < sample; i++) {
        // Most pairs are easy for both or hard for both.
        double luck = random.nextDouble();
        boolean differ = random.nextDouble() < 0.2;
        first[i] = luck < candidate ? 1 : 0;
        second[i] = (differ ? random.nextDouble() : luck) < published ? 1 : 0;
      }
      passed += judge(Comparison.of(first, second)) == Decision.PUBLISH ? 1 : 0;
    }
    return passed / 2_000.0;
  }

  @Test
  void bothErrorsAreAsTheDocumentationSays() {
    assertTrue(publishedShare(0.7, 0.7, 256, 1) <= 0.05, "published though equal");
    assertTrue(publishedShare(0.68, 0.7, 256, 2) <= 0.02, "published though worse");
    assertTrue(publishedShare(0.8, 0.7, 256, 3) >= 0.95, "a gain of ten points is seen");
    assertTrue(publishedShare(0.75, 0.7, 1_024, 4) >= 0.9, "of more pairs one of five");
  }

  @Test
  void manySmallLossesDoNotPassOneByOne() {
    Random random = new Random(5);
    int sample = 256;
    double threshold = 0;
    double tested = 0;
    double ruleOfOld = 0;
    for (int decision = 0; decision < 400; decision++) {
      // Each candidate is as good as the one in use, or slightly worse.
      double loss = 0.01 * random.nextDouble();
      for (boolean old : new boolean[] {true, false}) {
        double[] first = new double[sample];
        double[] second = new double[sample];
        for (int i = 0; i < sample; i++) {
          double luck = random.nextDouble();
          boolean differ = random.nextDouble() < 0.2;
          first[i] = luck < 0.7 - loss ? 1 : 0;
          second[i] = (differ ? random.nextDouble() : luck) < 0.7 ? 1 : 0;
        }
        Comparison compared = Comparison.of(first, second);
        if (old && compared.candidate() - compared.published() >= threshold) {
          ruleOfOld += loss;
        } else if (!old && judge(compared) == Decision.PUBLISH) {
          tested += loss;
        }
      }
    }
    assertTrue(ruleOfOld > 0.5, "comparing means loses " + ruleOfOld);
    assertTrue(tested < 0.1, "the test loses " + tested);
  }
}
