package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
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
    assertTrue(
        first.text().contains("MAVEN -q -B -Dmaven.test.skip=true -pl infra/cli -am package"),
        first.text());
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

  /** As a kill leaves it: a lock whose process is gone, or one that names none. */
  @Test
  void aLockWhoseBuildIsGoneHoldsNobodyUp() throws Exception {
    Path lock = Files.createDirectories(home.resolve(".whetstream/build.lock"));
    Process gone = new ProcessBuilder("true").start();
    assertTrue(gone.waitFor(60, TimeUnit.SECONDS));
    Files.writeString(lock.resolve("pid"), Long.toString(gone.pid()));
    Ran ran = run(home.resolve("whetstream"), "doctor");
    assertEquals(0, ran.code(), ran.text());
    assertTrue(ran.text().contains("MAVEN"), ran.text());
    assertTrue(ran.text().contains("JAVA"), ran.text());
    assertFalse(Files.exists(lock));

    Files.createDirectories(lock);
    Files.delete(home.resolve("infra/cli/target/built"));
    Ran again = run(home.resolve("whetstream"), "doctor");
    assertTrue(again.text().contains("MAVEN"), again.text());
    assertFalse(Files.exists(lock));
  }

  @Test
  void aBuildThatIsGoingOnIsWaitedFor() throws Exception {
    Path lock = Files.createDirectories(home.resolve(".whetstream/build.lock"));
    Process builder = new ProcessBuilder("cat").start();
    Files.writeString(lock.resolve("pid"), Long.toString(builder.pid()));
    Process waiting = start(home.resolve("whetstream"), "doctor");
    try (BufferedReader said = waiting.inputReader(StandardCharsets.UTF_8)) {
      assertTrue(said.readLine().contains("another build is running"));
      assertTrue(waiting.isAlive());
      builder.getOutputStream().close();
      assertTrue(builder.waitFor(60, TimeUnit.SECONDS));
      assertTrue(said.lines().anyMatch(line -> line.contains("MAVEN")));
    }
    assertTrue(waiting.waitFor(60, TimeUnit.SECONDS));
  }

  /** Java 17 encodes file names by the locale: in C it finds no file with é in its name. */
  @Test
  void fileNamesOfAllLanguagesAreReadWhateverTheLocale() throws Exception {
    script("java", "echo charmap $(locale charmap)");
    for (Map<String, String> locale :
        List.of(
            Map.of("LC_ALL", "C"),
            Map.of("LC_ALL", "POSIX"),
            Map.of("LC_ALL", "", "LANG", "", "LC_CTYPE", ""))) {
      Map<String, String> environment = new HashMap<>(locale);
      environment.put("JAVA_HOME", bin.getParent().toString());
      Ran ran = run(environment, home.resolve("whetstream"), "doctor");
      assertTrue(ran.text().contains("charmap UTF-8"), locale + ": " + ran.text());
    }
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
    Process process = start(environment, command, args);
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertTrue(process.waitFor(60, TimeUnit.SECONDS));
    return new Ran(process.exitValue(), text);
  }

  private Process start(Path command, String... args) throws IOException {
    return start(Map.of("JAVA_HOME", bin.getParent().toString()), command, args);
  }

  private Process start(Map<String, String> environment, Path command, String... args)
      throws IOException {
    List<String> line = new ArrayList<>(List.of(command.toString()));
    line.addAll(List.of(args));
    ProcessBuilder builder = new ProcessBuilder(line);
    builder.redirectErrorStream(true).directory(temp.toFile());
    builder.environment().putAll(environment);
    builder.environment().put("PATH", bin + ":" + System.getenv("PATH"));
    return builder.start();
  }
}
