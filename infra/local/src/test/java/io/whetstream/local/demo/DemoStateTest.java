package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoStateTest {
  private static final DemoOptions OPTIONS = DemoOptions.of(60, 1);

  @TempDir Path temp;

  private void assertRefused(String what, DemoOptions options, String pairs) {
    BadInputException refused =
        assertThrows(BadInputException.class, () -> DemoState.load(temp, options, pairs));
    assertTrue(refused.getMessage().contains(what), refused.getMessage());
    assertTrue(refused.getMessage().contains("--fresh"), refused.getMessage());
  }

  @Test
  void aStreamGoesOnOnlyAsItWasBegun() throws Exception {
    DemoState scenes = new DemoState(OPTIONS, null, 7, 3, 0);
    scenes.save(temp);
    assertEquals(scenes, DemoState.load(temp, OPTIONS, null));
    assertRefused("--seed 1", DemoOptions.of(60, 2), null);
    assertRefused("drawn scenes", OPTIONS, "a");

    DemoState own = new DemoState(OPTIONS, "a", 7, 3, 0);
    own.save(temp);
    assertEquals(own, DemoState.load(temp, OPTIONS, "a"));
    assertRefused("other --pairs", OPTIONS, "b");
    assertRefused("begun with --pairs", OPTIONS, null);
  }

  @Test
  void aPositionThatCannotBeReadIsSaid() throws Exception {
    Files.writeString(temp.resolve("position.json"), "{");
    assertRefused("position.json", OPTIONS, null);
  }
}
