package io.whetstream.jobs.score;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.adapter.Calibration;
import io.whetstream.model.image.RgbImage;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * What is alerted of held-out drawn scenes under three successive adapters of one training run.
 *
 * <p>The words of a query are the caption of its scene. <em>Planted</em>: that scene again, the
 * picture a little off in every byte. <em>Near miss</em>: a scene one edit away whose caption, and
 * so the query's words, does not describe it, and the other way round; either with other words, or
 * with the same words in another arrangement. <em>Named</em>: a near miss whose caption the query
 * names as what an item must be less like. <em>Unrelated</em>: any other scene.
 */
@Tag("slow")
class PlantedMatchesTest {
  private static final int CALIBRATION = 700;
  private static final int QUERIES = 250;
  private static final int PLANTED_EVERY = 4;
  private static final int PLANTED = (QUERIES + PLANTED_EVERY - 1) / PLANTED_EVERY;
  private static final int NEAR_CALIBRATION = 150;
  private static final int UNRELATED = 400;

  /** So many near misses may be alerted although the query names them. */
  private static final double NEAR_SHARE = 0.1;

  private static final int BATCH = 30;

  /**
   * What a query asks for.
   *
   * @param share of unrelated scenes or of near misses that may be alerted
   * @param ofNear whether of near misses; then it asks for a score
   * @param named of how many near misses it names the captions
   */
  private record Asked(double share, boolean ofNear, int named) {
    @Override
    public String toString() {
      return String.format(Locale.ROOT, ofNear ? "%.0e of near misses" : "rate %.0e", share)
          + (named == 0 ? "" : ", " + named + " named");
    }

    boolean appliesTo(MatchKind kind) {
      return named == 0 || kind.querySide() == Side.TEXT;
    }
  }

  private static final List<Asked> ASKED =
      List.of(
          new Asked(1e-2, false, 0),
          new Asked(1e-3, false, 0),
          new Asked(1e-4, false, 0),
          new Asked(5e-2, true, 0),
          new Asked(1e-2, true, 0),
          new Asked(1e-2, false, 3),
          new Asked(1e-3, false, 3),
          new Asked(1e-4, false, 3),
          new Asked(1e-2, false, 7),
          new Asked(1e-4, false, 7));

  private static final List<MatchKind> KINDS =
      List.of(MatchKind.IMAGE_IMAGE, MatchKind.IMAGE_TEXT, MatchKind.TEXT_TEXT);
  private static final SceneGenerator WATCHED = SceneGenerator.heldOut(5, SceneLook.STANDARD);
  private static final SceneGenerator OTHERS = SceneGenerator.heldOut(6, SceneLook.STANDARD);
  private static final SceneGenerator CALIBRATED = SceneGenerator.heldOut(77, SceneLook.STANDARD);

  /** What an item is to the query it is about. */
  private enum Relation {
    PLANTED,
    OTHER_WORDS,
    OTHER_ARRANGEMENT,
    /** A near miss, where others are named. */
    NOT_NAMED,
    UNRELATED
  }

  /**
   * An item.
   *
   * @param query that it is about; negative: none
   * @param sibling which near miss it is, from 1; 0 for others
   */
  private record Drawn(byte[] image, String caption, int query, int sibling, Relation relation) {}

  /** A share of comparisons, counted by item: the comparisons of one item go together. */
  private static final class Share {
    final List<int[]> items = new ArrayList<>();

    void add(int hits, int compared) {
      if (compared > 0) {
        items.add(new int[] {hits, compared});
      }
    }

    int hits() {
      return items.stream().mapToInt(each -> each[0]).sum();
    }

    int compared() {
      return items.stream().mapToInt(each -> each[1]).sum();
    }

    double value() {
      return (double) hits() / compared();
    }

    /** 95 %, over resampled items. */
    double[] interval() {
      Random random = new Random(1);
      double[] values = new double[1000];
      for (int i = 0; i < values.length; i++) {
        long hits = 0;
        long compared = 0;
        for (int j = 0; j < items.size(); j++) {
          int[] item = items.get(random.nextInt(items.size()));
          hits += item[0];
          compared += item[1];
        }
        values[i] = (double) hits / compared;
      }
      Arrays.sort(values);
      return new double[] {values[25], values[974]};
    }

