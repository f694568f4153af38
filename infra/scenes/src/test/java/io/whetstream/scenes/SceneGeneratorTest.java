package io.whetstream.scenes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class SceneGeneratorTest {
  @Test
  void sceneNumberIIsTheSameInAnyOrderOfAsking() {
    SceneGenerator a = new SceneGenerator(11, SceneLook.STANDARD);
    SceneGenerator b = new SceneGenerator(11, SceneLook.STANDARD);
    for (int i = 200; i >= 0; i--) {
      a.hardGroup(i);
      assertEquals(b.scene(i), a.scene(i));
      assertArrayEquals(
          SceneRenderer.render(b.scene(i)).rgb(), SceneRenderer.render(a.scene(i)).rgb());
    }
    assertEquals(a.hardGroup(3), b.hardGroup(3));
    assertEquals(a.grid(3), b.grid(3));
    assertNotEquals(a.scene(1), a.scene(2));
    assertNotEquals(a.scene(1), new SceneGenerator(12, SceneLook.STANDARD).scene(1));
  }

  @Test
  void theStandardStreamNeverShowsAHeldBackLook() {
    SceneGenerator generator = new SceneGenerator(1, SceneLook.STANDARD);
    for (int i = 0; i < 3000; i++) {
      assertStandard(generator.scene(i));
      assertStandard(generator.grid(i));
    }
    for (int i = 0; i < 400; i++) {
      generator.hardGroup(i).forEach(SceneGeneratorTest::assertStandard);
    }
  }

  private static void assertStandard(Scene scene) {
    assertFalse(scene.background().heldBack());
    assertFalse(scene.nested());
    for (SceneObject o : scene.objects()) {
      assertFalse(o.colour().heldBack() || o.shape().heldBack() || o.fill().heldBack());
    }
  }

  @Test
  void driftLooksShowExactlyWhatTheyAreNamedFor() {
    Set<Colour> colours = EnumSet.noneOf(Colour.class);
    Set<Background> backgrounds = EnumSet.noneOf(Background.class);
    Set<Shape> shapes = EnumSet.noneOf(Shape.class);
    boolean nested = false;
    boolean dotted = false;
    for (int i = 0; i < 1000; i++) {
      for (SceneObject o : new SceneGenerator(1, SceneLook.UNSEEN_COLOURS).scene(i).objects()) {
        colours.add(o.colour());
        assertFalse(o.shape().heldBack() || o.fill().heldBack());
      }
      backgrounds.add(new SceneGenerator(1, SceneLook.UNSEEN_BACKGROUNDS).scene(i).background());
      Scene all = new SceneGenerator(1, SceneLook.EVERYTHING).scene(i);
      nested |= all.nested();
      for (SceneObject o : all.objects()) {
        shapes.add(o.shape());
        dotted |= o.fill() == Fill.DOTTED;
        assertTrue(o.colour().heldBack());
      }
    }
    assertEquals(EnumSet.of(Colour.PINK, Colour.BROWN, Colour.LIME, Colour.NAVY), colours);
    assertEquals(EnumSet.of(Background.CHECKERED, Background.LINED), backgrounds);
    assertTrue(shapes.containsAll(EnumSet.range(Shape.MOON, Shape.ELL)));
    assertTrue(nested && dotted);
  }

  @Test
  void theCaptionOfAHardGroupsSceneDescribesNoOtherSceneOfTheGroup() {
    for (SceneLook look : SceneLook.all()) {
      SceneGenerator generator = new SceneGenerator(2, look);
      for (int g = 0; g < 200; g++) {
        List<Scene> group = generator.hardGroup(g);
        assertEquals(SceneGenerator.HARD_GROUP, group.size());
        Set<String> captions = new HashSet<>();
        for (Scene a : group) {
          captions.add(Captioner.shortCaption(a));
          assertTrue(a.plain());
          for (Scene b : group) {
            assertEquals(a.equals(b), Claim.of(a).describes(b));
          }
        }
        assertEquals(group.size(), captions.size());
      }
    }
  }

  @Test
  void negativesAreFalseAndOneEditAway() {
    for (SceneLook look : SceneLook.all()) {
      SceneGenerator generator = new SceneGenerator(4, look);
      Map<Edit, Integer> made = new EnumMap<>(Edit.class);
      for (int i = 0; i < 600; i++) {
        Scene scene = generator.scene(i);
        Claim truth = Claim.of(scene);
        assertTrue(truth.holdsIn(scene) && truth.describes(scene), truth.text());
        for (Edit edit : Edit.values()) {
          Claim negative = generator.negative(scene, edit, 0);
          if (negative == null) {
            continue;
          }
          made.merge(edit, 1, Integer::sum);
          assertNotEquals(truth.text(), negative.text());
          assertFalse(negative.holdsIn(scene));
          assertFalse(PictureTruth.holds(negative.text(), scene), negative.text());
          assertEquals(negative, generator.negative(scene, edit, 0));
          if (edit.kind() == Edit.Kind.SWAP || edit == Edit.SWAP_RELATION) {
            assertEquals(bag(truth.text()), bag(negative.text()));
          }
        }
        assertTrue(PictureTruth.holds(truth.text(), scene), truth.text());
      }
      for (Edit edit : Edit.values()) {
        assertTrue(made.get(edit) > 100, edit + " in " + look.name());
      }
    }
  }

  @Test
  void exchangingColoursKeepsTheWordsOfTheCaptionAndTheOrderOfShapes() {
    SceneGenerator generator = new SceneGenerator(12, SceneLook.STANDARD);
    Editor editor = new Editor(SceneLook.STANDARD);
    int swapped = 0;
    for (int i = 0; i < 300; i++) {
      Scene scene = generator.scene(i);
      Scene edited = editor.edit(scene, Edit.SWAP_COLOUR, new Draws(i));
      if (edited != null) {
        swapped++;
        assertEquals(
            bag(Captioner.shortCaption(scene)), bag(Captioner.shortCaption(edited)), "scene " + i);
        assertEquals(
            scene.objects().stream().map(SceneObject::shape).toList(),
            edited.objects().stream().map(SceneObject::shape).toList());
      }
    }
    assertTrue(swapped > 100);
  }

  @Test
  void everyRelationIsSaidAboutEquallyOften() {
    SceneGenerator generator = new SceneGenerator(13, SceneLook.STANDARD);
    Map<Relation, Integer> said = new EnumMap<>(Relation.class);
    for (int i = 0; i < 4000; i++) {
      Relation relation = Claim.of(generator.scene(i)).relation();
      if (relation != null) {
        said.merge(relation, 1, Integer::sum);
      }
    }
    for (Relation relation : SceneLook.STANDARD.relations()) {
      assertEquals(0.25, said.get(relation) / 3200.0, 0.05, said.toString());
    }
  }

  private static List<String> bag(String text) {
    return List.of(text.split(" ", -1)).stream().sorted().toList();
  }

  @Test
  void heldOutScenesAreMadeOfObjectsThatTrainingNeverCombines() {
    Set<Long> heldOut = new HashSet<>();
    SceneGenerator evaluation = SceneGenerator.heldOut(9, SceneLook.STANDARD);
    for (int i = 0; i < 2000; i++) {
      heldOut.add(evaluation.scene(i).contents());
    }
    SceneGenerator training = new SceneGenerator(9, SceneLook.STANDARD);
    for (int i = 0; i < 4000; i++) {
      assertFalse(heldOut.contains(training.scene(i).contents()));
    }
    for (int i = 0; i < 500; i++) {
      training.hardGroup(i).forEach(s -> assertFalse(heldOut.contains(s.contents())));
    }
  }

  @Test
  void shortCaptionsStayBelowThirtyTokensAndLongOnesReachThem() {
    for (SceneLook look : SceneLook.all()) {
      SceneGenerator generator = new SceneGenerator(6, look);
      double words = 0;
      for (int i = 0; i < 2000; i++) {
        Scene scene = generator.scene(i);
        int brief = Captioner.shortCaption(scene).split(" ", -1).length;
        int full = Captioner.longCaption(scene).replaceAll("([.,:])", " $1").split(" ", -1).length;
        assertTrue(brief < 30, Captioner.shortCaption(scene));
        assertTrue(full >= 30 && full <= 53, Captioner.longCaption(scene));
        words += full;
      }
      assertEquals(39, words / 2000, 2.5);
    }
  }

  @Test
  void theTwoReadersOfCaptionsCatchAWrongCaption() {
    Scene scene =
        new Scene(
            Background.DARK,
            List.of(
                new SceneObject(Size.SMALL, Fill.SOLID, Colour.RED, Shape.STAR, 0),
                new SceneObject(Size.LARGE, Fill.SOLID, Colour.BLUE, Shape.STAR, 2)),
            1);
    assertEquals("a small red star left of a blue star", Captioner.shortCaption(scene));
    for (String wrong :
        List.of(
            "a small red star right of a blue star",
            "a small blue star left of a red star",
            "a striped red star left of a blue star",
            "a green star")) {
      assertFalse(PictureTruth.holds(wrong, scene), wrong);
    }
    for (String right : List.of("a blue star", "a blue star right of a small red star")) {
      assertTrue(PictureTruth.holds(right, scene), right);
    }
  }
}
