package io.whetstream.connectors;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Directories under the names that people give them. */
class StoredFilesTest {
  @TempDir private Path temp;

  @ParameterizedTest
  @ValueSource(strings = {"my data", "100%", "c#1", "q?x", "x%20y", "a,b", "a:b", "plain"})
  void aPathStandsForItselfAndAUriForWhatItMeans(String name) throws IOException {
    Path directory = temp.resolve(name);
    for (String given :
        new String[] {
          directory.toString(),
          directory.toUri().toString(),
          // What this prints is what it reads.
          StoredFiles.path(directory.toString()).toUri().toString()
        }) {
      assertEquals(directory.toString(), StoredFiles.path(given).getPath(), given);
    }
    org.apache.flink.core.fs.Path file =
        new org.apache.flink.core.fs.Path(StoredFiles.path(directory.toUri().toString()), "x");
    StoredFiles.write(file, new byte[] {7});
    assertEquals(7, Files.readAllBytes(directory.resolve("x"))[0]);
    assertEquals(7, StoredFiles.read(file, 10)[0]);
  }

  @ParameterizedTest
  @ValueSource(strings = {"my data", "100%", "c#1", "q?x"})
  void whatIsNoUriButAFileAddressIsTakenAsItStands(String name) {
    assertEquals(temp + "/" + name, StoredFiles.path("file:" + temp + "/" + name).getPath());
  }

  /** An earlier release made the directory under the very text. */
  @Test
  void whatLiesUnderTheTextOfAnAddressIsStillFound() throws IOException {
    Path literal = Files.createDirectory(temp.resolve("my%20data"));
    assertEquals(literal.toString(), StoredFiles.path("file:" + literal).getPath());
    Path meant = Files.createDirectory(temp.resolve("my data"));
    assertEquals(meant.toString(), StoredFiles.path("file:" + literal).getPath());
  }

  @Test
  void otherStoresTakeTheirKeysAsTheyStand() {
    assertEquals("/a%20b", StoredFiles.path("s3://bucket/a%20b").getPath());
  }
}