    @Override
    public String toString() {
      double[] interval = interval();
      return String.format(Locale.ROOT, "%.3f (%.3f to %.3f)", value(), interval[0], interval[1]);
    }
  }

  /** Comparisons of one kind at one rate, by relation. */
  private static final class Tally {
    final Map<Relation, Share> shares = new EnumMap<>(Relation.class);

    Tally() {
      for (Relation relation : Relation.values()) {
        shares.put(relation, new Share());
      }
    }

    Share of(Relation relation) {
      return shares.get(relation);
    }

    /** Near misses; where some are named, those. */
    Share near() {
      Share all = new Share();
      all.items.addAll(of(Relation.OTHER_WORDS).items);
      all.items.addAll(of(Relation.OTHER_ARRANGEMENT).items);
      return all;
    }

    /** Among alerts of a stream with a near miss of each form for each planted item. */
    double precision() {
      double right = of(Relation.PLANTED).value();
      double near = of(Relation.OTHER_WORDS).value() + of(Relation.OTHER_ARRANGEMENT).value();
      double wrong = of(Relation.UNRELATED).hits() / (double) PLANTED;
      return right / (right + near + wrong);
    }
  }

  @Test
  void plantedMatchesAreAlertedAndUnrelatedAndNearOnesAtTheShareAskedForUnderSuccessiveAdapters() {
    List<AdapterWeights> trained = TrainedAdapters.get();
    List<String> wrong = new ArrayList<>();
    ScoreConfig config = ScoreConfig.parse("base: {model: demo, threads: 1}", List.of());
    List<Drawn> items = items();
    try (OnnxEmbedder embedder = OnnxEmbedder.open(config.base(), 1_000_000, 32)) {
      System.out.println(
          "| pairs | kind | asked | measured (95 %), of | recall | near, other words | near, other"
              + " arrangement | near, not named | precision |\n|---|---|---|---|---|---|---|---|---|");
      for (int n = 0; n < trained.size(); n++) {
        AdapterArtifact artifact = artifact(embedder, trained.get(n), n, Calibration.NONE);
        artifact = artifact(embedder, trained.get(n), n, calibrate(embedder, artifact));
        Map<MatchKind, double[]> nearScores = nearScores(embedder, artifact);
        Map<String, Tally> tallies = measure(embedder, artifact, nearScores, items);
        for (MatchKind kind : KINDS) {
          for (Asked asked : ASKED) {
            if (!asked.appliesTo(kind)) {
              continue;
            }
            Tally tally = tallies.get(key(kind, asked));
            print(TrainedAdapters.PAIRS.get(n), kind, asked, tally);
            String where = TrainedAdapters.PAIRS.get(n) + " pairs, " + kind.label() + ", " + asked;
            check(tally, kind, asked).forEach(why -> wrong.add(where + ": " + why));
          }
        }
        int pairs = TrainedAdapters.PAIRS.get(n);
        checkNaming(tallies).forEach(why -> wrong.add(pairs + why));
      }
    }
    assertEquals(List.of(), wrong);
  }

  private static String key(MatchKind kind, Asked asked) {
    return kind + "/" + asked;
  }

  private static void print(int pairs, MatchKind kind, Asked asked, Tally tally) {
    double[] interval = tally.of(Relation.UNRELATED).interval();
    System.out.printf(
        Locale.ROOT,
        "| %d | %s | %s | %.2e (%.2e to %.2e), %d | %s | %s | %s | %s | %.2f |%n",
        pairs,
        kind.label(),
        asked,
        tally.of(Relation.UNRELATED).value(),
        interval[0],
        interval[1],
        tally.of(Relation.UNRELATED).compared(),
        tally.of(Relation.PLANTED),
        tally.of(Relation.OTHER_WORDS),
        tally.of(Relation.OTHER_ARRANGEMENT),
        tally.of(Relation.NOT_NAMED).items.isEmpty() ? "-" : tally.of(Relation.NOT_NAMED),
        tally.precision());
  }

