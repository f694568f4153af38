package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The launcher script in a small tree of its own, with a Maven and a Java that say what they do.
 */
class LauncherTest {
  @TempDir Path temp;
  private Path home;
  private Path bin;

  record Ran(int code, String text) {}

  @BeforeEach
  void tree() throws IOException {
    home = Files.createDirectories(temp.resolve("a tree"));
    bin = Files.createDirectories(temp.resolve("jdk/bin"));
    Files.copy(launcher(), home.resolve("whetstream"), StandardCopyOption.COPY_ATTRIBUTES);
    for (String module : List.of("model", "connectors", "jobs", "infra")) {
      Files.createDirectories(home.resolve(module).resolve("src/main"));
      Files.createDirectories(home.resolve(module).resolve("src/test"));
    }
    Files.writeString(home.resolve("pom.xml"), "<project/>");
    script(
        "mvn",
        "echo MAVEN \"$@\"; mkdir -p infra/cli/target; : >infra/cli/target/whetstream-cli-1.jar;"
            + " printf lib.jar >infra/cli/target/classpath");
    script("java", "echo JAVA \"$@\"");
    age(Instant.now().minusSeconds(100));
  }

  @Test
  void buildsOnceThenOnlyRuns() throws Exception {
    Ran first = run(home.resolve("whetstream"), "doctor", "two words");
    assertEquals(0, first.code(), first.text());
    assertTrue(first.text().contains("MAVEN -q -B -DskipTests package"), first.text());
    assertTrue(first.text().contains("io.whetstream.cli.Main doctor two words"), first.text());
    Ran second = run(home.resolve("whetstream"), "doctor");
    assertFalse(second.text().contains("MAVEN"), second.text());
    assertTrue(second.text().contains("lib.jar"), second.text());
  }

  @Test
  void buildsAgainWhenASourceIsNewerButNotForTests() throws Exception {
    run(home.resolve("whetstream"), "doctor");
    Path test = Files.writeString(home.resolve("model/src/test/A.java"), "");
    Files.setLastModifiedTime(test, FileTime.from(Instant.now().plusSeconds(5)));
    assertFalse(run(home.resolve("whetstream"), "doctor").text().contains("MAVEN"));
    Path source = Files.writeString(home.resolve("model/src/main/A.java"), "");
    Files.setLastModifiedTime(source, FileTime.from(Instant.now().plusSeconds(5)));
    assertTrue(run(home.resolve("whetstream"), "doctor").text().contains("MAVEN"));
  }

  @Test
  void worksThroughLinksAndFromElsewhere() throws Exception {
    Path one = Files.createSymbolicLink(temp.resolve("one"), Path.of("a tree/whetstream"));
    Path two = Files.createSymbolicLink(temp.resolve("two"), one);
    Ran ran = run(two, "doctor");
    assertEquals(0, ran.code(), ran.text());
    assertTrue(ran.text().contains("-Dwhetstream.home=" + home.toRealPath()), ran.text());
  }

  @Test
  void aFailedBuildRunsNothingAndIsTriedAgain() throws Exception {
    script("mvn", "echo broken; exit 1");
    Ran ran = run(home.resolve("whetstream"), "doctor");
    assertEquals(1, ran.code());
    assertTrue(ran.text().contains("the build failed"), ran.text());
    assertFalse(ran.text().contains("JAVA"), ran.text());
    assertTrue(run(home.resolve("whetstream"), "doctor").text().contains("broken"));
  }

  @Test
  void aWrongJavaHomeIsSaid() throws Exception {
    Ran ran = run(Map.of("JAVA_HOME", "/nowhere"), home.resolve("whetstream"), "doctor");
    assertEquals(1, ran.code());
    assertTrue(ran.text().contains("JAVA_HOME is /nowhere"), ran.text());
  }

  /** The script of this repository, which lies above this module. */
  private static Path launcher() {
    return Path.of("../../whetstream").toAbsolutePath().normalize();
  }

  private void script(String name, String body) throws IOException {
    Path file = bin.resolve(name);
    Files.writeString(file, "#!/bin/sh\n" + body + "\n");
    assertTrue(file.toFile().setExecutable(true));
  }

  private void age(Instant when) throws IOException {
    Files.setLastModifiedTime(home.resolve("pom.xml"), FileTime.from(when));
  }

  private Ran run(Path command, String... args) throws Exception {
    return run(Map.of("JAVA_HOME", bin.getParent().toString()), command, args);
  }

  private Ran run(Map<String, String> environment, Path command, String... args) throws Exception {
    List<String> line = new java.util.ArrayList<>(List.of(command.toString()));
    line.addAll(List.of(args));
    ProcessBuilder builder = new ProcessBuilder(line);
    builder.redirectErrorStream(true).directory(temp.toFile());
    builder.environment().putAll(environment);
    builder.environment().put("PATH", bin + ":" + System.getenv("PATH"));
    Process process = builder.start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    return new Ran(process.exitValue(), text);
  }
}
