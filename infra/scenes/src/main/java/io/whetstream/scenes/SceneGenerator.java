package io.whetstream.scenes;

import java.util.ArrayList;
import java.util.List;

/**
 * Scenes by number: scene {@code i} is a pure function of (seed, look, i), so a stream can be cut,
 * resumed and split among workers anywhere. Immutable and thread-safe.
 *
 * <p>Training and held-out scenes are separated by what is in them, not by their numbers: a
 * combination of objects that occurs in any held-out set occurs in no training stream, whatever the
 * seeds.
 */
public final class SceneGenerator {
  /** Scenes in a hard group: one and its edited siblings. */
  public static final int HARD_GROUP = 8;

  private static final int HELD_OUT_ONE_IN = 8;
  private static final long SCENE = 1;
  private static final long GROUP = 2;
  private static final long GRID = 3;
  private static final long NEGATIVE = 4;

  private final long seed;
  private final SceneLook look;
  private final boolean heldOut;
  private final Editor editor;

  /** Training scenes of that look. */
  public SceneGenerator(long seed, SceneLook look) {
    this(seed, look, false);
  }

  private SceneGenerator(long seed, SceneLook look, boolean heldOut) {
    this.seed = seed;
    this.look = look;
    this.heldOut = heldOut;
    this.editor = new Editor(look);
  }

  /** Held-out scenes of that look, for evaluation only. */
  public static SceneGenerator heldOut(long seed, SceneLook look) {
    return new SceneGenerator(seed, look, true);
  }

  /** What it may show. */
  public SceneLook look() {
    return look;
  }

  /** Scene number {@code index}: one (20 %), two (40 %) or three (40 %) objects. */
  public Scene scene(long index) {
    Draws draws = new Draws(seed, SCENE, index);
    while (true) {
      Scene scene = draft(draws);
      if (accepts(scene)) {
        return scene;
      }
    }
  }

  /**
   * Hard group number {@code index}: a scene of two or three objects and seven siblings, each one
   * edit away from the first. The caption of none describes the picture of another.
   */
  public List<Scene> hardGroup(long index) {
    Draws draws = new Draws(seed, GROUP, index);
    while (true) {
      List<Scene> group = tryHardGroup(draws);
      if (group.size() == HARD_GROUP) {
        return group;
      }
    }
  }

  private List<Scene> tryHardGroup(Draws draws) {
    List<Scene> group = new ArrayList<>(HARD_GROUP);
    Scene first = draft(draws);
    if (first.objects().size() < 2
        || first.objects().get(0).colour() == first.objects().get(1).colour()
        || first.objects().get(0).shape() == first.objects().get(1).shape()
        || !accepts(first)) {
      return group;
    }
    group.add(first);
    Edit[] all = Edit.values();
    for (Edit edit :
        List.of(
            Edit.SWAP_COLOUR,
            Edit.SWAP_SHAPE,
            Edit.SWAP_RELATION,
            Edit.REPLACE_RELATION,
            // There are many ways to lie apart, and they are what is learnt last.
            Edit.REPLACE_RELATION,
            draws.chance(0.5) ? Edit.REPLACE_COLOUR : Edit.REPLACE_SHAPE,
            first.objects().size() < 3 ? Edit.ADD : Edit.REPLACE_ATTRIBUTE)) {
      addSibling(group, edit, draws, 24);
    }
    for (int i = 0; i < 64 && group.size() < HARD_GROUP; i++) {
      addSibling(group, all[draws.below(all.length)], draws, 4);
    }
    return group;
  }

  private void addSibling(List<Scene> group, Edit edit, Draws draws, int tries) {
    for (int i = 0; i < tries && group.size() < HARD_GROUP; i++) {
      Scene sibling = editor.edit(group.get(0), edit, draws);
      if (sibling != null && accepts(sibling) && apart(group, sibling)) {
        group.add(sibling);
        return;
      }
    }
  }

  /** Whether no caption of the group describes the scene, nor the scene's caption one of them. */
  static boolean apart(List<Scene> group, Scene scene) {
    Claim claim = Claim.of(scene);
    return group.stream()
        .noneMatch(other -> claim.describes(other) || Claim.of(other).describes(scene));
  }

  /** Full grid number {@code index}: nine objects in reading order. Only pretraining uses it. */
  public Scene grid(long index) {
    Draws draws = new Draws(seed, GRID, index);
    List<SceneObject> objects = new ArrayList<>(9);
    for (int cell = 0; cell < 9; cell++) {
      objects.add(draw(look, draws, cell));
    }
    return new Scene(draws.of(look.backgrounds()), objects, draws.next());
  }

  /**
   * A false caption of the scene, one edit away from the true one, or null if this scene allows no
   * such edit. False even to the most generous reader ({@link Claim#holdsIn}).
   *
   * @param variant tells several negatives of the same kind apart
   */
  @SuppressWarnings("EnumOrdinal") // The order of the values is part of what a seed means.
  public Claim negative(Scene scene, Edit edit, long variant) {
    Draws draws = new Draws(seed, NEGATIVE, scene.style(), edit.ordinal(), variant);
    Claim truth = Claim.of(scene);
    for (int i = 0; i < 40; i++) {
      Claim claim = editor.edit(truth, edit, draws);
      if (claim != null && !claim.holdsIn(scene)) {
        return claim;
      }
    }
    return null;
  }

  private boolean accepts(Scene scene) {
    return (Long.remainderUnsigned(scene.contents(), HELD_OUT_ONE_IN) == 0) == heldOut;
  }

  private Scene draft(Draws draws) {
    double u = draws.unit();
    int n = u < 0.2 ? 1 : u < 0.6 ? 2 : 3;
    while (true) {
      List<SceneObject> objects = new ArrayList<>(n);
      boolean nest = look.relations().contains(Relation.INSIDE) && n == 2 && draws.chance(0.4);
      for (int i = 0; i < n; i++) {
        objects.add(draw(look, draws, draws.below(9)));
      }
      if (nest) {
        SceneObject outer = objects.get(1);
        Shape shape = draws.of(List.of(Shape.CIRCLE, Shape.SQUARE, Shape.DIAMOND));
        objects.set(
            1,
            new SceneObject(Size.LARGE, Fill.HOLLOW, outer.colour(), shape, objects.get(0).cell()));
      }
      Scene scene = Scene.named(draws.of(look.backgrounds()), objects, draws.next());
      if (scene.plain() && scene.nested() == nest) {
        return scene;
      }
    }
  }

  static SceneObject draw(SceneLook look, Draws draws, int cell) {
    Size size = draws.chance(0.4) ? Size.SMALL : Size.LARGE;
    Fill fill = draws.chance(0.4) ? Fill.SOLID : look.fills().get(draws.below(look.fills().size()));
    return new SceneObject(size, fill, draws.of(look.colours()), draws.of(look.shapes()), cell);
  }
}
