package io.whetstream.scenes;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * What a short caption says. The text is a function of the claim, and the claim can be checked
 * against a scene, so a negative caption is false by proof and not by hope.
 *
 * <p>Grammar: {@code THING}, {@code THING relation THING}, {@code THING relation THING and THING
 * side}; the side of the third thing is meant from both others. A thing is "a [small] [fill] colour
 * shape": size and fill are said only if marked.
 *
 * @param relation between the first and the second thing; null if there is one thing
 * @param side of the third thing; null if there are fewer than three
 */
public record Claim(List<Thing> things, Relation relation, Relation side) {
  public Claim {
    things = List.copyOf(things);
  }

  /** A shape without its place. */
  public record Thing(Size size, Fill fill, Colour colour, Shape shape) {
    static Thing of(SceneObject o) {
      return new Thing(o.size(), o.fill(), o.colour(), o.shape());
    }

    String text() {
      StringBuilder b = new StringBuilder();
      if (size.marked()) {
        b.append(size.word()).append(' ');
      }
      if (fill.marked()) {
        b.append(fill.word()).append(' ');
      }
      return b.append(colour.word()).append(' ').append(shape.word()).toString();
    }

    String fullText() {
      return size.word() + ' ' + fill.word() + ' ' + colour.word() + ' ' + shape.word();
    }

    private boolean fits(SceneObject o) {
      return colour == o.colour()
          && shape == o.shape()
          && (!size.marked() || size == o.size())
          && (!fill.marked() || fill == o.fill());
    }

    private boolean equalsLookOf(SceneObject o) {
      return colour == o.colour() && shape == o.shape() && size == o.size() && fill == o.fill();
    }
  }

  /** What is true of a scene of one to three objects. */
  public static Claim of(Scene scene) {
    List<Thing> things = new ArrayList<>();
    scene.objects().forEach(o -> things.add(Thing.of(o)));
    return new Claim(
        things,
        things.size() > 1 ? scene.plainRelation(0, 1) : null,
        things.size() > 2 ? scene.outerSide() : null);
  }

  /** The short caption. */
  public String text() {
    StringBuilder b = new StringBuilder("a ").append(things.get(0).text());
    if (things.size() > 1) {
      b.append(' ').append(relation.phrase()).append(" a ").append(things.get(1).text());
    }
    if (things.size() > 2) {
      b.append(" and a ").append(things.get(2).text()).append(' ').append(side.word());
    }
    return b.toString();
  }

  /**
   * Whether a person shown the scene could call the claim true, reading it as generously as
   * possible: what is not said is open (size, fill, further objects), and a relation holds however
   * little it holds.
   */
  public boolean holdsIn(Scene scene) {
    return matches(scene, false);
  }

  /**
   * Whether the claim is what the captioner would say of such a scene: every object is named, and
   * no word means large and solid. Relations are still read generously.
   */
  public boolean describes(Scene scene) {
    return things.size() == scene.objects().size() && matches(scene, true);
  }

  private boolean matches(Scene scene, boolean exact) {
    return place(scene, exact, new ArrayList<>(Collections.nCopies(things.size(), -1)), 0);
  }

  /** Tries every way to let the things stand for different objects of the scene. */
  private boolean place(Scene scene, boolean exact, List<Integer> chosen, int thing) {
    if (thing == things.size()) {
      return (relation == null || scene.holds(relation, chosen.get(0), chosen.get(1)))
          && (side == null
              || (scene.holds(side, chosen.get(2), chosen.get(0))
                  && scene.holds(side, chosen.get(2), chosen.get(1))));
    }
    for (int i = 0; i < scene.objects().size(); i++) {
      SceneObject o = scene.objects().get(i);
      Thing t = things.get(thing);
      if (!chosen.subList(0, thing).contains(i) && (exact ? t.equalsLookOf(o) : t.fits(o))) {
        chosen.set(thing, i);
        if (place(scene, exact, chosen, thing + 1)) {
          return true;
        }
      }
    }
    return false;
  }
}
