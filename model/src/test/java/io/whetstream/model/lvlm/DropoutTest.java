package io.whetstream.model.lvlm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDManager;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.checkpoint.Checkpoint;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** What LoRA dropout lets through, looked at by adapters whose A is the identity. */
class DropoutTest {
  private static final Path MODEL = Path.of("src", "test", "resources", "golden", "llava-tiny");
  private static final int WIDTH = 64;
  private static final int TOKENS = 200;
  private static final int SITE = 10;

  /** Seeds that differ little, and one whose sign bit is set: shifts must not drag it along. */
  private static final long[] SEEDS = {0, 1, 77, Long.MIN_VALUE + 5, -3};

  /** What comes of ones through the dropout of q, k and v: [tokens][3 * WIDTH]. */
  private static double[] through(Precision precision, double p) {
    AdapterConfig adapter =
        new AdapterConfig(
            WIDTH, WIDTH, false, p, List.of("q_proj", "k_proj", "v_proj"), null, null, 0, 0);
    try (Checkpoint checkpoint = Checkpoint.open(MODEL);
        Lvlm model = Lvlm.open(checkpoint, new LvlmOptions(precision, "cpu", 1))) {
      Map<String, String> constants = new AdapterLayout(checkpoint.config(), adapter).constants(p);
      ScriptPart look =
          new ScriptPart(
              "look",
              """
              # methods

                def look(self: __torch__.Lvlm, x: Tensor, A: Tensor, seeds: Tensor, places: Tensor) -> Tensor:
                  return __torch__.wide(__torch__.dropped(x.to(@DTYPE@), A.to(@DTYPE@), 10, seeds, places))
              """,
              Map.of());
      return model.step(
          step -> {
            Script script =
                new Script(
                    (PtNDManager) model.manager(),
                    TorchScriptArchive.assemble(
                        checkpoint.config().architecture(),
                        precision,
                        ScriptPart.of(Lvlm.class, "adapter_lora", constants),
                        List.of(look)));
            float[] identities = new float[3 * WIDTH * WIDTH];
            for (int i = 0; i < 3 * WIDTH; i++) {
              identities[i * WIDTH + i % WIDTH] = 1;
            }
            long[] seeds = new long[TOKENS];
            long[] places = new long[TOKENS];
            for (int t = 0; t < TOKENS; t++) {
              seeds[t] = SEEDS[t % SEEDS.length];
              places[t] = t / SEEDS.length;
            }
            NDArray kept =
                script
                    .call(
                        "look",
                        new NDList(
                            step.ones(new Shape(TOKENS, WIDTH)),
                            step.create(identities, new Shape(3 * WIDTH, WIDTH)),
                            step.create(seeds, new Shape(TOKENS)),
                            step.create(places, new Shape(TOKENS))))
                    .head();
            double[] values = kept.toType(DataType.FLOAT64, true).toDoubleArray();
            script.close();
            return values;
          });
    }
  }

  /** Modulo 2^64, as all that is hashed. */
  private static long siteHash() {
    long factor = 7046029254386353131L;
    return SITE * factor;
  }

  /** The finaliser of SplitMix64 as its authors write it, 21 bits of it for each adapter. */
  private static boolean isKept(int token, int adapter, int feature, double p) {
    long z = SEEDS[token % SEEDS.length] + token / SEEDS.length * 2654435761L;
    z += feature * 40503L + siteHash();
    z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
    z = z ^ (z >>> 31);
    return (z >>> (21 * adapter) & 0x1fffff) >= (long) (p * 0x200000);
  }

  @Test
  void masksAreThoseOfTheHashInEveryPrecision() {
    for (Precision precision : Precision.values()) {
      double[] kept = through(precision, 0.3);
      for (int i = 0; i < kept.length; i++) {
        int token = i / (3 * WIDTH);
        int column = i % (3 * WIDTH);
        boolean expected = isKept(token, column / WIDTH, column % WIDTH, 0.3);
        assertEquals(expected ? 1 / 0.7 : 0, kept[i], 0.01, precision + " at " + i);
      }
    }
  }

  /** Shares of a binomial: 12,800 values each, so five deviations at 0.3 are 0.02. */
  @Test
  void theShareThatIsDroppedIsTheOneAskedForAndEachAdapterDrawsItsOwn() {
    for (double p : new double[] {0.05, 0.3, 0.5}) {
      double[] kept = through(Precision.FP32, p);
      int n = TOKENS * WIDTH;
      int[] dropped = new int[3];
      int[] both = new int[3];
      double sum = 0;
      for (int t = 0; t < TOKENS; t++) {
        for (int f = 0; f < WIDTH; f++) {
          boolean[] zero = new boolean[3];
          for (int a = 0; a < 3; a++) {
            double value = kept[t * 3 * WIDTH + a * WIDTH + f];
            zero[a] = value == 0;
            sum += value;
            dropped[a] += zero[a] ? 1 : 0;
          }
          for (int a = 0; a < 3; a++) {
            both[a] += zero[a] && zero[(a + 1) % 3] ? 1 : 0;
          }
        }
      }
      for (int a = 0; a < 3; a++) {
        assertEquals(p, dropped[a] / (double) n, 5 * Math.sqrt(p * (1 - p) / n), "dropped");
        assertEquals(
            p * p, both[a] / (double) n, 5 * Math.sqrt(p * p * (1 - p * p) / n), "by both");
      }
      assertEquals(1, sum / (3 * n), 5 * Math.sqrt(p / (1 - p) / (3 * n)), "mean of what is kept");
    }
  }

  @Test
  void withoutDropoutEverythingComesThrough() {
    double[] kept = through(Precision.FP32, 0);
    double[] ones = new double[kept.length];
    Arrays.fill(ones, 1);
    assertArrayEquals(ones, kept);
    assertTrue(kept.length > 0);
  }
}
