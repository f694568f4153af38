package io.whetstream.scenes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.checkpoint.Checkpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoBaseTest {
  @TempDir Path cache;

  /** Adapters trained on the demo base name it by this: it is frozen. */
  @Test
  void itsDigestIsThatOfTheFirstRelease() {
    try (Checkpoint checkpoint = Checkpoint.open(DemoBase.unpack(cache))) {
      assertEquals(
          "66ae3ba2497e14a46477000af31a9808ed4aeb9373f8af2634d859d4d18ff1c6", checkpoint.digest());
    }
  }

  @Test
  void unpacksOnceAndAgainOnlyIfDamaged() throws IOException {
    Path first = DemoBase.unpack(cache);
    Path config = first.resolve("config.json");
    byte[] original = Files.readAllBytes(config);
    var before = Files.getLastModifiedTime(config);
    assertEquals(first, DemoBase.unpack(cache));
    assertEquals(before, Files.getLastModifiedTime(config));

    Files.writeString(config, "{}");
    assertEquals(first, DemoBase.unpack(cache));
    assertArrayEquals(original, Files.readAllBytes(config));
    Files.delete(config);
    assertEquals(first, DemoBase.unpack(cache));
    assertArrayEquals(original, Files.readAllBytes(config));
    assertOnlyOneDirectory();
  }

  @Test
  void manyAtOnceGetTheSameDirectory() throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(8);
    try {
      for (int round = 0; round < 20; round++) {
        Path fresh = cache.resolve("cache-" + round);
        Callable<Boolean> unpack =
            () -> Files.isRegularFile(DemoBase.unpack(fresh).resolve("config.json"));
        for (Future<Boolean> whole : pool.invokeAll(Collections.nCopies(8, unpack))) {
          assertTrue(whole.get());
        }
        try (Stream<Path> left = Files.list(fresh)) {
          assertEquals(1, left.count());
        }
      }
    } finally {
      pool.shutdownNow();
    }
  }

  private void assertOnlyOneDirectory() throws IOException {
    try (Stream<Path> left = Files.list(cache)) {
      assertEquals(1, left.count());
    }
  }
}
