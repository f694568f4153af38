package io.whetstream.cli;

import ai.djl.engine.Engine;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtProvider;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.model.onnx.OnnxRuntime;
import io.whetstream.scenes.DemoBase;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream doctor}: whether this machine can run it, and what to do where it cannot. */
@Command(
    name = "doctor",
    description =
        "Checks this machine: Java, memory, disk, native libraries, ports. With --cluster or"
            + " --kafka it checks these instead.")
final class DoctorCommand implements Callable<Integer> {
  private static final long GIB = 1L << 30;

  /** What was found; {@code problem} is null where all is well. */
  record Check(String name, String found, boolean ok, String remedy) {}

  /** The result with {@code --json}. */
  record Report(boolean ok, List<Check> checks) {}

  private interface Probe {
    Check run() throws Exception;
  }

  @Mixin private ResultOptions result;

  @Option(
      names = "--data",
      paramLabel = "DIR",
      description = "Data directory to check (default: .whetstream beside the launcher).")
  private Path data;

  @Option(
      names = "--cluster",
      paramLabel = "URL",
      description =
          "Flink's REST address, such as http://127.0.0.1:8081: version, slots, memory, jobs and"
              + " their checkpoints.")
  private URI cluster;

  @Option(
      names = "--kafka",
      paramLabel = "HOST:PORT",
      description = "A broker: whether it answers, its topics, its limit of transactions.")
  private String kafka;

  @Option(
      names = "--prefix",
      paramLabel = "TEXT",
      defaultValue = "",
      description = "What stands before all topic names (default: nothing).")
  private String prefix;

  @Option(
      names = "--kafka-config",
      paramLabel = "FILE",
      description = "Properties of Kafka clients; the place for secrets.")
  private Path kafkaConfig;

  @Override
  public Integer call() throws InterruptedException {
    List<Check> checks = cluster == null && kafka == null ? here() : remote();
    boolean ok = checks.stream().allMatch(Check::ok);
    result.print(new Report(ok, checks), text(checks));
    return ok ? 0 : Main.FAILED;
  }

  private List<Check> remote() throws InterruptedException {
    List<Check> checks = new ArrayList<>();
    if (cluster != null) {
      checks.addAll(RemoteChecks.flink(cluster));
    }
    if (kafka != null) {
      Map<String, String> properties = new HashMap<>();
      if (kafkaConfig != null) {
        properties.putAll(KafkaOptions.read(kafkaConfig));
      }
      properties.putIfAbsent("default.api.timeout.ms", "15000");
      properties.putIfAbsent("request.timeout.ms", "10000");
      checks.addAll(RemoteChecks.kafka(new KafkaConnection(kafka, properties), new Topics(prefix)));
    }
    return checks;
  }

  private List<Check> here() {
    Path directory = data == null ? Homes.data() : data.toAbsolutePath();
    List<Check> checks = new ArrayList<>();
    checks.add(attempt("java", DoctorCommand::java));
    checks.add(attempt("platform", DoctorCommand::platform));
    checks.add(attempt("memory", DoctorCommand::memory));
    checks.add(attempt("disk", () -> disk(directory)));
    checks.add(attempt("loopback", DoctorCommand::loopback));
    checks.add(attempt("pytorch", DoctorCommand::pytorch));
    checks.add(attempt("onnxruntime", DoctorCommand::onnxRuntime));
    checks.add(attempt("demo base", DoctorCommand::demoBase));
    return checks;
  }

  private static String text(List<Check> checks) {
    return checks.stream()
        .map(
            c ->
                String.format(
                    Locale.ROOT,
                    "%-4s %-12s %s%s",
                    c.ok() ? "ok" : "BAD",
                    c.name(),
                    c.found(),
                    c.ok() ? "" : "\n     -> " + c.remedy()))
        .collect(Collectors.joining("\n"));
  }

  private static Check attempt(String name, Probe probe) {
    try {
      return probe.run();
    } catch (Exception | LinkageError e) {
      return new Check(
          name,
          Failures.oneLine(e.toString()),
          false,
          "this part cannot be used here; whetstream --verbose doctor logs why");
    }
  }

  private static Check java() {
    int feature = Runtime.version().feature();
    return new Check(
        "java",
        Runtime.version() + ", " + System.getProperty("java.home"),
        feature >= 17,
        "install a JDK 17 or newer and set JAVA_HOME");
  }

  private static Check platform() {
    String os = System.getProperty("os.name");
    String arch = System.getProperty("os.arch");
    boolean ok = os.equals("Linux") && (arch.equals("amd64") || arch.equals("x86_64"));
    return new Check(
        "platform",
        os + " " + arch + ", " + Runtime.getRuntime().availableProcessors() + " cores",
        ok,
        "the bundled libtorch is for Linux on x86_64; use a container of that platform");
  }

  private static Check memory() {
    long total =
        ManagementFactory.getOperatingSystemMXBean()
                instanceof com.sun.management.OperatingSystemMXBean os
            ? os.getTotalMemorySize()
            : -1;
    return new Check(
        "memory",
        gib(total) + " GiB, heap up to " + gib(Runtime.getRuntime().maxMemory()) + " GiB",
        total < 0 || total >= 3 * GIB,
        "the demo needs about 3 GiB");
  }

  private static Check disk(Path directory) throws IOException {
    Path existing = directory;
    while (existing != null && !Files.exists(existing)) {
      existing = existing.getParent();
    }
    FileStore store = Files.getFileStore(existing);
    boolean writable = Files.isWritable(existing);
    return new Check(
        "disk",
        gib(store.getUsableSpace())
            + " GiB free for "
            + directory
            + (writable ? "" : ", read-only"),
        writable && store.getUsableSpace() >= 2 * GIB,
        "free 2 GiB, or choose another place with --data or WHETSTREAM_DATA");
  }

  private static Check loopback() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return new Check("loopback", "port " + socket.getLocalPort() + " could be opened", true, "");
    }
  }

  private static Check pytorch() {
    Engine engine = Engine.getEngine("PyTorch");
    return new Check(
        "pytorch",
        "libtorch " + engine.getVersion() + ", " + engine.getGpuCount() + " GPU",
        true,
        "");
  }

  private static Check onnxRuntime() {
    String version = OnnxRuntime.environment().getVersion();
    String providers =
        OrtEnvironment.getAvailableProviders().stream()
            .map(OrtProvider::getName)
            .sorted()
            .collect(Collectors.joining(", "));
    return new Check("onnxruntime", version + ", " + providers, true, "");
  }

  private static Check demoBase() {
    Path directory = DemoBase.directory();
    return new Check(
        "demo base",
        directory.toString(),
        Files.exists(directory.resolve("model.safetensors")),
        "the build holds no weights for the built-in base; give your own with --model");
  }

  private static String gib(long bytes) {
    return String.format(Locale.ROOT, "%.1f", bytes / (double) GIB);
  }
}
