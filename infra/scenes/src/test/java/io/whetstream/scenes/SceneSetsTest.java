package io.whetstream.scenes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.scenes.SceneSets.NamedScene;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SceneSetsTest {
  @TempDir Path directory;

  @Test
  void everyRetrievalCaptionHasExactlyOnePicture() {
    for (SceneLook look : SceneLook.all()) {
      List<Scene> scenes = SceneSets.retrieval(1, look, 256);
      assertEquals(256, scenes.size());
      for (Scene a : scenes) {
        assertEquals(1, scenes.stream().filter(Claim.of(a)::describes).count());
      }
      assertEquals(scenes, SceneSets.retrieval(1, look, 256));
    }
  }

  @Test
  void evaluationSetsShareNoCombinationOfObjectsWithTraining() {
    Set<Long> heldOut = new TreeSet<>();
    SceneSets.retrieval(1, SceneLook.STANDARD, 256).forEach(s -> heldOut.add(s.contents()));
    SceneSets.compositional(1, SceneLook.STANDARD, 96)
        .forEach(i -> heldOut.add(i.scene().contents()));
    SceneStream stream = new SceneStream(1, SceneLook.STANDARD, 16);
    for (int i = 0; i < 4000; i++) {
      assertFalse(heldOut.contains(stream.scene(i).scene().contents()));
    }
  }

  @Test
  void compositionalItemsAreExactAndBalanced() {
    for (SceneLook look : SceneLook.all()) {
      Map<Edit, Integer> count = new EnumMap<>(Edit.class);
      for (CompositionalItem item : SceneSets.compositional(3, look, 384)) {
        count.merge(item.edit(), 1, Integer::sum);
        assertTrue(PictureTruth.holds(item.positive().text(), item.scene()));
        assertFalse(PictureTruth.holds(item.negative().text(), item.scene()));
      }
      for (Edit edit : Edit.values()) {
        assertEquals(384 / edit.kind().edits().size(), count.get(edit));
      }
    }
  }

  @Test
  void siblingsOfAGroupAreSpreadOverAWindow() {
    SceneStream stream = new SceneStream(5, SceneLook.STANDARD, 32);
    assertEquals(512, stream.window());
    Map<Long, List<Long>> places = new HashMap<>();
    int unrelated = 0;
    for (int i = 0; i < 2 * 512; i++) {
      SceneStream.Streamed s = stream.scene(i);
      assertEquals(i, s.index());
      if (s.hardGroup() < 0) {
        unrelated++;
      } else {
        places.computeIfAbsent(s.hardGroup(), g -> new ArrayList<>()).add((long) i);
      }
    }
    assertEquals(512, unrelated);
    assertEquals(64, places.size());
    double gaps = 0;
    for (List<Long> group : places.values()) {
      assertEquals(SceneGenerator.HARD_GROUP, group.size());
      gaps += group.get(7) - group.get(0);
    }
    assertTrue(gaps / 64 > 256, "mean distance of first and last sibling: " + gaps / 64);
  }

  @Test
  void theStreamIsTheSameWhereverOneStarts() {
    SceneStream forward = new SceneStream(5, SceneLook.UNSEEN_COLOURS, 4);
    SceneStream backward = new SceneStream(5, SceneLook.UNSEEN_COLOURS, 4);
    List<SceneStream.Streamed> scenes = new ArrayList<>();
    for (int i = 0; i < 200; i++) {
      scenes.add(forward.scene(i));
    }
    for (int i = 199; i >= 0; i--) {
      assertEquals(scenes.get(i), backward.scene(i));
    }
  }

  @Test
  void pretrainingIsAFunctionOfSeedAndNumberAndHasTheGridPhaseFirst() {
    PretrainingStream stream = new PretrainingStream(2, 1000);
    Map<PretrainingExample.Kind, Integer> early = new EnumMap<>(PretrainingExample.Kind.class);
    Map<PretrainingExample.Kind, Integer> late = new EnumMap<>(PretrainingExample.Kind.class);
    for (int i = 999; i >= 0; i--) {
      PretrainingExample example = stream.example(i);
      PretrainingExample again = new PretrainingStream(2, 1000).example(i);
      assertEquals(again.text(), example.text());
      assertEquals(again.prompt(), example.prompt());
      assertEquals(example.kind() == PretrainingExample.Kind.TEXT, example.image() == null);
      if (example.image() != null) {
        assertArrayEquals(again.image().rgb(), example.image().rgb());
      }
      (i < 350 ? early : late).merge(example.kind(), 1, Integer::sum);
    }
    assertTrue(early.get(PretrainingExample.Kind.GRID) > 350 / 4, early.toString());
    assertTrue(early.get(PretrainingExample.Kind.GRID) > early.get(PretrainingExample.Kind.LONG));
    assertTrue(late.get(PretrainingExample.Kind.LONG) > late.get(PretrainingExample.Kind.GRID));
    assertEquals(PretrainingExample.Kind.values().length, late.size());
  }

  @Test
  void writesPairsAndCompositionalItemsThatCanBeReadBack() throws IOException {
    Iterator<NamedScene> scenes =
        new SceneGenerator(1, SceneLook.STANDARD)
            .hardGroup(0).stream().map(s -> new NamedScene("s" + s.style(), s)).iterator();
    assertEquals(8, SceneSets.writePairs(directory, scenes));
    List<CompositionalItem> items = SceneSets.compositional(1, SceneLook.STANDARD, 4);
    assertEquals(16, SceneSets.writeCompositional(directory, items));
    ObjectMapper json = new ObjectMapper();
    for (String line : Files.readAllLines(directory.resolve(SceneSets.PAIRS_FILE))) {
      JsonNode node = json.readTree(line);
      assertTrue(Files.size(directory.resolve(node.get("image").asText())) > 48 * 48 * 3);
      assertFalse(node.get("caption").asText().equals(node.get("caption_long").asText()));
    }
    JsonNode first =
        json.readTree(Files.readAllLines(directory.resolve(SceneSets.COMPOSITIONAL_FILE)).get(0));
    assertEquals("swap", first.get("kind").asText());
    assertEquals(items.get(0).positive().text(), first.get("positive").asText());
    assertEquals(items.get(0).negative().text(), first.get("negatives").get(0).asText());
    assertArrayEquals(
        SceneRenderer.png(SceneRenderer.render(items.get(0).scene())),
        Files.readAllBytes(directory.resolve(first.get("image").asText())));
  }

  @Test
  void anInterruptedWriteLeavesNoPairsFile() {
    Iterator<NamedScene> broken =
        new Iterator<>() {
          @Override
          public boolean hasNext() {
            return true;
          }

          @Override
          public NamedScene next() {
            throw new IllegalStateException("no more");
          }
        };
    assertThrows(IllegalStateException.class, () -> SceneSets.writePairs(directory, broken));
    assertFalse(Files.exists(directory.resolve(SceneSets.PAIRS_FILE)));
    assertFalse(Files.exists(directory.resolve(SceneSets.PAIRS_FILE + ".part")));
  }
}
