package io.whetstream.local.demo;

import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Claim;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneSets;
import io.whetstream.scenes.SceneStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/** Drawn scenes: everything is a pure function of the options and its number. */
final class DemoStream implements Source {
  /** The looks after the change. */
  static final SceneLook DRIFTED = SceneLook.UNSEEN_COLOURS;

  /** One pair in so many is a record that cannot be read. */
  static final int BAD_PAIR_ONE_IN = 150;

  /** One item in so many. */
  static final int BAD_ITEM_ONE_IN = 100;

  /** One item in so many shows what a query watches for. */
  static final int PLANTED_ONE_IN = 4;

  private static final int GROUPS_PER_WINDOW = 4;
  private static final long PAIRS = 1;
  private static final long ITEMS = 2;
  private static final long WATCHLIST = 3;

  /** A query of the watchlist: a caption, and the scene it was taken from. */
  record Watched(String id, Scene scene, boolean drifted) {
    String text() {
      return Captioner.shortCaption(scene);
    }

    Claim claim() {
      return Claim.of(scene);
    }
  }

  private final DemoOptions options;
  private final SceneStream before;
  private final SceneStream after;
  private final SceneGenerator itemsBefore;
  private final SceneGenerator itemsAfter;
  private final List<Watched> watchlist;

  DemoStream(DemoOptions options) {
    this.options = options;
    long seed = options.seed();
    before = new SceneStream(mix(seed, PAIRS, 0), SceneLook.STANDARD, GROUPS_PER_WINDOW);
    after = new SceneStream(mix(seed, PAIRS, 1), DRIFTED, GROUPS_PER_WINDOW);
    itemsBefore = SceneGenerator.heldOut(mix(seed, ITEMS, 0), SceneLook.STANDARD);
    itemsAfter = SceneGenerator.heldOut(mix(seed, ITEMS, 1), DRIFTED);
    watchlist = watchlist(options);
  }

  /** Queries for the looks before and after the change, in turn. */
  List<Watched> watchlist() {
    return watchlist;
  }

  @Override
  public List<Watch> queries() {
    return watchlist.stream().map(w -> new Watch(w.id(), w.text(), png(w.scene()))).toList();
  }

  @Override
  public long lastPair() {
    return Long.MAX_VALUE;
  }

  @Override
  public long driftPair() {
    return options.driftPair();
  }

  @Override
  public Pair pair(long i) {
    String id = "pair-" + i;
    if (i % BAD_PAIR_ONE_IN == BAD_PAIR_ONE_IN - 1) {
      return new Pair(id, null, null, null, bad(i / BAD_PAIR_ONE_IN, id));
    }
    boolean drifted = i >= options.driftPair();
    Scene scene = drifted ? after.scene(i - options.driftPair()).scene() : before.scene(i).scene();
    return new Pair(
        id, png(scene), Captioner.shortCaption(scene), Captioner.longCaption(scene), null);
  }

  @Override
  public Shown item(long i) {
    String id = "item-" + i;
    if (i % BAD_ITEM_ONE_IN == BAD_ITEM_ONE_IN - 1) {
      return new Shown(id, null, null, bad(i / BAD_ITEM_ONE_IN, id));
    }
    Watched query = planted(i);
    return new Shown(
        id,
        png(query == null ? other(i) : again(query, i)),
        query == null ? null : query.id(),
        null);
  }

  /** The query that item number {@code i} was planted for, or null. */
  String plantedFor(long i) {
    Watched query = i % BAD_ITEM_ONE_IN == BAD_ITEM_ONE_IN - 1 ? null : planted(i);
    return query == null ? null : query.id();
  }

  private Watched planted(long i) {
    if (i % PLANTED_ONE_IN != 1) {
      return null;
    }
    boolean drifted = i >= options.driftItem();
    List<Watched> candidates = watchlist.stream().filter(w -> w.drifted() == drifted).toList();
    return candidates.get((int) (i / PLANTED_ONE_IN % candidates.size()));
  }

  /** What the query describes, drawn anew: the same objects, other jitter, noise and ground. */
  private Scene again(Watched query, long i) {
    SplittableRandom random = new SplittableRandom(mix(options.seed(), ITEMS, 2 + i));
    SceneLook look = query.drifted() ? DRIFTED : SceneLook.STANDARD;
    return new Scene(
        look.backgrounds().get(random.nextInt(look.backgrounds().size())),
        query.scene().objects(),
        random.nextLong());
  }

  /** A scene of which no query is true. */
  private Scene other(long i) {
    SceneGenerator generator = i >= options.driftItem() ? itemsAfter : itemsBefore;
    for (long attempt = 0; ; attempt++) {
      Scene scene = generator.scene(i + attempt * options.items());
      if (watchlist.stream().noneMatch(w -> w.claim().holdsIn(scene))) {
        return scene;
      }
    }
  }

  private static List<Watched> watchlist(DemoOptions options) {
    long seed = mix(options.seed(), WATCHLIST, 0);
    int drifted = options.queries() / 2;
    List<Watched> all = new ArrayList<>();
    add(all, seed, SceneLook.STANDARD, options.queries() - drifted, false);
    add(all, seed, DRIFTED, drifted, true);
    return List.copyOf(all);
  }

  /** Held-out scenes of two or three objects; none of the captions is true of another's scene. */
  private static void add(
      List<Watched> all, long seed, SceneLook look, int count, boolean drifted) {
    List<Watched> found = new ArrayList<>();
    for (Scene scene : SceneSets.retrieval(seed, look, 8 * count)) {
      Claim claim = Claim.of(scene);
      if (found.size() < count
          && scene.objects().size() > 1
          && found.stream().noneMatch(w -> w.claim().holdsIn(scene) || claim.holdsIn(w.scene()))) {
        found.add(
            new Watched((drifted ? "new-look-" : "look-") + (found.size() + 1), scene, drifted));
      }
    }
    all.addAll(found);
  }

  /** Records that cannot be read, of several sorts in turn. */
  private static byte[] bad(long number, String id) {
    String json =
        switch ((int) (number % 4)) {
          case 0 -> "{\"id\":\"" + id + "\",\"image\":";
          case 1 -> "{\"id\":\"" + id + "\"}";
          case 2 ->
              "{\"id\":\"" + id + "\",\"image\":\"bm90IGFuIGltYWdl\",\"caption\":\"a red cross\"}";
          default -> "\u0000\u0001 not json";
        };
    return json.getBytes(StandardCharsets.UTF_8);
  }

  private static byte[] png(Scene scene) {
    return SceneRenderer.png(SceneRenderer.render(scene));
  }

  private static long mix(long seed, long... parts) {
    long[] all = Arrays.copyOf(parts, parts.length + 1);
    all[parts.length] = seed;
    long h = 0x9E3779B97F4A7C15L;
    for (long part : all) {
      h = new SplittableRandom(h ^ part).nextLong();
    }
    return h;
  }
}
