package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Bad configurations of {@code whetstream job finetune}. */
class JobConfigurationTest {
  @TempDir private static Path directory;

  /** Runs the command, sees that it refuses, and gives what it says. */
  private static String refusal(String... arguments) {
    return refusal(Main.BAD_INPUT, arguments);
  }

  private static String refusal(int expected, String... arguments) {
    StringWriter err = new StringWriter();
    List<String> all = new ArrayList<>(List.of("job", "finetune"));
    all.addAll(List.of(arguments));
    int code =
        Main.run(
            all.toArray(new String[0]), new PrintWriter(new StringWriter()), new PrintWriter(err));
    assertEquals(expected, code, err.toString());
    return err.toString();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          name=a b                      | name must be of letters
          trainig.globalBatch=8         | nearest known key is 'training'
          training.globalBach=8         | nearest known key is 'training.globalBatch'
          training.globalBatch=1        | training.globalBatch must be between 2
          training.globalBatch=many     | training.globalBatch
          training.chunk=-1             | 0 (all) or a positive number, not -1
          training.learningRate=-1      | learningRate must be positive
          training.beta1=1              | betas must lie in [0, 1)
          training.logitScale=0.5       | logitScale must lie in [1, maxLogitScale]
          training.contrastiveWeight=-1 | contrastiveWeight must not be negative
          training.schedule=sometimes   | COSINE
          training.falseNegatives=maybe | RELATIVE
          adapter.rank=5000             | adapter rank must be between 0 and 4096
          adapter.targetModules=[]      | needs target modules
          adapter.targetModules=['(']   | adapter: target_modules is not a regular expression
          adapter.imagePrompt=no slot   | prompt template 'no slot' must hold
          adapter.dropout=1             | adapter.dropout must be between 0.0 and 0.9
          base.precision=fp16           | base.precision must be fp32 or bf16
          base.device=cuda              | base.device must be auto, cpu or gpu:N
          base.threads=-1               | base.threads must be at least 0
          mining.mode=soft              | RANDOM
          mining.candidates=2           | mining.candidates must be at least mining.groupSize
          mining.memory=lots            | mining.memory: 'lots' is not a size
          mining.maxWait=soon           | mining.maxWait
          prepare.parallelism=0         | prepare.parallelism must be at least 1
          heldOut.share=0.9             | heldOut.share must be between 0.0 and 0.5
          gate.minSample=1000           | gate.minSample must not exceed heldOut.size
          publish.everySteps=0          | publish.everySteps must be at least 1
          drift.confidence=2            | drift.confidence must be between
          checkpoint.timeout=0s         | checkpoint.timeout must be longer than 0s
          registry.uri=''               | registry.uri must be set
          resources.gpus=-1             | resources.gpus must be between
          kafka.format=xml              | kafka.format must be json, avro or avro-registry
          kafka.startingOffsets=middle  | kafka.startingOffsets must be earliest, latest or
          kafka                         | must be key=value
          """)
  void aValueThatCannotBeIsRefusedWithItsKeyAndWhatIsRight(String setting, String said) {
    String message = refusal("-D", setting);
    assertTrue(message.contains(said), message);
  }

  @Test
  void deterministicTakesOnlyWhatIsDeterministic() throws Exception {
    Path file = Files.writeString(directory.resolve("two.yaml"), "deterministic: true\n");
    String message = refusal("--config", file.toString(), "-D", "prepare.parallelism=2");
    assertTrue(message.contains("prepare.parallelism must be 1 with deterministic: true"), message);
    message = refusal("--config", file.toString(), "-D", "images.hosts=[example.org]");
    assertTrue(message.contains("images.roots and images.hosts must be empty"), message);
  }

  @Test
  void aFileThatCannotBeReadIsNamed() throws Exception {
    assertTrue(refusal("--config", "no-such.yaml").contains("no-such.yaml does not exist"));
    Path file = Files.writeString(directory.resolve("broken.yaml"), "name: [\n");
    String message = refusal("--config", file.toString());
    assertTrue(message.contains("broken.yaml line 1 is not valid YAML"), message);
  }

  @Test
  void aBrokerThatDoesNotAnswerIsNamedWithItsKey() {
    String message =
        refusal(
            Main.TRY_AGAIN,
            "--data",
            directory.resolve("data").toString(),
            "--bootstrap-servers",
            "127.0.0.1:1",
            "-D",
            "kafka.properties.default.api.timeout.ms=2000",
            "-D",
            "kafka.properties.request.timeout.ms=1000");
    assertTrue(message.contains("kafka.bootstrapServers: the broker at 127.0.0.1:1"), message);
  }

  @Test
  void aBaseThatIsNoModelEndsTheJobAtOnceWithItsKey() {
    String message =
        refusal(
            "--data",
            directory.resolve("data").toString(),
            "-D",
            "base.model=" + directory.resolve("nowhere"));
    assertTrue(message.contains("base.model: "), message);
    assertTrue(message.contains("give a Hugging Face model directory"), message);
  }
}
