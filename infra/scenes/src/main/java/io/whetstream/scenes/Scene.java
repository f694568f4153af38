package io.whetstream.scenes;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/**
 * The truth of one picture. One to three shapes (nine in a full grid), in the order in which the
 * short caption names them. Two shapes share a cell only if the first lies inside the second.
 *
 * @param style seeds what carries no meaning: jitter of place, size, angle and colour, and noise
 */
public record Scene(Background background, List<SceneObject> objects, long style) {
  private static final List<Integer> NAMING_ORDER = List.of(4, 0, 8, 2, 6, 1, 7, 3, 5);

  public Scene {
    objects = List.copyOf(objects);
    if (objects.isEmpty() || objects.size() > 9) {
      throw new IllegalArgumentException("a scene has 1 to 9 objects, not " + objects.size());
    }
  }

  /**
   * A scene whose objects are named by where they lie: the centre first, then the corners, then the
   * edges, opposite ones in turn. So a picture has one short caption, every relation word occurs
   * about equally often, and exchanging looks changes neither the order nor the words in it. What
   * shares a cell keeps its order.
   */
  static Scene named(Background background, List<SceneObject> objects, long style) {
    List<SceneObject> ordered = new ArrayList<>(objects);
    ordered.sort(Comparator.comparingInt(o -> NAMING_ORDER.indexOf(o.cell())));
    return new Scene(background, ordered, style);
  }

  /** Whether the first object lies inside the second. */
  public boolean nested() {
    return objects.size() == 2 && objects.get(0).cell() == objects.get(1).cell();
  }

  /**
   * Whether object {@code a} lies on that side of object {@code b}, however little: an object that
   * is both higher and further left is {@code ABOVE} and {@code LEFT}.
   */
  public boolean holds(Relation relation, int a, int b) {
    if (nested()) {
      return relation == Relation.INSIDE && a == 0 && b == 1;
    }
    int dx = objects.get(a).column() - objects.get(b).column();
    int dy = objects.get(a).row() - objects.get(b).row();
    return switch (relation) {
      case LEFT -> dx < 0;
      case RIGHT -> dx > 0;
      case ABOVE -> dy < 0;
      case BELOW -> dy > 0;
      case INSIDE -> false;
    };
  }

  /**
   * The one relation a person would name: the side on which {@code a} lies further from {@code b}
   * than on any other; null where there is none (exactly diagonal).
   */
  Relation plainRelation(int a, int b) {
    if (nested()) {
      return a == 0 ? Relation.INSIDE : null;
    }
    int dx = objects.get(a).column() - objects.get(b).column();
    int dy = objects.get(a).row() - objects.get(b).row();
    if (Math.abs(dx) == Math.abs(dy)) {
      return null;
    }
    if (Math.abs(dx) > Math.abs(dy)) {
      return dx < 0 ? Relation.LEFT : Relation.RIGHT;
    }
    return dy < 0 ? Relation.ABOVE : Relation.BELOW;
  }

  /** The side of both other objects on which the third lies furthest out; null if there is none. */
  Relation outerSide() {
    Relation best = null;
    int bestGap = 0;
    SceneObject c = objects.get(2);
    for (Relation r : List.of(Relation.LEFT, Relation.RIGHT, Relation.ABOVE, Relation.BELOW)) {
      if (holds(r, 2, 0) && holds(r, 2, 1)) {
        int gap = 0;
        for (SceneObject o : objects.subList(0, 2)) {
          gap +=
              r == Relation.LEFT || r == Relation.RIGHT
                  ? Math.abs(c.column() - o.column())
                  : Math.abs(c.row() - o.row());
        }
        if (gap > bestGap) {
          bestGap = gap;
          best = r;
        }
      }
    }
    return best;
  }

  /**
   * Whether it can be drawn and captioned without ambiguity: no two objects share colour and shape,
   * relations are plain, and what holds another shape is large, hollow and roomy.
   */
  boolean plain() {
    int n = objects.size();
    if (n > 3) {
      return false;
    }
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < i; j++) {
        SceneObject a = objects.get(i);
        SceneObject b = objects.get(j);
        if ((a.colour() == b.colour() && a.shape() == b.shape())
            || (a.cell() == b.cell() && n != 2)) {
          return false;
        }
      }
    }
    if (nested()) {
      SceneObject outer = objects.get(1);
      return outer.shape().roomy() && outer.fill() == Fill.HOLLOW && outer.size() == Size.LARGE;
    }
    return n == 1 || (plainRelation(0, 1) != null && (n == 2 || outerSide() != null));
  }

  /**
   * A hash of which objects are there, wherever they lie and in whatever order they are named. It
   * decides whether a scene belongs to training or to held-out sets, so the two never share a
   * combination of objects.
   */
  long contents() {
    int[] looks = objects.stream().mapToInt(SceneObject::look).toArray();
    Arrays.sort(looks);
    long h = looks.length;
    for (int look : looks) {
      h = Draws.mix(h, look);
    }
    return h;
  }
}
