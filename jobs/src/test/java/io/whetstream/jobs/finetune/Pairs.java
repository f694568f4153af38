package io.whetstream.jobs.finetune;

import io.whetstream.jobs.config.ByteSize;
import io.whetstream.jobs.finetune.MiningSettings.Mode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Random;

/** Pairs and settings for tests of mining. */
final class Pairs {
  private Pairs() {}

  /** A pair whose image and caption are its own, with this embedding. */
  static MinedPair pair(String id, int bucket, long eventTime, float... vector) {
    return pair(id, bucket, eventTime, "image of " + id, "caption of " + id, vector);
  }

  static MinedPair pair(
      String id, int bucket, long eventTime, String image, String caption, float... vector) {
    byte[] encoded = image.getBytes(StandardCharsets.UTF_8);
    return new MinedPair(
        id,
        encoded,
        caption,
        null,
        PairIds.digest(encoded),
        PairIds.digest(caption.getBytes(StandardCharsets.UTF_8)),
        Sketch.quantize(vector),
        bucket,
        eventTime,
        0,
        eventTime);
  }

  static float[] unit(Random random, int dimension) {
    float[] vector = new float[dimension];
    double squares = 0;
    for (int i = 0; i < dimension; i++) {
      vector[i] = (float) random.nextGaussian();
      squares += vector[i] * vector[i];
    }
    for (int i = 0; i < dimension; i++) {
      vector[i] /= (float) Math.sqrt(squares);
    }
    return vector;
  }

  /** Groups of four from eight candidates, one bucket, no replay. */
  static MiningSettings mining() {
    return mining(Mode.HARD, 4, 8, 0, ByteSize.ofMega(1), ByteSize.ofMega(1));
  }

  /** Captions do not count. */
  static MiningSettings mining(
      Mode mode, int groupSize, int candidates, double replay, ByteSize memory, ByteSize cache) {
    return mining(mode, groupSize, candidates, 0, replay, memory, cache);
  }

  static MiningSettings mining(
      Mode mode,
      int groupSize,
      int candidates,
      double captionWeight,
      double replay,
      ByteSize memory,
      ByteSize cache) {
    return new MiningSettings(
        mode,
        1,
        7,
        1,
        0,
        groupSize,
        candidates,
        Duration.ofSeconds(10),
        Duration.ofSeconds(5),
        0.99,
        captionWeight,
        replay,
        memory,
        cache,
        4,
        Duration.ofMillis(20));
  }
}
