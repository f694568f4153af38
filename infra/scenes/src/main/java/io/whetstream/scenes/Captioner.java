package io.whetstream.scenes;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** What is said of a scene. All captions are functions of the scene alone. */
public final class Captioner {
  private static final List<String> ROWS = List.of("top", "middle", "bottom");
  private static final List<String> COLUMNS = List.of("left", "centre", "right");
  private static final List<String> NUMBERS = List.of("one", "two", "three");

  private Captioner() {}

  /** About 10 words, always fewer than 30 tokens: see {@link Claim}. */
  public static String shortCaption(Scene scene) {
    return Claim.of(scene).text();
  }

  /**
   * About 39 tokens, 30 to 53: background, every object with all its attributes and its place in
   * reading order, and how neighbours in that order lie to each other.
   */
  public static String longCaption(Scene scene) {
    int n = scene.objects().size();
    List<SceneObject> o = new ArrayList<>(scene.objects());
    // Stable, so that an inner shape stays before the one around it.
    o.sort(Comparator.comparingInt(SceneObject::cell));
    StringBuilder b = new StringBuilder(NUMBERS.get(n - 1));
    b.append(n == 1 ? " shape on a " : " shapes on a ").append(scene.background().word());
    b.append(" background: ");
    for (int i = 0; i < n; i++) {
      b.append(i == 0 ? "a " : ", a ").append(Claim.Thing.of(o.get(i)).fullText());
      b.append(' ').append(place(o.get(i)));
    }
    b.append('.');
    if (n == 1) {
      SceneObject only = o.get(0);
      b.append(" the shape is ").append(only.size().word());
      b.append(", its fill is ").append(only.fill().word());
      b.append(", its colour is ").append(only.colour().word());
      b.append(" and its form is ").append(only.shape().word()).append('.');
    }
    Scene inOrder = new Scene(scene.background(), o, scene.style());
    for (int i = 1; i < n; i++) {
      relate(inOrder, i - 1, i, b);
    }
    return b.toString();
  }

  private static void relate(Scene scene, int first, int second, StringBuilder b) {
    Relation relation = scene.plainRelation(first, second);
    if (relation == null) {
      // Diagonal: in reading order the first is the higher one.
      relation = Relation.ABOVE;
    }
    SceneObject subject = scene.objects().get(first);
    SceneObject object = scene.objects().get(second);
    // The earlier colour is named first, so that all four sides occur and yet nothing is random.
    if (relation != Relation.INSIDE && object.look() < subject.look()) {
      SceneObject swap = subject;
      subject = object;
      object = swap;
      relation = relation.opposite();
    }
    b.append(" the ").append(name(subject)).append(" is ").append(relation.phrase());
    b.append(" the ").append(name(object)).append('.');
  }

  /** Nine objects in reading order, 36 words and a few: "grid: small striped red cross ...". */
  public static String gridCaption(Scene grid) {
    StringBuilder b = new StringBuilder("grid:");
    for (SceneObject o : grid.objects()) {
      b.append(' ').append(Claim.Thing.of(o).fullText());
    }
    return b.toString();
  }

  /**
   * The words of a short caption that mean something: each is a one-word caption. Colours, shapes,
   * marked sizes and fills, and how the shapes lie.
   */
  static List<String> words(Scene scene) {
    List<String> words = new ArrayList<>();
    for (SceneObject o : scene.objects()) {
      words.add(o.colour().word());
      words.add(o.shape().word());
      if (o.size().marked()) {
        words.add(o.size().word());
      }
      if (o.fill().marked()) {
        words.add(o.fill().word());
      }
    }
    Claim claim = Claim.of(scene);
    if (claim.relation() != null) {
      words.add(claim.relation().word());
    }
    if (claim.side() != null) {
      words.add(claim.side().word());
    }
    return words;
  }

  private static String name(SceneObject o) {
    return o.colour().word() + ' ' + o.shape().word();
  }

  private static String place(SceneObject o) {
    return ROWS.get(o.row()) + ' ' + COLUMNS.get(o.column());
  }
}
