package io.whetstream.scenes;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class QuestionTest {
  private static final Pattern RELATION =
      Pattern.compile("what is the relation of the (.+) and the (.+) :");
  private static final Pattern WHAT_LIES =
      Pattern.compile("what is (left of|right of|above|below|inside) the (.+) :");

  @Test
  void everyAnswerIsTrueOfThePicture() {
    for (SceneLook look : List.of(SceneLook.STANDARD, SceneLook.ANY)) {
      SceneGenerator generator = new SceneGenerator(8, look);
      int relations = 0;
      for (int i = 0; i < 500; i++) {
        Scene scene = generator.scene(i);
        for (Question question : Question.about(scene)) {
          Matcher relation = RELATION.matcher(question.text());
          Matcher lies = WHAT_LIES.matcher(question.text());
          String claim = null;
          if (relation.matches()) {
            String word = question.answer();
            String phrase = word.equals("left") || word.equals("right") ? word + " of" : word;
            claim = relation.group(1) + ' ' + phrase + " a " + relation.group(2);
            relations++;
          } else if (lies.matches()) {
            claim = question.answer() + ' ' + lies.group(1) + " a " + lies.group(2);
          }
          if (claim != null) {
            assertTrue(PictureTruth.holds("a " + claim, scene), question + " of " + scene);
          }
        }
      }
      assertTrue(relations > 500);
    }
  }

  @Test
  void whatHasTwoAnswersIsNotAsked() {
    SceneObject circle = new SceneObject(Size.LARGE, Fill.SOLID, Colour.RED, Shape.CIRCLE, 2);
    Scene scene = new Scene(Background.DARK, List.of(circle, circle.at(0).with(Colour.BLUE)), 1);
    List<String> asked = Question.about(scene).stream().map(Question::text).toList();
    assertTrue(asked.contains("what shape is blue :"));
    assertEquals(0, asked.stream().filter(q -> q.contains("colour of the circle")).count());
  }
}
