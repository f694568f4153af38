package io.whetstream.deploy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** docker/keep-jobs.sh, with a {@code flink} that only notes what it is asked. */
class KeepJobsTest {
  @TempDir private Path directory;
  private HttpServer jobManager;
  private String jobs = "";

  @BeforeEach
  void start() throws IOException {
    Files.createDirectory(directory.resolve("bin"));
    Path flink = directory.resolve("bin/flink");
    Files.writeString(flink, "#!/bin/sh\necho \"$*\" >>" + directory.resolve("asked") + "\n");
    assertTrue(flink.toFile().setExecutable(true));
    jobManager = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    jobManager.createContext(
        "/jobs/overview",
        exchange -> {
          byte[] body = ("{\"jobs\":[" + jobs + "]}").getBytes(StandardCharsets.UTF_8);
          exchange.sendResponseHeaders(200, body.length);
          exchange.getResponseBody().write(body);
          exchange.close();
        });
    jobManager.start();
  }

  @AfterEach
  void stop() {
    jobManager.stop(0);
  }

  @Test
  void startsWhatTheJobManagerDoesNotKnowFromNothingWhereThereIsNothing() throws Exception {
    assertEquals(0, keep());
    List<String> asked = asked();
    assertEquals(2, asked.size());
    assertTrue(asked.stream().noneMatch(each -> each.contains(" -s ")), asked.toString());
    assertTrue(asked.get(0).contains("-c io.whetstream.jobs.finetune.FineTuneJob"));
    assertTrue(asked.get(1).contains("-c io.whetstream.jobs.score.ScoreJob"));
    assertTrue(
        asked.get(0).contains("checkpointing.dir=file://" + data() + "/checkpoints/finetune"));
  }

  @Test
  void goesOnFromTheNewestSavepointOrCheckpointOfThatJob() throws Exception {
    state("checkpoints/finetune/0a/chk-7", 1_000);
    state("savepoints/finetune/savepoint-0a-1", 3_000);
    state("checkpoints/finetune/0b/chk-2", 2_000);
    state("checkpoints/score/0c/chk-9", 9_000);
    // Not complete: no _metadata.
    Files.createDirectories(data().resolve("checkpoints/finetune/0b/chk-3"));
    assertEquals(0, keep());
    assertTrue(
        asked().get(0).contains("-s file://" + data() + "/savepoints/finetune/savepoint-0a-1 "));
    assertTrue(asked().get(1).contains("-s file://" + data() + "/checkpoints/score/0c/chk-9 "));
  }

  @Test
  void leavesAloneWhatTheJobManagerKnowsWhateverItsState() throws Exception {
    jobs =
        "{\"jid\":\"1\",\"name\":\"whetstream finetune compose\",\"state\":\"RUNNING\"},"
            + "{\"jid\":\"2\",\"name\":\"compose-score\",\"state\":\"CANCELED\"}";
    assertEquals(0, keep());
    assertEquals(List.of(), asked());
  }

  @Test
  void failsWhereNoJobManagerAnswers() throws Exception {
    jobManager.stop(0);
    assertEquals(1, keep());
    assertEquals(List.of(), asked());
  }

  private Path data() {
    return directory.resolve("data");
  }

  private void state(String path, long time) throws IOException {
    Path metadata = Files.createDirectories(data().resolve(path)).resolve("_metadata");
    Files.writeString(metadata, "");
    Files.setLastModifiedTime(metadata, FileTime.fromMillis(time));
  }

  private int keep() throws Exception {
    ProcessBuilder builder =
        new ProcessBuilder(
                "bash",
                Yaml.ROOT.resolve("docker/keep-jobs.sh").toString(),
                "http://127.0.0.1:" + jobManager.getAddress().getPort(),
                data().toString(),
                "jobs.jar",
                "/etc/whetstream")
            .inheritIO();
    builder.environment().merge("PATH", directory.resolve("bin").toString(), (a, b) -> b + ":" + a);
    Process process = builder.start();
    assertTrue(process.waitFor(1, TimeUnit.MINUTES));
    return process.exitValue();
  }

  private List<String> asked() throws IOException {
    Path asked = directory.resolve("asked");
    return Files.exists(asked) ? Files.readAllLines(asked) : List.of();
  }
}
