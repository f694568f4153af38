package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.finetune.PairEmbeddings.Distribution;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class PairEmbeddingsTest {
  private static final float[] X = {1, 0};
  private static final float[] Y = {0, 1};

  @Test
  void aQueryIsRightIfARightAnswerBeatsEveryWrongOneAndATieIsAMiss() {
    PairEmbeddings right = new PairEmbeddings(new float[][] {X, Y}, new float[][] {X, Y});
    assertEquals(1, right.recall(new int[] {0, 1}).mean());
    PairEmbeddings tied = new PairEmbeddings(new float[][] {X, X}, new float[][] {X, X});
    assertEquals(0, tied.recall(new int[] {0, 1}).mean());
    assertEquals(1, tied.recall(new int[] {0, 0}).mean(), "pairs of one group answer each other");
    PairEmbeddings oneWay =
        new PairEmbeddings(new float[][] {X, X}, new float[][] {X, {0.8f, 0.6f}});
    assertEquals(0.5, oneWay.recall(new int[] {0, 1}).imageToText());
    assertEquals(0, oneWay.recall(new int[] {0, 1}).textToImage());
  }

  @Test
  void pairsThatShareAnImageOrACaptionAreOneGroupAlsoThroughOthers() {
    List<MinedPair> pairs =
        List.of(
            Pairs.pair("a", 0, 0, "image 1", "caption 1"),
            Pairs.pair("b", 0, 0, "image 2", "caption 2"),
            Pairs.pair("c", 0, 0, "image 3", "caption 3"),
            Pairs.pair("d", 0, 0, "image 2", "caption 1"));
    int[] groups = HeldOutSet.groups(pairs);
    assertEquals(groups[0], groups[1]);
    assertEquals(groups[0], groups[3]);
    assertTrue(groups[2] != groups[0]);
  }

  @Test
  void theHeldOutSetKeepsTheNewest() {
    HeldOutSet set = new HeldOutSet(3);
    for (int i = 0; i < 5; i++) {
      set.add(Pairs.pair("p" + i, 0, i));
    }
    assertEquals(List.of("p2", "p3", "p4"), set.all().stream().map(MinedPair::id).toList());
  }

  @Test
  void calibrationSaysBelowWhichScoreEachShareOfNonMatchingComparisonsLies() {
    Random random = new Random(3);
    int n = 120;
    float[][] images = new float[n][];
    float[][] texts = new float[n][];
    int[] groups = new int[n];
    for (int i = 0; i < n; i++) {
      images[i] = Pairs.unit(random, 16);
      texts[i] = images[i].clone();
      groups[i] = i;
    }
    Map<String, Distribution> kinds = new PairEmbeddings(images, texts).calibration(groups);
    assertEquals(List.of("image-text", "text-text", "image-image"), List.copyOf(kinds.keySet()));
    Distribution cross = kinds.get("image-text");
    assertEquals((long) n * (n - 1), cross.samples());
    assertEquals((long) n * (n - 1) / 2, kinds.get("text-text").samples());
    // Matching pairs score 1 here and must not be among what is measured.
    assertTrue(cross.scores()[cross.scores().length - 1] < 0.999);
    double threshold = cross.scores()[6];
    assertEquals(0.99, cross.probabilities()[6]);
    int above = 0;
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        double dot = 0;
        for (int d = 0; d < 16; d++) {
          dot += (double) images[i][d] * texts[j][d];
        }
        above += i != j && dot > threshold ? 1 : 0;
      }
    }
    assertEquals(0.01, above / (double) (n * (n - 1)), 0.001);
    assertArrayEquals(cross.probabilities(), kinds.get("image-image").probabilities());
  }
}
