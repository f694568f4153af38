package io.whetstream.local.demo;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.LongPredicate;

/**
 * Compares alerts with what was planted. An alert counts once by its id; an alert for another query
 * than the item's own is wrong.
 */
final class AlertJudge {
  /**
   * Figures of a set of items.
   *
   * @param planted items that show what a query watches for
   * @param right alerts for the query that the item was planted for
   * @param wrong all other alerts
   * @param found planted items with a right alert
   */
  record Figures(long items, long planted, long right, long wrong, long found) {
    /** Right among all alerts; not a number without any. */
    double precision() {
      return right / (double) (right + wrong);
    }

    /** Found among planted; not a number without any. */
    double recall() {
      return found / (double) planted;
    }
  }

  private record Raised(long item, String query) {}

  private final Map<Long, Long> itemTimes = new HashMap<>();
  private final Map<Long, String> plantedFor = new HashMap<>();
  private final Set<String> seen = new HashSet<>();
  private final List<Raised> alerts = new ArrayList<>();

  /**
   * An item was sent.
   *
   * @param query it was planted for, or null
   */
  void sent(long item, long eventTime, String query) {
    itemTimes.put(item, eventTime);
    if (query != null) {
      plantedFor.put(item, query);
    }
  }

  /** An alert was read. */
  void alert(String alertId, long item, String query) {
    if (seen.add(alertId)) {
      alerts.add(new Raised(item, query));
    }
  }

  /** Alerts so far, each once. */
  int raised() {
    return alerts.size();
  }

  /** Figures of the items whose event time passes the test. */
  Figures judge(LongPredicate eventTime) {
    Set<Long> found = new HashSet<>();
    long right = 0;
    long wrong = 0;
    for (Raised alert : alerts) {
      Long time = itemTimes.get(alert.item());
      if (time == null || !eventTime.test(time)) {
        continue;
      }
      if (alert.query().equals(plantedFor.get(alert.item()))) {
        right++;
        found.add(alert.item());
      } else {
        wrong++;
      }
    }
    long items = itemTimes.values().stream().filter(eventTime::test).count();
    long planted =
        plantedFor.keySet().stream().filter(item -> eventTime.test(itemTimes.get(item))).count();
    return new Figures(items, planted, right, wrong, found.size());
  }
}
