package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileSourceTest {
  private static final DemoOptions OPTIONS = new DemoOptions(10, 1, 10, 10, 0.5, 4);

  @TempDir Path temp;

  private Path file(int lines) throws IOException {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < lines; i++) {
      Files.write(temp.resolve(i + ".png"), new byte[] {(byte) i, 7});
      text.append(
          String.format(
              "{\"id\":\"p%d\",\"image\":\"%d.png\",\"caption\":\"thing %d\"}%n", i, i, i));
    }
    return Files.writeString(temp.resolve("pairs.jsonl"), text);
  }

  @Test
  void pairsComeOnceInOrderAndThenTheStreamEnds() throws Exception {
    FileSource source = new FileSource(file(40), OPTIONS);
    assertEquals(40, source.lastPair());
    assertEquals("p3", source.pair(3).id());
    assertEquals("thing 3", source.pair(3).caption());
    assertArrayEquals(new byte[] {3, 7}, source.pair(3).image());
  }

  @Test
  void anItemIsPlantedForTheCaptionOfItsOwnLineAlone() throws Exception {
    FileSource source = new FileSource(file(40), OPTIONS);
    assertEquals(4, source.queries().size());
    Map<String, String> texts = new TreeMap<>();
    source.queries().forEach(q -> texts.put(q.id(), q.text()));
    Set<Byte> seen = new HashSet<>();
    Set<String> planted = new HashSet<>();
    int plantedItems = 0;
    for (long i = 0; i < 56; i++) {
      Source.Shown item = source.item(i);
      seen.add(item.image()[0]);
      if (item.query() != null) {
        plantedItems++;
        planted.add(item.query());
        assertEquals("thing " + item.image()[0], texts.get(item.query()));
      }
    }
    assertEquals(40, seen.size());
    assertEquals(texts.keySet(), planted);
    assertTrue(plantedItems >= 56 / DemoStream.PLANTED_ONE_IN, plantedItems + " planted");
  }

  @Test
  void aFileThatCannotBeUsedIsSaidWithItsLine() throws Exception {
    assertThrows(BadInputException.class, () -> new FileSource(temp.resolve("no"), OPTIONS));
    assertThrows(BadInputException.class, () -> new FileSource(file(3), OPTIONS));
    FileSource source = new FileSource(file(20), OPTIONS);
    Files.delete(temp.resolve("5.png"));
    BadInputException gone = assertThrows(BadInputException.class, () -> source.pair(5));
    assertTrue(gone.getMessage().contains("line 6"), gone.getMessage());
    BadInputException early =
        assertThrows(
            BadInputException.class, () -> new FileSource(temp.resolve("pairs.jsonl"), OPTIONS));
    assertTrue(early.getMessage().contains("line 6"), early.getMessage());
    Path bad = Files.writeString(temp.resolve("bad.jsonl"), "{\"id\":\"x\"}\n");
    BadInputException line =
        assertThrows(BadInputException.class, () -> new FileSource(bad, OPTIONS));
    assertTrue(line.getMessage().contains("1"), line.getMessage());
  }
}
