package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.image.ModelImage;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Matches behind the filter of 8 bits are those of every score computed in full. */
class LosslessFilterTest {
  private static final int DIMENSION = 96;

  /** A text is a number, which draws its vector; all vectors lie about one direction. */
  private static final class Drawn implements Embedder {
    private final float[] centre = draw(new Random(0));

    private static float[] draw(Random random) {
      float[] vector = new float[DIMENSION];
      for (int i = 0; i < DIMENSION; i++) {
        vector[i] = (float) random.nextGaussian();
      }
      return vector;
    }

    float[] vector(String text) {
      float[] vector = draw(new Random(Long.parseLong(text)));
      for (int i = 0; i < DIMENSION; i++) {
        vector[i] += centre[i];
      }
      float length = (float) Math.sqrt(MatchEngine.dot(vector, vector));
      for (int i = 0; i < DIMENSION; i++) {
        vector[i] /= length;
      }
      return vector;
    }

    @Override
    public float[][] texts(Adapter adapter, List<String> texts) {
      return texts.stream().map(this::vector).toArray(float[][]::new);
    }

    @Override
    public int dimension() {
      return DIMENSION;
    }

    @Override
    public String baseDigest() {
      return "0".repeat(64);
    }

    @Override
    public Adapter base() {
      return new Named();
    }

    @Override
    public ModelImage image(byte[] encoded, String where) {
      throw new UnsupportedOperationException();
    }

    @Override
    public ContentGroup group(byte[] encoded, String where) {
      throw new UnsupportedOperationException();
    }

    @Override
    public float[][] images(Adapter adapter, List<ModelImage> images) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
  }

  private record Named() implements Embedder.Adapter {
    @Override
    public String digest() {
      return "base";
    }

    @Override
    public void close() {}
  }

  private static final class Refusals implements MatchEngine.Events {
    @Override
    public void queryAccepted(WatchedQuery query, Map<MatchKind, Double> thresholds, String note) {}

    @Override
    public void queryRefused(WatchedQuery query, String reason) {
      throw new AssertionError(reason);
    }

    @Override
    public void adapterRefused(AdapterVersion version, String reason) {
      throw new AssertionError(reason);
    }

    @Override
    public void flipped(AdapterVersion from, AdapterVersion to, long nanos) {}
  }

  /**
   * Compares items with queries, each of whose thresholds is the score of one of the items, so that
   * what decides is the last bit.
   */
  private static void matchesAreThoseOfEveryScore(int queries, int items, int batch) {
    Drawn drawn = new Drawn();
    float[][] watched =
        IntStream.range(0, queries)
            .mapToObj(q -> drawn.vector(Integer.toString(q)))
            .toArray(float[][]::new);
    float[][] vectors =
        IntStream.range(0, items)
            .mapToObj(i -> drawn.vector(Integer.toString(1_000_000 + i)))
            .toArray(float[][]::new);
    float[] thresholds = new float[queries];
    Random random = new Random(1);
    for (int q = 0; q < queries; q++) {
      for (int tries = 0; tries < 20; tries++) {
        float some = MatchEngine.dot(vectors[random.nextInt(items)], watched[q]);
        thresholds[q] = Math.max(thresholds[q], some);
      }
    }
    Set<String> expected = new TreeSet<>();
    for (int i = 0; i < items; i++) {
      for (int q = 0; q < queries; q++) {
        if (MatchEngine.dot(vectors[i], watched[q]) >= thresholds[q]) {
          expected.add(i + " " + q);
        }
      }
    }
    Set<String> found = new TreeSet<>();
    try (MatchEngine engine =
        MatchEngine.alone(
            drawn,
            new MatchEngine.Settings(batch, 4096, queries, 2, 0),
            wanted -> {
              throw new AssertionError();
            },
            new Refusals())) {
      engine.start(
          new LoadedAdapter(AdapterVersion.BASE, drawn.base(), new Calibration(new TreeMap<>())));
      for (int q = 0; q < queries; q++) {
        engine.upsert(
            new WatchedQuery(
                Integer.toString(q),
                q,
                new Coordinates("queries", 0, q),
                Integer.toString(q),
                null,
                Set.of(MatchKind.TEXT_TEXT),
                List.of(),
                (double) thresholds[q],
                null,
                null),
            false);
      }
      while (engine.hasWork()) {
        engine.work();
      }
      for (int from = 0; from < items; from += batch) {
        List<MatchEngine.Prepared> some = new ArrayList<>();
        for (int i = from; i < Math.min(items, from + batch); i++) {
          some.add(new MatchEngine.Prepared(null, Integer.toString(1_000_000 + i)));
        }
        for (MatchEngine.Match match : engine.match(some).matches()) {
          int item = from + match.item();
          found.add(item + " " + match.query().id());
          if (found.size() <= 50) {
            assertEquals(
                nearest(vectors[item], watched, Integer.parseInt(match.query().id())),
                match.nearest().stream().map(MatchEngine.Neighbour::queryId).toList());
          }
        }
      }
    }
    assertTrue(expected.size() >= queries);
    assertEquals(expected, found);
  }

  private static List<String> nearest(float[] item, float[][] watched, int matched) {
    return IntStream.range(0, watched.length)
        .boxed()
        .filter(q -> q != matched)
        .sorted(
            Comparator.comparingDouble((Integer q) -> -MatchEngine.dot(item, watched[q]))
                .thenComparing(q -> q))
        .limit(2)
        .map(q -> Integer.toString(q))
        .toList();
  }

  @Test
  void matchesAndTheirNeighboursAreThoseOfEveryScore() {
    matchesAreThoseOfEveryScore(3000, 100, 32);
    matchesAreThoseOfEveryScore(5, 3, 1);
  }

  @Test
  @Tag("slow")
  void ofTenMillionComparisonsEachMatchIsFoundAndNoOther() {
    matchesAreThoseOfEveryScore(10_000, 1000, 64);
  }
}
