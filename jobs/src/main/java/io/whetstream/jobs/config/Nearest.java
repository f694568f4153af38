package io.whetstream.jobs.config;

import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;

/** The known name that a wrong one was most likely meant to be. */
public final class Nearest {
  private Nearest() {}

  /** The nearest of {@code known} by edit distance, case ignored; of equals the first. */
  public static String of(String name, Collection<String> known) {
    return known.stream().min(Comparator.comparingInt(each -> distance(each, name))).orElseThrow();
  }

  /** Edit distance with a swap of neighbours counted as one edit, case ignored. */
  private static int distance(String left, String right) {
    String a = left.toLowerCase(Locale.ROOT);
    String b = right.toLowerCase(Locale.ROOT);
    int[][] cost = new int[a.length() + 1][b.length() + 1];
    for (int i = 0; i <= a.length(); i++) {
      for (int j = 0; j <= b.length(); j++) {
        if (i == 0 || j == 0) {
          cost[i][j] = i + j;
          continue;
        }
        int change = a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1;
        cost[i][j] =
            Math.min(Math.min(cost[i - 1][j], cost[i][j - 1]) + 1, cost[i - 1][j - 1] + change);
        if (i > 1
            && j > 1
            && a.charAt(i - 1) == b.charAt(j - 2)
            && a.charAt(i - 2) == b.charAt(j - 1)) {
          cost[i][j] = Math.min(cost[i][j], cost[i - 2][j - 2] + 1);
        }
      }
    }
    return cost[a.length()][b.length()];
  }
}