  /** What is not as it must be. */
  private static List<String> check(Tally tally, MatchKind kind, Asked asked) {
    List<String> wrong = new ArrayList<>();
    Share unrelated = tally.of(Relation.UNRELATED);
    if (unrelated.compared() < 20_000) {
      wrong.add("only " + unrelated.compared() + " comparisons");
    }
    // At 1e-4 a few events decide: it is reported, not bounded.
    // What is kept out because it is named makes a rate lower.
    if (!asked.ofNear()
        && asked.share() >= 1e-3
        && (unrelated.value() > asked.share() * 2
            || (asked.named() == 0 && unrelated.value() < asked.share() / 2))) {
      wrong.add("a rate of " + unrelated.value());
    }
    Share near = tally.near();
    if (asked.ofNear() && near.interval()[0] > asked.share() * 2) {
      wrong.add("near misses alerted: " + near);
    }
    // A picture's scores rank captions; what its own caption scores differs from picture to picture
    // by more than a near miss does, so a score that keeps near misses out loses most planted ones.
    boolean separable = kind != MatchKind.IMAGE_TEXT || !asked.ofNear();
    if (separable
        && asked.share() >= 1e-3
        && tally.of(Relation.PLANTED).interval()[0] <= near.interval()[1]) {
      wrong.add("planted alerted no more than near misses");
    }
    // The same words are found whatever is asked for; so is the picture with noise, but for chance.
    Share planted = tally.of(Relation.PLANTED);
    double found = kind == MatchKind.IMAGE_IMAGE ? planted.interval()[1] : planted.value();
    if (kind != MatchKind.IMAGE_TEXT && found < 1) {
      wrong.add("planted missed: " + planted);
    }
    return wrong;
  }

  /** A picture against words: with its near misses named they are kept out, else they are not. */
  private static List<String> checkNaming(Map<String, Tally> tallies) {
    List<String> wrong = new ArrayList<>();
    Share unnamed = tallies.get(key(MatchKind.IMAGE_TEXT, new Asked(1e-2, false, 0))).near();
    for (int named : new int[] {3, 7}) {
      Tally with = tallies.get(key(MatchKind.IMAGE_TEXT, new Asked(1e-2, false, named)));
      if (with.near().value() > NEAR_SHARE || unnamed.value() <= NEAR_SHARE) {
        wrong.add(" pairs: near misses " + with.near() + ", not named " + unnamed);
      }
    }
    return wrong;
  }

  // ---- what is watched for and what comes

  /** What a query watches for; those about which there are items have near misses. */
  private static Scene watched(int query) {
    return query % PLANTED_EVERY == 0 ? WATCHED.hardGroup(query).get(0) : WATCHED.scene(query);
  }

  private static List<Drawn> items() {
    List<Drawn> items = new ArrayList<>();
    for (int query = 0; query < QUERIES; query += PLANTED_EVERY) {
      List<Scene> group = WATCHED.hardGroup(query);
      String words = Captioner.shortCaption(group.get(0));
      items.add(new Drawn(again(group.get(0), query), words, query, 0, Relation.PLANTED));
      for (int sibling = 1; sibling < group.size(); sibling++) {
        String caption = Captioner.shortCaption(group.get(sibling));
        items.add(
            new Drawn(
                png(group.get(sibling)),
                caption,
                query,
                sibling,
                sorted(caption).equals(sorted(words))
                    ? Relation.OTHER_ARRANGEMENT
                    : Relation.OTHER_WORDS));
      }
    }
    for (int i = 0; i < UNRELATED; i++) {
      Scene scene = OTHERS.scene(i);
      items.add(new Drawn(png(scene), Captioner.shortCaption(scene), -1, 0, Relation.UNRELATED));
    }
    return items;
  }

  /** Captions of the first near misses of what a query watches for. */
  private static List<String> nearCaptions(int query, int count) {
    return query % PLANTED_EVERY != 0
        ? List.of()
        : WATCHED.hardGroup(query).stream()
            .skip(1)
            .limit(count)
            .map(Captioner::shortCaption)
            .distinct()
            .toList();
  }

  private static List<String> sorted(String caption) {
    return Arrays.stream(caption.split(" ")).sorted().toList();
  }

  private static byte[] png(Scene scene) {
    return SceneRenderer.png(SceneRenderer.render(scene));
  }

