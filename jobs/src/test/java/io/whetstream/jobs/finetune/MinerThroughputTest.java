package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.config.ByteSize;
import io.whetstream.jobs.finetune.MiningSettings.Mode;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Random;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.runtime.state.StateBackend;
import org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend;
import org.apache.flink.state.rocksdb.RocksDBOptions;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Measures the miner on RocksDB; the figures are printed, counts and memory are asserted. */
@Tag("slow")
class MinerThroughputTest {
  private static final int DIMENSION = 128;

  @Test
  void pairsPerSecondOfOneCore() throws Exception {
    for (int kilobytes : new int[] {2, 20}) {
      for (double replay : new double[] {0, 0.25}) {
        run(60_000, 32, 256, kilobytes << 10, replay);
      }
    }
  }

  @Test
  void aMillionDistinctPairsDoNotGrowTheHeap() throws Exception {
    long grown = run(1_000_000, 64, 64, 200, 0.25);
    assertTrue(grown < 100L << 20, (grown >> 20) + " MiB more heap");
  }

  /** Bytes of heap in use at the end beyond those after the first tenth, garbage collected. */
  private static long run(int count, int buckets, int candidates, int payload, double replay)
      throws Exception {
    MiningSettings settings =
        new MiningSettings(
            Mode.HARD,
            1,
            7,
            1,
            Integer.numberOfTrailingZeros(buckets),
            8,
            candidates,
            Duration.ofDays(1),
            Duration.ZERO,
            0.999,
            1,
            replay,
            ByteSize.ofMega(64),
            ByteSize.ofMega(64),
            16,
            Duration.ofMillis(20));
    Random random = new Random(1);
    byte[][] images = new byte[64][payload];
    for (byte[] image : images) {
      random.nextBytes(image);
    }
    long pairs = 0;
    long heap = 0;
    try (KeyedOneInputStreamOperatorTestHarness<Integer, MinedPair, PairGroup> harness =
        new KeyedOneInputStreamOperatorTestHarness<>(
            new KeyedProcessOperator<>(new HardNegativeMiner(settings, 0, true)),
            MinedPair::bucket,
            Types.INT)) {
      harness.setStateBackend(rocksDb());
      harness.setup(
          StreamTypes.GROUP.createSerializer(harness.getExecutionConfig().getSerializerConfig()));
      harness.open();
      // The rest warms the compiler and fills the buckets.
      int warm = count / 10;
      long cpu = 0;
      long start = 0;
      for (int i = 0; i < count; i++) {
        if (i == warm) {
          heap = usedHeap();
          start = System.nanoTime();
          cpu =
              ManagementFactory.getThreadMXBean().getThreadCpuTime(Thread.currentThread().getId());
        }
        byte[] vector = new byte[DIMENSION];
        random.nextBytes(vector);
        String digest = "%016x%016x".formatted(random.nextLong(), random.nextLong());
        harness.processElement(
            new MinedPair(
                "pair-" + i,
                images[i % images.length],
                "a caption",
                null,
                digest,
                digest,
                vector,
                random.nextInt(buckets),
                i,
                0,
                i),
            i);
        pairs += drain(harness);
      }
      double seconds = (System.nanoTime() - start) / 1e9;
      double cpuSeconds =
          (ManagementFactory.getThreadMXBean().getThreadCpuTime(Thread.currentThread().getId())
                  - cpu)
              / 1e9;
      System.out.printf(
          "miner: %d pairs, %d buckets of %d candidates, %d byte images, replay %.2f: %.0f pairs/s,"
              + " %.0f pairs per CPU second of its thread%n",
          count,
          buckets,
          candidates,
          payload,
          replay,
          (count - warm) / seconds,
          (count - warm) / cpuSeconds);
      heap = usedHeap() - heap;
      harness.processWatermark(Long.MAX_VALUE);
      pairs += drain(harness);
    }
    assertEquals(count, pairs);
    return heap;
  }

  /**
   * With the memory that a slot has; the harness gives next to none, and compaction takes a core.
   */
  private static StateBackend rocksDb() {
    Configuration slot = new Configuration();
    slot.set(RocksDBOptions.FIX_PER_SLOT_MEMORY_SIZE, MemorySize.ofMebiBytes(128));
    return new EmbeddedRocksDBStateBackend(true)
        .configure(slot, MinerThroughputTest.class.getClassLoader());
  }

  private static long drain(
      KeyedOneInputStreamOperatorTestHarness<Integer, MinedPair, PairGroup> harness) {
    long fresh = 0;
    for (Object record = harness.getOutput().poll();
        record != null;
        record = harness.getOutput().poll()) {
      if (record instanceof StreamRecord<?> element) {
        fresh += ((PairGroup) element.getValue()).fresh();
      }
    }
    return fresh;
  }

  private static long usedHeap() {
    System.gc();
    return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
  }
}
