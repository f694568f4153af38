package io.whetstream.scenes;

import java.util.ArrayList;
import java.util.List;

/**
 * An endless stream in which near-identical scenes stand far apart, as they do in life: half of the
 * scenes are siblings of hard groups, half are unrelated, all shuffled within windows of {@code 16
 * * groupsPerWindow} scenes. Whoever wants hard negatives together must find them. Scene {@code i}
 * is a pure function of (seed, look, groupsPerWindow, i). Not thread-safe: keeps the last window.
 */
public final class SceneStream {
  private static final int SCENES_PER_GROUP = 2 * SceneGenerator.HARD_GROUP;

  private final long seed;
  private final SceneGenerator generator;
  private final int groupsPerWindow;
  private long cachedWindow = -1;
  private List<Streamed> cached = List.of();

  /**
   * One scene of the stream.
   *
   * @param hardGroup number of the hard group it is a sibling of, or -1; for judging a miner, never
   *     for helping it
   */
  public record Streamed(long index, Scene scene, long hardGroup) {}

  /**
   * @param groupsPerWindow how many hard groups are mixed; siblings lie about a third of a window,
   *     {@code 5 * groupsPerWindow} scenes, apart
   */
  public SceneStream(long seed, SceneLook look, int groupsPerWindow) {
    if (groupsPerWindow < 1) {
      throw new IllegalArgumentException("a window needs at least one hard group");
    }
    this.seed = seed;
    this.generator = new SceneGenerator(seed, look);
    this.groupsPerWindow = groupsPerWindow;
  }

  /** Scenes in a window. */
  public int window() {
    return groupsPerWindow * SCENES_PER_GROUP;
  }

  /** Scene number {@code index}, from 0. */
  public Streamed scene(long index) {
    long window = Math.floorDiv(index, (long) window());
    if (window != cachedWindow) {
      cached = draw(window);
      cachedWindow = window;
    }
    return cached.get((int) (index - window * window()));
  }

  private List<Streamed> draw(long window) {
    int size = window();
    int siblings = size / 2;
    int[] order = new Draws(seed, 31, window).permutation(size);
    List<Streamed> scenes = new ArrayList<>(size);
    List<List<Scene>> groups = new ArrayList<>(groupsPerWindow);
    for (int g = 0; g < groupsPerWindow; g++) {
      groups.add(generator.hardGroup(window * groupsPerWindow + g));
    }
    for (int i = 0; i < size; i++) {
      long index = window * size + i;
      int k = order[i];
      if (k < siblings) {
        int g = k / SceneGenerator.HARD_GROUP;
        Scene scene = groups.get(g).get(k % SceneGenerator.HARD_GROUP);
        scenes.add(new Streamed(index, scene, window * groupsPerWindow + g));
      } else {
        scenes.add(new Streamed(index, generator.scene(window * siblings + k - siblings), -1));
      }
    }
    return scenes;
  }
}
