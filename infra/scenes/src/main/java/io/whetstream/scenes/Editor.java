package io.whetstream.scenes;

import io.whetstream.scenes.Claim.Thing;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Makes one edit to a scene or to a claim. Returns null where the draw did not lead to a sensible
 * result (nothing to swap, no room); the caller draws again.
 */
final class Editor {
  private final SceneLook look;

  Editor(SceneLook look) {
    this.look = look;
  }

  Scene edit(Scene scene, Edit edit, Draws draws) {
    List<SceneObject> o = new ArrayList<>(scene.objects());
    int n = o.size();
    int i = draws.below(n);
    // A different one if there is one.
    int j = n == 1 ? i : (i + 1 + draws.below(n - 1)) % n;
    SceneObject a = o.get(i);
    SceneObject b = o.get(j);
    switch (edit) {
      case SWAP_COLOUR -> {
        if (a.colour() == b.colour() || a.shape() == b.shape()) {
          return null;
        }
        o.set(i, a.with(b.colour()));
        o.set(j, b.with(a.colour()));
      }
      case SWAP_SHAPE -> {
        if (a.colour() == b.colour() || a.shape() == b.shape()) {
          return null;
        }
        o.set(i, a.with(b.shape()));
        o.set(j, b.with(a.shape()));
      }
      case SWAP_RELATION -> {
        if (n < 2) {
          return null;
        }
        // The shapes change places and turn, so that the caption keeps its words.
        SceneObject first = o.get(0);
        SceneObject second = o.get(1);
        o.set(0, second.at(first.cell()));
        o.set(1, first.at(second.cell()));
      }
      case REPLACE_RELATION -> {
        if (n < 2) {
          return null;
        }
        int moved = draws.below(n);
        o.set(moved, o.get(moved).at(draws.below(9)));
      }
      case REPLACE_COLOUR -> o.set(i, a.with(draws.of(look.colours())));
      case REPLACE_SHAPE -> o.set(i, a.with(draws.of(look.shapes())));
      case REPLACE_ATTRIBUTE ->
          o.set(
              i,
              draws.chance(0.5)
                  ? a.with(a.size() == Size.SMALL ? Size.LARGE : Size.SMALL)
                  : a.with(draws.of(look.fills())));
      case ADD -> {
        if (n > 2 || scene.nested()) {
          return null;
        }
        o.add(SceneGenerator.draw(look, draws, draws.below(9)));
      }
    }
    if (n < 3 && o.size() > 1 && o.get(0).cell() == o.get(1).cell() && !scene.nested()) {
      return null;
    }
    Scene edited = Scene.named(scene.background(), o, draws.next());
    // A shape moved so far that it is named elsewhere would be more than one edit to the caption.
    boolean renamed = edit == Edit.REPLACE_RELATION && !edited.objects().equals(o);
    return edited.plain() && !renamed ? edited : null;
  }

  Claim edit(Claim claim, Edit edit, Draws draws) {
    List<Thing> t = new ArrayList<>(claim.things());
    Relation relation = claim.relation();
    Relation side = claim.side();
    int n = t.size();
    int i = draws.below(n);
    int j = n == 1 ? i : (i + 1 + draws.below(n - 1)) % n;
    Thing a = t.get(i);
    Thing b = t.get(j);
    switch (edit) {
      case SWAP_COLOUR -> {
        if (a.colour() == b.colour() || a.shape() == b.shape()) {
          return null;
        }
        t.set(i, new Thing(a.size(), a.fill(), b.colour(), a.shape()));
        t.set(j, new Thing(b.size(), b.fill(), a.colour(), b.shape()));
      }
      case SWAP_SHAPE -> {
        if (a.colour() == b.colour() || a.shape() == b.shape()) {
          return null;
        }
        t.set(i, new Thing(a.size(), a.fill(), a.colour(), b.shape()));
        t.set(j, new Thing(b.size(), b.fill(), b.colour(), a.shape()));
      }
      case SWAP_RELATION -> {
        if (n < 2) {
          return null;
        }
        Collections.swap(t, 0, 1);
      }
      case REPLACE_RELATION -> {
        if (n < 2) {
          return null;
        }
        if (n == 3 && draws.chance(0.3)) {
          side = drawSide(draws);
        } else {
          relation = draws.of(look.relations());
        }
      }
      case REPLACE_COLOUR ->
          t.set(i, new Thing(a.size(), a.fill(), draws.of(look.colours()), a.shape()));
      case REPLACE_SHAPE ->
          t.set(i, new Thing(a.size(), a.fill(), a.colour(), draws.of(look.shapes())));
      case REPLACE_ATTRIBUTE -> {
        // Only towards a marked value: leaving a word out would not make the caption false.
        Thing changed =
            draws.chance(0.5)
                ? new Thing(Size.SMALL, a.fill(), a.colour(), a.shape())
                : new Thing(a.size(), draws.of(look.fills()), a.colour(), a.shape());
        if (changed.equals(a) || !(changed.fill().marked() || changed.fill() == a.fill())) {
          return null;
        }
        t.set(i, changed);
      }
      case ADD -> {
        if (n > 2) {
          return null;
        }
        t.add(Thing.of(SceneGenerator.draw(look, draws, 0)));
        if (n == 1) {
          relation = drawSide(draws);
        } else {
          side = drawSide(draws);
        }
      }
    }
    Claim edited = new Claim(t, relation, side);
    return edited.equals(claim) ? null : edited;
  }

  private Relation drawSide(Draws draws) {
    Relation r = draws.of(look.relations());
    return r == Relation.INSIDE ? Relation.LEFT : r;
  }
}
