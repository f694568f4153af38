package io.whetstream.scenes;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A second opinion on captions, for tests: parses the text back and checks it against a scene by
 * brute force, knowing nothing of {@link Claim}. Reads as generously as a person could.
 */
final class PictureTruth {
  private PictureTruth() {}

  static boolean holds(String caption, Scene scene) {
    String[] parts = caption.split(" and a ", -1);
    List<List<String>> things = new ArrayList<>();
    String relation = null;
    String side = null;
    String head = parts[0].substring("a ".length());
    for (String r : List.of("left of", "right of", "above", "below", "inside")) {
      int at = head.indexOf(" " + r + " a ");
      if (at >= 0) {
        relation = r.split(" ", -1)[0];
        things.add(words(head.substring(0, at)));
        things.add(words(head.substring(at + r.length() + 4)));
      }
    }
    if (relation == null) {
      things.add(words(head));
    }
    if (parts.length > 1) {
      int at = parts[1].lastIndexOf(' ');
      things.add(words(parts[1].substring(0, at)));
      side = parts[1].substring(at + 1);
    }
    int n = scene.objects().size();
    int k = things.size();
    for (int code = 0; code < Math.pow(n, k); code++) {
      int[] pick = new int[k];
      for (int i = 0, c = code; i < k; i++, c /= n) {
        pick[i] = c % n;
      }
      boolean ok = Arrays.stream(pick).distinct().count() == k;
      for (int i = 0; ok && i < k; i++) {
        ok = fits(things.get(i), scene.objects().get(pick[i]));
      }
      if (ok && relation != null) {
        ok = lies(relation, scene, pick[0], pick[1]);
      }
      if (ok && side != null) {
        ok = lies(side, scene, pick[2], pick[0]) && lies(side, scene, pick[2], pick[1]);
      }
      if (ok) {
        return true;
      }
    }
    return false;
  }

  private static List<String> words(String text) {
    return List.of(text.split(" ", -1));
  }

  private static boolean fits(List<String> words, SceneObject o) {
    return List.of(o.size().word(), o.fill().word(), o.colour().word(), o.shape().word())
        .containsAll(words);
  }

  private static boolean lies(String side, Scene scene, int a, int b) {
    int ca = scene.objects().get(a).cell();
    int cb = scene.objects().get(b).cell();
    return switch (side) {
      case "left" -> ca % 3 < cb % 3;
      case "right" -> ca % 3 > cb % 3;
      case "above" -> ca / 3 < cb / 3;
      case "below" -> ca / 3 > cb / 3;
      default -> ca == cb && a == 0;
    };
  }
}
