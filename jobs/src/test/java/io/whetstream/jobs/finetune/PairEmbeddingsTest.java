package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.adapter.Calibration;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
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
    HeldOutSet set = new HeldOutSet(new FineTuneConfig.HeldOut(0.1, 3, 2), 7);
    for (int i = 0; i < 5; i++) {
      set.add(Pairs.pair("p" + i, 0, i));
    }
    assertEquals(List.of("p2", "p3", "p4"), set.newest().stream().map(MinedPair::id).toList());
  }

  @Test
  void calibrationSaysWhichScoreEachShareOfNonMatchingComparisonsReaches() {
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
    Map<String, Calibration.Curve> curves =
        new PairEmbeddings(images, texts).calibration(groups).curves();
    assertEquals(Set.of("image-text", "text-text", "image-image"), curves.keySet());
    Calibration.Curve cross = curves.get("image-text");
    assertEquals((long) n * (n - 1), cross.samples());
    assertEquals((long) n * (n - 1) / 2, curves.get("text-text").samples());
    // Matching pairs score 1 here and must not be among what is measured.
    assertTrue(cross.thresholds().get(0) < 0.999);
    double threshold = cross.threshold(0.01);
    int reaching = 0;
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        double dot = 0;
        for (int d = 0; d < 16; d++) {
          dot += (double) images[i][d] * texts[j][d];
        }
        reaching += i != j && dot >= threshold ? 1 : 0;
      }
    }
    assertEquals(0.01, reaching / (double) (n * (n - 1)), 0.0005);
  }

  @Test
  void aRateThatTheSampleCannotShowIsNotClaimed() {
    Random random = new Random(4);
    float[][] vectors = new float[10][];
    int[] groups = new int[10];
    for (int i = 0; i < 10; i++) {
      vectors[i] = Pairs.unit(random, 8);
      groups[i] = i;
    }
    Calibration.Curve curve =
        new PairEmbeddings(vectors, vectors.clone()).calibration(groups).curves().get("image-text");
    assertEquals(90, curve.samples());
    assertTrue(curve.falsePositiveRates().get(0) >= 0.5 / 90);
  }
}
