package io.whetstream.scenes;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;

/**
 * What a stream of scenes may show. {@link #STANDARD} never shows a held-back look; the others show
 * the named held-back looks and nothing else of that attribute, so that a switch from one to the
 * other is a clean change of distribution.
 */
public record SceneLook(
    String name,
    List<Colour> colours,
    List<Shape> shapes,
    List<Fill> fills,
    List<Relation> relations,
    List<Background> backgrounds) {

  /** What the base model was pretrained on. */
  public static final SceneLook STANDARD =
      new SceneLook(
          "standard",
          select(Colour.values(), c -> !c.heldBack()),
          select(Shape.values(), s -> !s.heldBack()),
          select(Fill.values(), f -> !f.heldBack()),
          select(Relation.values(), r -> !r.heldBack()),
          select(Background.values(), b -> !b.heldBack()));

  /** Pink, brown, lime and navy; all else as before. */
  public static final SceneLook UNSEEN_COLOURS =
      new SceneLook(
          "unseen-colours",
          select(Colour.values(), Colour::heldBack),
          STANDARD.shapes,
          STANDARD.fills,
          STANDARD.relations,
          STANDARD.backgrounds);

  /** Checkered and lined backgrounds; all else as before. */
  public static final SceneLook UNSEEN_BACKGROUNDS =
      new SceneLook(
          "unseen-backgrounds",
          STANDARD.colours,
          STANDARD.shapes,
          STANDARD.fills,
          STANDARD.relations,
          select(Background.values(), Background::heldBack));

  /** Unseen colours, shapes and backgrounds, the dotted fill among the fills, "inside" as well. */
  public static final SceneLook EVERYTHING =
      new SceneLook(
          "everything",
          UNSEEN_COLOURS.colours,
          select(Shape.values(), Shape::heldBack),
          List.of(Fill.values()),
          List.of(Relation.values()),
          UNSEEN_BACKGROUNDS.backgrounds);

  /** Every look there is, seen or not. For text that must contain every word. */
  static final SceneLook ANY =
      new SceneLook(
          "any",
          List.of(Colour.values()),
          List.of(Shape.values()),
          List.of(Fill.values()),
          List.of(Relation.values()),
          List.of(Background.values()));

  public SceneLook {
    colours = List.copyOf(colours);
    shapes = List.copyOf(shapes);
    fills = List.copyOf(fills);
    relations = List.copyOf(relations);
    backgrounds = List.copyOf(backgrounds);
  }

  /** The looks that have a name: what {@link #named} accepts. */
  public static List<SceneLook> all() {
    return List.of(STANDARD, UNSEEN_COLOURS, UNSEEN_BACKGROUNDS, EVERYTHING);
  }

  /**
   * The look of that name.
   *
   * @throws io.whetstream.model.BadInputException if there is none
   */
  public static SceneLook named(String name) {
    List<String> names = new ArrayList<>();
    for (SceneLook look : all()) {
      if (look.name.equals(name)) {
        return look;
      }
      names.add(look.name);
    }
    throw new io.whetstream.model.BadInputException(
        "no look of drawn scenes is named '" + name + "'; there are " + String.join(", ", names));
  }

  private static <T> List<T> select(T[] all, Predicate<T> wanted) {
    return Arrays.stream(all).filter(wanted).toList();
  }
}
