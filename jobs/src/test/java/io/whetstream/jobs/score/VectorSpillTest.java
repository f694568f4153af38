package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.whetstream.connectors.records.MatchKind.Side;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VectorSpillTest {
  private static final String BASE = "b".repeat(64);
  private static final String FIRST = WordEmbedder.digest(100);
  private static final String SECOND = WordEmbedder.digest(101);

  @TempDir Path directory;

  private VectorSpill open() {
    return VectorSpill.open(directory, BASE, 3);
  }

  private List<Path> files() throws IOException {
    try (Stream<Path> all = Files.walk(directory)) {
      return all.filter(file -> file.toString().endsWith(".vectors")).sorted().toList();
    }
  }

  @Test
  void givesBackWhatWasKeptBeforeARestart() {
    try (VectorSpill spill = open()) {
      assertNull(spill.get(FIRST, Side.TEXT, SECOND));
      spill.put(FIRST, Side.TEXT, SECOND, new float[] {1, 2, 3});
      spill.put(FIRST, Side.TEXT, FIRST, new float[] {4, 5, 6});
    }
    try (VectorSpill spill = open()) {
      assertArrayEquals(new float[] {1, 2, 3}, spill.get(FIRST, Side.TEXT, SECOND));
      assertArrayEquals(new float[] {4, 5, 6}, spill.get(FIRST, Side.TEXT, FIRST));
      assertNull(spill.get(FIRST, Side.IMAGE, FIRST), "sides are apart");
      assertNull(spill.get(SECOND, Side.TEXT, FIRST), "adapters are apart");
    }
  }

  @Test
  void aDamagedRecordIsNotGivenAndTheFileGoesOn() throws IOException {
    try (VectorSpill spill = open()) {
      spill.put(FIRST, Side.TEXT, FIRST, new float[] {1, 2, 3});
      spill.put(FIRST, Side.TEXT, SECOND, new float[] {4, 5, 6});
    }
    Path file = files().get(0);
    byte[] bytes = Files.readAllBytes(file);
    bytes[bytes.length - 6] ^= 1;
    Files.write(file, bytes);
    try (VectorSpill spill = open()) {
      assertArrayEquals(new float[] {1, 2, 3}, spill.get(FIRST, Side.TEXT, FIRST));
      assertNull(spill.get(FIRST, Side.TEXT, SECOND));
      spill.put(FIRST, Side.TEXT, SECOND, new float[] {7, 8, 9});
    }
    try (VectorSpill spill = open()) {
      assertArrayEquals(new float[] {7, 8, 9}, spill.get(FIRST, Side.TEXT, SECOND));
    }
  }

  @Test
  void aRecordIsVerifiedWhenItIsReadAndNotOnlyWhenItsFileIsOpened() throws IOException {
    try (VectorSpill spill = open()) {
      spill.put(FIRST, Side.TEXT, FIRST, new float[] {1, 2, 3});
      spill.put(FIRST, Side.TEXT, SECOND, new float[] {4, 5, 6});
      byte[] bytes = Files.readAllBytes(files().get(0));
      bytes[40] ^= 1;
      Files.write(files().get(0), bytes);
      assertNull(spill.get(FIRST, Side.TEXT, FIRST));
      spill.put(FIRST, Side.TEXT, FIRST, new float[] {1, 2, 3});
      assertArrayEquals(new float[] {1, 2, 3}, spill.get(FIRST, Side.TEXT, FIRST));
      assertArrayEquals(new float[] {4, 5, 6}, spill.get(FIRST, Side.TEXT, SECOND));
      // As another process that does not know the lock would write it: whole, but of another.
      bytes = Files.readAllBytes(files().get(0));
      System.arraycopy(bytes, bytes.length / 3, bytes, 2 * bytes.length / 3, bytes.length / 3);
      Files.write(files().get(0), bytes);
      assertNull(spill.get(FIRST, Side.TEXT, FIRST));
    }
  }

  @Test
  void twoOwnersDoNotShareADirectoryAndEachFindsItsOwnAgain() {
    for (int run = 0; run < 2; run++) {
      try (VectorSpill one = open();
          VectorSpill two = open()) {
        float[] kept = run == 0 ? null : new float[] {1, 0, 0};
        assertArrayEquals(kept, one.get(FIRST, Side.TEXT, FIRST));
        one.put(FIRST, Side.TEXT, FIRST, new float[] {1, 0, 0});
        kept = run == 0 ? null : new float[] {2, 0, 0};
        assertArrayEquals(kept, two.get(FIRST, Side.TEXT, FIRST));
        two.put(FIRST, Side.TEXT, FIRST, new float[] {2, 0, 0});
      }
    }
  }

  @Test
  void aDirectoryThatCannotBeMadeIsNoneAndAFullDiskAMiss() throws IOException {
    Path file = Files.writeString(directory.resolve("file"), "x");
    assertNull(VectorSpill.open(file, BASE, 3));
    Path full = Path.of("/dev/full");
    assumeTrue(Files.exists(full));
    Path vectors = Files.createDirectories(directory.resolve(BASE.substring(0, 16)));
    Files.createSymbolicLink(vectors.resolve(FIRST + ".text.vectors"), full);
    try (VectorSpill spill = open()) {
      spill.put(FIRST, Side.TEXT, FIRST, new float[] {1, 2, 3});
      assertNull(spill.get(FIRST, Side.TEXT, FIRST));
    }
  }

  @Test
  void keepsOnlyTheLastAdapters() throws IOException {
    for (int i = 0; i < 6; i++) {
      try (VectorSpill spill = open()) {
        spill.put(WordEmbedder.digest(i), Side.TEXT, FIRST, new float[] {i, 0, 0});
      }
      for (Path file : files()) {
        if (file.getFileName().toString().startsWith(WordEmbedder.digest(i))) {
          Files.setLastModifiedTime(file, FileTime.fromMillis(1_000_000L + i));
        }
      }
    }
    assertEquals(VectorSpill.KEPT, files().size());
    try (VectorSpill spill = open()) {
      assertArrayEquals(new float[] {5, 0, 0}, spill.get(WordEmbedder.digest(5), Side.TEXT, FIRST));
    }
  }
}
