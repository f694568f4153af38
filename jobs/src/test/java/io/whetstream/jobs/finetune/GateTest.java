package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.finetune.Gate.Decision;
import org.junit.jupiter.api.Test;

class GateTest {
  private static final FineTuneConfig.Gate SETTINGS = new FineTuneConfig.Gate(0.2, 0.01, 32, 3);

  private static Gate.Verdict judge(double candidate, double published, int sample) {
    return Gate.judge(SETTINGS, candidate, published, sample);
  }

  @Test
  void aCandidateThatIsBetterByTheChangeThresholdIsPublished() {
    assertEquals(Decision.PUBLISH, judge(0.52, 0.50, 32).decision());
    assertEquals(Decision.REFUSE, judge(0.505, 0.50, 32).decision());
    assertTrue(judge(0.505, 0.50, 32).reason().contains("gate.minChange 0.01"));
  }

  @Test
  void aCandidateBelowTheValueThresholdIsRefusedEvenIfTheOneInUseIsWorse() {
    assertEquals(Decision.REFUSE, judge(0.19, 0.05, 500).decision());
    assertTrue(judge(0.19, 0.05, 500).reason().contains("gate.minRecall 0.2"));
  }

  @Test
  void withTooFewPairsThereIsNoVerdict() {
    assertEquals(Decision.UNDECIDED, judge(0.9, 0.1, 31).decision());
  }

  @Test
  void aCandidateThatCannotBeMeasuredIsNeverPublished() {
    assertEquals(Decision.REFUSE, judge(Double.NaN, 0.1, 500).decision());
  }
}
