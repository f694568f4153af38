package io.whetstream.scenes;

import java.util.ArrayList;
import java.util.List;

/**
 * A question about a scene whose answer needs what belongs to what, and where: "what is the colour
 * of the star :", "red". Questions are asked of a picture or of its short caption alike, so only
 * what a short caption says is asked.
 *
 * @param text ends in a colon
 * @param answer one or two words
 */
record Question(String text, String answer) {

  /** Every question that the scene and its short caption answer without ambiguity. */
  static List<Question> about(Scene scene) {
    List<Question> questions = new ArrayList<>();
    List<SceneObject> objects = scene.objects();
    for (SceneObject o : objects) {
      if (objects.stream().filter(other -> other.shape() == o.shape()).count() == 1) {
        questions.add(ask("what is the colour of the " + o.shape().word(), o.colour().word()));
      }
      if (objects.stream().filter(other -> other.colour() == o.colour()).count() == 1) {
        questions.add(ask("what shape is " + o.colour().word(), o.shape().word()));
      }
      questions.add(ask("what is the fill of the " + name(o), o.fill().word()));
      questions.add(ask("what is the size of the " + name(o), o.size().word()));
    }
    if (objects.size() > 1) {
      relations(questions, objects.get(0), objects.get(1), scene.plainRelation(0, 1));
    }
    if (objects.size() > 2) {
      relations(questions, objects.get(2), objects.get(0), scene.outerSide());
      relations(questions, objects.get(2), objects.get(1), scene.outerSide());
    }
    return questions;
  }

  private static void relations(
      List<Question> questions, SceneObject a, SceneObject b, Relation relation) {
    questions.add(
        ask("what is the relation of the " + name(a) + " and the " + name(b), relation.word()));
    questions.add(ask("what is " + relation.phrase() + " the " + name(b), name(a)));
    if (relation.opposite() != null) {
      questions.add(
          ask(
              "what is the relation of the " + name(b) + " and the " + name(a),
              relation.opposite().word()));
      questions.add(ask("what is " + relation.opposite().phrase() + " the " + name(a), name(b)));
    }
  }

  private static Question ask(String text, String answer) {
    return new Question(text + " :", answer);
  }

  private static String name(SceneObject o) {
    return o.colour().word() + ' ' + o.shape().word();
  }
}