  /** The same picture sent again: every byte a little off. */
  private static byte[] again(Scene scene, int seed) {
    RgbImage image = SceneRenderer.render(scene);
    byte[] rgb = image.rgb().clone();
    Random random = new Random(seed);
    for (int i = 0; i < rgb.length; i++) {
      rgb[i] = (byte) Math.max(0, Math.min(255, (rgb[i] & 0xFF) + random.nextInt(17) - 8));
    }
    return SceneRenderer.png(new RgbImage(image.width(), image.height(), rgb));
  }

  // ---- adapters

  private static AdapterArtifact artifact(
      OnnxEmbedder embedder, AdapterWeights weights, int n, Calibration calibration) {
    return new AdapterArtifact(
        weights,
        AdapterManifest.builder(weights, embedder.baseDigest()).stream("default")
            .version(new AdapterManifest.Version(0, n))
            .calibration(calibration)
            .build());
  }

  /** As the fine-tuning job does it: scores of all pairs of different scenes. */
  private static Calibration calibrate(OnnxEmbedder embedder, AdapterArtifact artifact) {
    float[][] images = new float[CALIBRATION][];
    float[][] texts = new float[CALIBRATION][];
    List<String> captions = new ArrayList<>();
    try (Embedder.Adapter adapter = embedder.load(artifact)) {
      for (int i = 0; i < CALIBRATION; i++) {
        Scene scene = CALIBRATED.scene(i);
        captions.add(Captioner.shortCaption(scene));
        images[i] = embedder.images(adapter, List.of(embedder.image(png(scene), "scene")))[0];
        texts[i] = embedder.texts(adapter, List.of(captions.get(i)))[0];
      }
    }
    TreeMap<String, Calibration.Curve> curves = new TreeMap<>();
    for (MatchKind kind : KINDS) {
      float[][] left = kind.itemSide() == Side.IMAGE ? images : texts;
      float[][] right = kind.querySide() == Side.IMAGE ? images : texts;
      double[] scores = new double[CALIBRATION * CALIBRATION];
      int count = 0;
      for (int i = 0; i < CALIBRATION; i++) {
        for (int j = left == right ? i + 1 : 0; j < CALIBRATION; j++) {
          if (!captions.get(i).equals(captions.get(j))) {
            scores[count++] = MatchEngine.dot(left[i], right[j]);
          }
        }
      }
      curves.put(kind.label(), curve(Arrays.copyOf(scores, count)));
    }
    return new Calibration(curves);
  }

  private static Calibration.Curve curve(double[] scores) {
    Arrays.sort(scores);
    List<Double> rates = new ArrayList<>();
    List<Double> thresholds = new ArrayList<>();
    for (double rate :
        new double[] {1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.5, 1}) {
      rates.add(rate);
      thresholds.add(scores[scores.length - (int) Math.round(rate * scores.length)]);
    }
    return new Calibration.Curve(scores.length, rates, thresholds);
  }

  /** By kind, the scores of near misses of scenes that are not watched for, ascending. */
  private static Map<MatchKind, double[]> nearScores(
      OnnxEmbedder embedder, AdapterArtifact artifact) {
    Map<MatchKind, List<Double>> scores = new EnumMap<>(MatchKind.class);
    try (Embedder.Adapter adapter = embedder.load(artifact)) {
      for (int i = 0; i < NEAR_CALIBRATION; i++) {
        List<Scene> group = CALIBRATED.hardGroup(i);
        float[][] images =
            embedder.images(
                adapter, group.stream().map(s -> embedder.image(png(s), "scene")).toList());
        float[][] texts =
            embedder.texts(adapter, group.stream().map(Captioner::shortCaption).toList());
        for (MatchKind kind : KINDS) {
          float[][] item = kind.itemSide() == Side.IMAGE ? images : texts;
          float[][] query = kind.querySide() == Side.IMAGE ? images : texts;
          for (int sibling = 1; sibling < group.size(); sibling++) {
            scores
                .computeIfAbsent(kind, any -> new ArrayList<>())
                .add((double) MatchEngine.dot(item[sibling], query[0]));
          }
        }
      }
    }
    Map<MatchKind, double[]> sorted = new EnumMap<>(MatchKind.class);
    scores.forEach(
        (kind, values) -> sorted.put(kind, values.stream().mapToDouble(v -> v).sorted().toArray()));
    return sorted;
  }

