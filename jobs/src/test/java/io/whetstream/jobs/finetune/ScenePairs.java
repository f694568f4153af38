package io.whetstream.jobs.finetune;

import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;

/** Drawn scenes as pairs. */
final class ScenePairs {
  private ScenePairs() {}

  /** Pairs {@code from} (inclusive) to {@code to} of a seeded stream. */
  static List<MinedPair> of(long seed, long from, long to) {
    SceneStream stream = new SceneStream(seed, SceneLook.STANDARD, 4);
    return LongStream.range(from, to)
        .mapToObj(i -> pair("scene-" + seed + "-" + i, stream.scene(i).scene(), i))
        .toList();
  }

  static MinedPair pair(String id, Scene scene, long number) {
    return pair(id, scene, Captioner.shortCaption(scene), number);
  }

  /** A pair whose caption may be of another scene. */
  static MinedPair pair(String id, Scene scene, String caption, long number) {
    byte[] png = SceneRenderer.png(SceneRenderer.render(scene));
    return new MinedPair(
        id,
        png,
        caption,
        Captioner.longCaption(scene),
        PairIds.digest(png),
        PairIds.digest(caption.getBytes(StandardCharsets.UTF_8)),
        new byte[0],
        0,
        number,
        0,
        number);
  }

  /** Pairs in groups of {@code size} in their order, all new. */
  static List<PairGroup> groups(List<MinedPair> pairs, int size) {
    List<PairGroup> groups = new ArrayList<>();
    for (int i = 0; i < pairs.size(); i += size) {
      List<MinedPair> members = pairs.subList(i, Math.min(i + size, pairs.size()));
      groups.add(new PairGroup(members, members.size()));
    }
    return groups;
  }
}
