package io.whetstream.scenes;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/** Held-out sets of scenes for evaluation, and folders of scenes as a user would have them. */
public final class SceneSets {
  /** Name of the file that {@link #writePairs} writes. */
  public static final String PAIRS_FILE = "pairs.jsonl";

  /** Name of the file that {@link #writeCompositional} writes. */
  public static final String COMPOSITIONAL_FILE = "compositional.jsonl";

  private static final ObjectMapper JSON = new ObjectMapper();

  private SceneSets() {}

  /**
   * A scene to be written.
   *
   * @param id unique in its file; also the name of its image
   */
  public record NamedScene(String id, Scene scene) {}

  /**
   * Held-out scenes for retrieval. No caption describes another scene of the set, so there is
   * exactly one right answer and 1 is within reach.
   */
  public static List<Scene> retrieval(long seed, SceneLook look, int count) {
    SceneGenerator generator = SceneGenerator.heldOut(Draws.mix(seed, 41), look);
    List<Scene> scenes = new ArrayList<>(count);
    for (long i = 0; scenes.size() < count; i++) {
      Scene scene = generator.scene(i);
      if (SceneGenerator.apart(scenes, scene)) {
        scenes.add(scene);
      }
    }
    return scenes;
  }

  /**
   * Held-out compositional items, {@code perKind} of every kind, the edits of a kind in equal
   * parts, each with one negative: chance is one half.
   */
  public static List<CompositionalItem> compositional(long seed, SceneLook look, int perKind) {
    List<CompositionalItem> items = new ArrayList<>();
    for (Edit.Kind kind : Edit.Kind.values()) {
      SceneGenerator generator =
          SceneGenerator.heldOut(Draws.mix(seed, 42, kind.word().hashCode()), look);
      List<Edit> edits = kind.edits();
      int made = 0;
      for (long i = 0; made < perKind; i++) {
        Scene scene = generator.scene(i);
        Edit edit = edits.get(made % edits.size());
        Claim negative = generator.negative(scene, edit, i);
        if (negative != null) {
          String id = kind.word() + '-' + made;
          items.add(new CompositionalItem(id, scene, Claim.of(scene), negative, edit));
          made++;
        }
      }
    }
    return items;
  }

  /**
   * Writes scenes as a pairs file with its images: {@code DIR/pairs.jsonl} with lines {@code
   * {"id","image","caption","caption_long"}} and {@code DIR/images/ID.png}. The pairs file appears
   * last and whole.
   *
   * @return how many were written
   */
  public static int writePairs(Path directory, Iterator<NamedScene> scenes) throws IOException {
    try (Lines lines = new Lines(directory, PAIRS_FILE)) {
      while (scenes.hasNext()) {
        NamedScene named = scenes.next();
        ObjectNode line = JSON.createObjectNode().put("id", named.id());
        line.put("image", lines.image(named.id(), named.scene()));
        line.put("caption", Captioner.shortCaption(named.scene()));
        line.put("caption_long", Captioner.longCaption(named.scene()));
        lines.add(line);
      }
      return lines.finish();
    }
  }

  /**
   * Writes compositional items as {@code eval --compositional} reads them: {@code
   * DIR/compositional.jsonl} with lines {@code {"image","positive","negatives":[..],"kind"}} and
   * {@code DIR/images/ID.png}.
   *
   * @return how many were written
   */
  public static int writeCompositional(Path directory, List<CompositionalItem> items)
      throws IOException {
    try (Lines lines = new Lines(directory, COMPOSITIONAL_FILE)) {
      for (CompositionalItem item : items) {
        ObjectNode line = JSON.createObjectNode();
        line.put("image", lines.image(item.id(), item.scene()));
        line.put("positive", item.positive().text());
        line.putArray("negatives").add(item.negative().text());
        line.put("kind", item.edit().kind().word());
        lines.add(line);
      }
      return lines.finish();
    }
  }

  /** A file of JSON lines that exists only when it is complete, and the images it names. */
  private static final class Lines implements AutoCloseable {
    private final Path directory;
    private final Path target;
    private final Path part;
    private final Writer out;
    private int count;

    Lines(Path directory, String name) throws IOException {
      this.directory = directory;
      this.target = directory.resolve(name);
      this.part = directory.resolve(name + ".part");
      Files.createDirectories(directory.resolve("images"));
      this.out = Files.newBufferedWriter(part);
    }

    String image(String id, Scene scene) throws IOException {
      String path = "images/" + id + ".png";
      Files.write(directory.resolve(path), SceneRenderer.png(SceneRenderer.render(scene)));
      return path;
    }

    void add(ObjectNode line) throws IOException {
      out.write(line.toString());
      out.write('\n');
      count++;
    }

    int finish() throws IOException {
      out.close();
      Files.move(part, target, StandardCopyOption.REPLACE_EXISTING);
      return count;
    }

    @Override
    public void close() throws IOException {
      out.close();
      Files.deleteIfExists(part);
    }
  }
}