  // ---- what is alerted

  /** By kind and what is asked for. All is asked for at once, by a query for each kind. */
  private static Map<String, Tally> measure(
      OnnxEmbedder embedder,
      AdapterArtifact artifact,
      Map<MatchKind, double[]> nearScores,
      List<Drawn> items) {
    Map<String, Tally> tallies = new TreeMap<>();
    List<String> words = new ArrayList<>();
    int queries = 0;
    try (MatchEngine engine =
        MatchEngine.alone(
            embedder,
            new MatchEngine.Settings(BATCH, 50, 10_000, 0, 64),
            wanted -> null,
            new NothingRefused())) {
      AdapterVersion version = new AdapterVersion(0, 1, artifact.digest());
      engine.start(
          new LoadedAdapter(version, embedder.load(artifact), artifact.manifest().calibration()));
      for (int i = 0; i < QUERIES; i++) {
        Scene scene = watched(i);
        words.add(Captioner.shortCaption(scene));
        for (MatchKind kind : KINDS) {
          double[] near = nearScores.get(kind);
          for (Asked asked : ASKED) {
            if (!asked.appliesTo(kind)) {
              continue;
            }
            queries++;
            engine.upsert(
                new WatchedQuery(
                    key(kind, asked) + "/" + i,
                    i,
                    new Coordinates("queries", 0, i),
                    kind.querySide() == Side.TEXT ? words.get(i) : null,
                    kind.querySide() == Side.IMAGE ? png(scene) : null,
                    Set.of(kind),
                    nearCaptions(i, asked.named()),
                    asked.ofNear()
                        ? near[near.length - (int) Math.round(asked.share() * near.length)]
                        : null,
                    asked.ofNear() ? null : asked.share(),
                    null),
                false);
          }
        }
      }
      while (engine.hasWork()) {
        engine.work();
      }
      assertEquals(queries, engine.activeQueries());
      for (int from = 0; from < items.size(); from += BATCH) {
        List<Drawn> drawn = items.subList(from, Math.min(items.size(), from + BATCH));
        List<MatchEngine.Prepared> batch = new ArrayList<>();
        for (Drawn item : drawn) {
          batch.add(new MatchEngine.Prepared(embedder.image(item.image(), "item"), item.caption()));
        }
        List<Set<String>> found = new ArrayList<>();
        drawn.forEach(any -> found.add(new HashSet<>()));
        for (MatchEngine.Match match : engine.match(batch).matches()) {
          found.get(match.item()).add(match.query().id());
        }
        for (int i = 0; i < drawn.size(); i++) {
          count(drawn.get(i), found.get(i), words, tallies);
        }
        engine.work();
      }
    }
    return tallies;
  }

  private static void count(
      Drawn item, Set<String> found, List<String> words, Map<String, Tally> tallies) {
    for (MatchKind kind : KINDS) {
      for (Asked asked : ASKED) {
        if (!asked.appliesTo(kind)) {
          continue;
        }
        Tally tally = tallies.computeIfAbsent(key(kind, asked), any -> new Tally());
        int unrelated = 0;
        int alerted = 0;
        for (int query = 0; query < QUERIES; query++) {
          int hit = found.contains(key(kind, asked) + "/" + query) ? 1 : 0;
          if (query == item.query()) {
            boolean notNamed = asked.named() > 0 && item.sibling() > asked.named();
            tally.of(notNamed ? Relation.NOT_NAMED : item.relation()).add(hit, 1);
          } else if (!words.get(query).equals(item.caption())) {
            // A caption in common is a match, by chance, and neither planted nor false.
            unrelated++;
            alerted += hit;
          }
        }
        // Near misses are no part of a stream that thresholds are calibrated on.
        if (item.relation() == Relation.PLANTED || item.relation() == Relation.UNRELATED) {
          tally.of(Relation.UNRELATED).add(alerted, unrelated);
        }
      }
    }
  }

  private static final class NothingRefused implements MatchEngine.Events {
    @Override
    public void queryAccepted(WatchedQuery query, Map<MatchKind, Double> scores, String note) {}

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
}
