package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.image.ModelImage;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class VectorBridgeTest {
  private static final int DIMENSION = 16;
  private static final int QUERIES = 400;

  private static float[] draw(Random random) {
    float[] vector = new float[DIMENSION];
    for (int i = 0; i < DIMENSION; i++) {
      vector[i] = (float) random.nextGaussian();
    }
    return unit(vector);
  }

  private static float[] unit(float[] vector) {
    float length = (float) Math.sqrt(MatchEngine.dot(vector, vector));
    for (int i = 0; i < vector.length; i++) {
      vector[i] /= length;
    }
    return vector;
  }

  /** What another adapter makes of a vector: a fixed change of all, and a little of its own. */
  private static float[] moved(float[] vector, long adapter, float own) {
    Random change = new Random(adapter);
    float[] to = new float[DIMENSION];
    for (int k = 0; k < DIMENSION; k++) {
      to[k] = vector[k] + 0.2f * (float) change.nextGaussian();
      for (int i = 0; i < DIMENSION; i++) {
        to[k] += 0.2f * (float) change.nextGaussian() * vector[i];
      }
    }
    Random noise = new Random(Float.floatToIntBits(vector[0]) + adapter);
    for (int k = 0; k < DIMENSION; k++) {
      to[k] += own * (float) noise.nextGaussian();
    }
    return unit(to);
  }

  @Test
  void findsTheMapThatIsThere() {
    Random random = new Random(1);
    List<float[]> from = new ArrayList<>();
    List<float[]> to = new ArrayList<>();
    for (int i = 0; i < 300; i++) {
      from.add(draw(random));
      to.add(moved(from.get(i), 7, 0.02f));
    }
    VectorBridge bridge = VectorBridge.fit(from, to);
    double worstBridged = 1;
    double bridged = 0;
    double unbridged = 0;
    for (int i = 0; i < 200; i++) {
      float[] vector = draw(random);
      float[] exact = moved(vector, 7, 0.02f);
      float[] mapped = bridge.apply(vector);
      assertEquals(1, MatchEngine.dot(mapped, mapped), 1e-5);
      worstBridged = Math.min(worstBridged, MatchEngine.dot(mapped, exact));
      bridged += MatchEngine.dot(mapped, exact) / 200;
      unbridged += MatchEngine.dot(vector, exact) / 200;
    }
    assertTrue(bridged > 0.98, "" + bridged);
    assertTrue(worstBridged > 0.9, "" + worstBridged);
    assertTrue(unbridged < 0.9, "without a map it is " + unbridged);
  }

  @Test
  void aFewSamplesChangeLittle() {
    Random random = new Random(2);
    List<float[]> same = List.of(draw(random), draw(random));
    VectorBridge bridge = VectorBridge.fit(same, same);
    float[] vector = draw(random);
    assertEquals(1, MatchEngine.dot(vector, bridge.apply(vector)), 1e-3);
  }

  private record Named(String digest) implements Embedder.Adapter {
    @Override
    public void close() {}
  }

  /** A text is a number that draws its vector; the adapter's digest is a number too. */
  private static final class Moving implements Embedder {
    int embedded;

    static float[] vector(String digest, String text) {
      return moved(draw(new Random(Long.parseLong(text))), Long.parseLong(digest), 0.05f);
    }

    @Override
    public float[][] texts(Adapter adapter, List<String> texts) {
      embedded += texts.size();
      return texts.stream().map(text -> vector(adapter.digest(), text)).toArray(float[][]::new);
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
      return new Named("0");
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

  private static final class Nothing implements MatchEngine.Events {
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

  private static LoadedAdapter load(AdapterVersion version) {
    return new LoadedAdapter(
        version, new Named(version.digest()), new Calibration(new TreeMap<>(Map.of())));
  }

  private static MatchEngine engine(Embedder embedder, boolean bridge) {
    MatchEngine engine =
        MatchEngine.alone(
            embedder,
            new MatchEngine.Settings(8, 16, QUERIES, 0, 0, 1, bridge, 1),
            VectorBridgeTest::load,
            new Nothing());
    engine.start(load(new AdapterVersion(0, 1, "1")));
    for (int q = 0; q < QUERIES; q++) {
      engine.upsert(
          new WatchedQuery(
              "q" + q,
              q,
              new Coordinates("queries", 0, q),
              Integer.toString(q),
              null,
              Set.of(MatchKind.TEXT_TEXT),
              List.of(),
              0.9,
              null,
              null),
          false);
    }
    while (engine.hasWork()) {
      engine.work();
    }
    return engine;
  }

  private static MatchEngine.Match match(MatchEngine engine, int query) {
    return engine
        .match(List.of(new MatchEngine.Prepared(null, Integer.toString(query))))
        .matches()
        .stream()
        .filter(match -> match.query().id().equals("q" + query))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void aLargeWatchlistGoesOverByABridgeWhichAlertsSayAndItsOwnVectorsFollow() {
    Moving embedder = new Moving();
    try (MatchEngine engine = engine(embedder, true)) {
      int before = embedder.embedded;
      engine.switchTo(new AdapterVersion(0, 2, "2"));
      while (engine.serving().n() == 1) {
        engine.work();
      }
      int atFlip = embedder.embedded - before;
      assertTrue(atFlip < QUERIES / 2, atFlip + " were embedded before the new adapter served");
      assertFalse(match(engine, 0).bridged(), "one of those");
      MatchEngine.Match bridged = match(engine, QUERIES - 1);
      assertTrue(bridged.bridged());
      float score = bridged.scores().get(0).score();
      assertTrue(score > 0.9 && score < 0.99999, "near, and not the query's own: " + score);
      while (engine.hasWork()) {
        engine.work();
      }
      for (int q = 0; q < QUERIES; q += 7) {
        MatchEngine.Match own = match(engine, q);
        assertFalse(own.bridged());
        assertEquals(1, own.scores().get(0).score(), 1e-5);
      }
    }
  }

  @Test
  void withoutTheOptionEveryVectorIsEmbeddedFirst() {
    Moving embedder = new Moving();
    try (MatchEngine engine = engine(embedder, false)) {
      int before = embedder.embedded;
      engine.switchTo(new AdapterVersion(0, 2, "2"));
      while (engine.serving().n() == 1) {
        engine.work();
      }
      assertEquals(QUERIES, embedder.embedded - before);
      assertFalse(match(engine, QUERIES - 1).bridged());
    }
  }
}
