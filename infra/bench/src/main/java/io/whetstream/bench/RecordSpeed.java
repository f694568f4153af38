package io.whetstream.bench;

import com.sun.management.ThreadMXBean;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.ImageTextPair;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Pairs deserialised and serialised again by one thread, in processor time of that thread, with
 * what it allocates beside. Formats take turns; figures are medians over rounds.
 */
@Command(
    name = "record-speed",
    mixinStandardHelpOptions = true,
    description = "Measures formats of records and prints rows of a Markdown table.")
public final class RecordSpeed implements Callable<Integer> {
  @Option(names = "--image-bytes", defaultValue = "20480", description = "Bytes of an image.")
  private int imageBytes;

  @Option(names = "--rounds", defaultValue = "15", description = "Rounds after warming up.")
  private int rounds;

  @Option(names = "--records", defaultValue = "5000", description = "Records in a round.")
  private int records;

  private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
  private long sink;

  /** Runs the measurement. */
  public static void main(String[] arguments) {
    System.exit(new CommandLine(new RecordSpeed()).execute(arguments));
  }

  @Override
  public Integer call() {
    byte[] image = new byte[imageBytes];
    new Random(1).nextBytes(image);
    ImageTextPair pair =
        new ImageTextPair(
            "pair-000001",
            null,
            null,
            "a small red cross above a blue star",
            "a small red cross above a large blue star on a grey ground, drawn with thick lines",
            "bench",
            1_700_000_000_000L,
            image,
            null);
    List<String> names = List.of("json", "avro");
    double[][] perSecond = new double[names.size()][rounds];
    double[] allocated = new double[names.size()];
    // As many rounds again, so that all is compiled.
    for (int round = -rounds; round < rounds; round++) {
      for (int f = 0; f < names.size(); f++) {
        RecordCodec<ImageTextPair> codec =
            RecordFormat.named(names.get(f), Map.of()).codec(RecordType.PAIR, null);
        byte[] value = codec.encode(pair);
        long bytes = threads.getCurrentThreadAllocatedBytes();
        long start = threads.getCurrentThreadCpuTime();
        for (int i = 0; i < records; i++) {
          sink += codec.encode(codec.decode(value, null, 0)).length;
        }
        long nanos = threads.getCurrentThreadCpuTime() - start;
        if (round >= 0) {
          perSecond[f][round] = records / (nanos / 1e9);
          allocated[f] =
              (threads.getCurrentThreadAllocatedBytes() - bytes) / (double) records / value.length;
        }
      }
    }
    System.out.println("| format | pairs/s and core | MB/s of images | allocated / value |");
    System.out.println("|---|---|---|---|");
    for (int f = 0; f < names.size(); f++) {
      Arrays.sort(perSecond[f]);
      double median = perSecond[f][rounds / 2];
      System.out.printf(
          Locale.ROOT,
          "| %s | %.0f | %.0f | %.2f |%n",
          names.get(f),
          median,
          median * imageBytes / 1e6,
          allocated[f]);
    }
    return sink == 0 ? 1 : 0;
  }
}
