package io.whetstream.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The Dockerfiles, read; what is copied out of the build is laid out and run by ImagesTest. */
class DockerfileTest {
  @Test
  void theDependencyLayerHasTheDescriptorOfEveryModule() throws Exception {
    Set<String> modules =
        Pattern.compile("<module>(.+)</module>")
            .matcher(Files.readString(Yaml.ROOT.resolve("pom.xml")))
            .results()
            .map(found -> found.group(1) + "/pom.xml")
            .collect(Collectors.toCollection(TreeSet::new));
    modules.add("pom.xml");
    Set<String> copied = new TreeSet<>();
    for (String line : lines("Dockerfile")) {
      String[] words = line.split("\\s+");
      if (words[0].equals("COPY") && words.length == 3 && words[1].endsWith("pom.xml")) {
        assertEquals(words[1], words[2]);
        copied.add(words[1]);
      }
    }
    assertEquals(modules, copied);
  }

  @ParameterizedTest
  @ValueSource(strings = {"Dockerfile", "Dockerfile.cuda"})
  void whatIsCopiedFromTheRepositoryExistsAndIsNotIgnored(String file) throws Exception {
    List<PathMatcher> ignored = new ArrayList<>();
    for (String pattern : Files.readAllLines(Yaml.ROOT.resolve(".dockerignore"))) {
      if (!pattern.isBlank() && !pattern.startsWith("#")) {
        ignored.add(FileSystems.getDefault().getPathMatcher("glob:" + pattern));
      }
    }
    int seen = 0;
    for (String line : lines(file)) {
      List<String> words = new ArrayList<>(Arrays.asList(line.split("\\s+")));
      if (words.remove(0).equals("COPY") && !line.contains("--from=")) {
        words.removeIf(word -> word.startsWith("--"));
        for (String source : words.subList(0, words.size() - 1)) {
          assertTrue(Files.exists(Yaml.ROOT.resolve(source)), source);
          assertTrue(
              ignored.stream().noneMatch(matcher -> matcher.matches(Path.of(source))), source);
          seen++;
        }
      }
    }
    assertTrue(seen > 0 || file.endsWith("cuda"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"Dockerfile", "Dockerfile.cuda"})
  void everyImageThatRunsDoesSoAsAUserOfItsOwn(String file) throws Exception {
    String user = "";
    List<String> stages = new ArrayList<>();
    List<String> users = new ArrayList<>();
    for (String line : lines(file)) {
      if (line.startsWith("FROM ")) {
        stages.add(line);
        users.add("root");
      } else if (line.startsWith("USER ")) {
        user = line.substring(5).strip();
        users.set(users.size() - 1, user);
      }
    }
    for (int i = 0; i < stages.size(); i++) {
      boolean onlyBuilds = stages.get(i).matches(".* AS (build|onnxruntime|libtorch)");
      boolean onlyNamed = stages.get(i).matches("FROM whetstream-flink AS flink");
      if (!onlyBuilds && !onlyNamed) {
        assertNotEquals("root", users.get(i), stages.get(i));
      }
    }
  }

  @Test
  void libtorchForCudaIsNotTakenWithoutItsDigest() throws Exception {
    String text = String.join("\n", lines("Dockerfile.cuda"));
    assertTrue(text.contains("${LIBTORCH_SHA256:?"));
    assertTrue(text.contains("sha256sum -c -"));
  }

  /** Instructions, with what is continued on one line. */
  private static List<String> lines(String file) throws IOException {
    return Arrays.stream(
            Files.readString(Yaml.ROOT.resolve("docker").resolve(file))
                .replaceAll("\\\\\n\\s*", "")
                .split("\n"))
        .filter(line -> !line.isBlank() && !line.startsWith("#"))
        .toList();
  }
}
