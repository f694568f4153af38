package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import io.whetstream.scenes.SceneSets;
import io.whetstream.scenes.SceneSets.NamedScene;
import io.whetstream.scenes.SceneStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.LongFunction;
import java.util.stream.LongStream;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream scenes}: writes drawn scenes as a folder of images with a pairs file. */
@Command(
    name = "scenes",
    description =
        "Draws captioned scenes to try things on: images, pairs.jsonl, compositional.jsonl.")
final class ScenesCommand implements Callable<Integer> {
  private static final int GROUPS_PER_WINDOW = 32;

  /** The result with {@code --json}. */
  record Result(String directory, String look, int pairs, int compositional) {}

  /** Which scenes, if not unrelated ones. */
  static final class Order {
    @Option(
        names = "--hard-groups",
        description = "Groups of eight one after another: a scene and siblings one edit away.")
    boolean hardGroups;

    @Option(
        names = "--spread",
        description = "A stream: half of it such siblings, far apart, half unrelated scenes.")
    boolean spread;

    @Option(
        names = "--held-out",
        description =
            "For evaluation: combinations that no other stream shows, one picture a caption.")
    boolean heldOut;
  }

  @Mixin private ResultOptions result;

  @Option(
      names = "--out",
      required = true,
      paramLabel = "DIR",
      description = "Where to write; made if absent.")
  private Path out;

  @Option(
      names = "--count",
      paramLabel = "N",
      defaultValue = "256",
      description = "How many scenes (default: 256; 0 for none).")
  private int count;

  @Option(
      names = "--first",
      paramLabel = "N",
      defaultValue = "0",
      description = "Number of the first scene, to go on where a folder ended (default: 0).")
  private long first;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "1",
      description = "The same seed draws the same scenes (default: 1).")
  private long seed;

  @Option(
      names = "--look",
      paramLabel = "NAME",
      description =
          "standard, unseen-colours, unseen-backgrounds or everything: the last three show what"
              + " the demo base has never seen (default: standard).")
  private String look;

  @Option(names = "--drift", description = "Short for --look unseen-colours.")
  private boolean drift;

  @Option(
      names = "--compositional",
      paramLabel = "N",
      defaultValue = "0",
      description = "Also write N held-out items of each kind: swap, relation, replace, add.")
  private int perKind;

  @ArgGroup private Order order = new Order();

  @Override
  public Integer call() throws IOException {
    if (count < 0 || first < 0 || perKind < 0) {
      throw new BadInputException("--count, --first and --compositional must not be negative");
    }
    if (drift && look != null) {
      throw new BadInputException("--drift is short for --look unseen-colours: give one of them");
    }
    if (order.heldOut && first != 0) {
      throw new BadInputException("--held-out sets begin at 0; take another --seed, not --first");
    }
    SceneLook shown = SceneLook.named(drift ? "unseen-colours" : look == null ? "standard" : look);
    refuseToOverwrite(SceneSets.PAIRS_FILE, count);
    refuseToOverwrite(SceneSets.COMPOSITIONAL_FILE, perKind);
    int pairs = count == 0 ? 0 : SceneSets.writePairs(out, scenes(shown));
    int items =
        perKind == 0
            ? 0
            : SceneSets.writeCompositional(out, SceneSets.compositional(seed, shown, perKind));
    String text = pairs + " pairs";
    if (items > 0) {
      text += " and " + items + " compositional items";
    }
    result.print(new Result(out.toString(), shown.name(), pairs, items), text + " in " + out);
    return 0;
  }

  private void refuseToOverwrite(String file, int wanted) {
    if (wanted > 0 && Files.exists(out.resolve(file))) {
      throw new BadInputException(
          out.resolve(file) + " is there already; choose another directory or remove it");
    }
  }

  private Iterator<NamedScene> scenes(SceneLook shown) {
    String prefix = shown.name() + '-' + seed + '-';
    if (order.heldOut) {
      List<NamedScene> named = new ArrayList<>();
      for (Scene scene : SceneSets.retrieval(seed, shown, count)) {
        named.add(new NamedScene(prefix + "held-out-" + named.size(), scene));
      }
      return named.iterator();
    }
    SceneGenerator generator = new SceneGenerator(seed, shown);
    LongFunction<NamedScene> numbered;
    if (order.hardGroups) {
      int size = SceneGenerator.HARD_GROUP;
      numbered =
          i ->
              new NamedScene(
                  prefix + "group-" + i / size + '-' + i % size,
                  generator.hardGroup(i / size).get((int) (i % size)));
    } else if (order.spread) {
      SceneStream stream = new SceneStream(seed, shown, GROUPS_PER_WINDOW);
      numbered = i -> new NamedScene(prefix + "spread-" + i, stream.scene(i).scene());
    } else {
      numbered = i -> new NamedScene(prefix + i, generator.scene(i));
    }
    return LongStream.range(first, first + count).mapToObj(numbered).iterator();
  }
}
