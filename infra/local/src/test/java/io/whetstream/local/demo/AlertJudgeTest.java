package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class AlertJudgeTest {
  private static AlertJudge judge() {
    AlertJudge judge = new AlertJudge();
    judge.sent(0, 100, null);
    judge.sent(1, 200, "a");
    judge.sent(2, 300, "b");
    judge.sent(3, 400, null);
    return judge;
  }

  @Test
  void countsRightWrongAndMissed() {
    AlertJudge judge = judge();
    judge.alert("x", 1, "a");
    judge.alert("y", 3, "a");
    AlertJudge.Figures figures = judge.judge(t -> true);
    assertEquals(new AlertJudge.Figures(4, 2, 1, 1, 1), figures);
    assertEquals(0.5, figures.precision());
    assertEquals(0.5, figures.recall());
  }

  @Test
  void anAlertOfAnotherQueryThanTheItemsOwnIsWrong() {
    AlertJudge judge = judge();
    judge.alert("x", 1, "b");
    assertEquals(new AlertJudge.Figures(4, 2, 0, 1, 0), judge.judge(t -> true));
  }

  @Test
  void anAlertDeliveredTwiceCountsOnce() {
    AlertJudge judge = judge();
    judge.alert("x", 1, "a");
    judge.alert("x", 1, "a");
    assertEquals(1, judge.raised());
    assertEquals(1, judge.judge(t -> true).right());
  }

  @Test
  void onlyItemsOfTheWindowCount() {
    AlertJudge judge = judge();
    judge.alert("x", 1, "a");
    judge.alert("y", 3, "b");
    assertEquals(new AlertJudge.Figures(2, 1, 0, 1, 0), judge.judge(t -> t >= 300));
    assertTrue(Double.isNaN(judge.judge(t -> false).precision()));
  }
}
