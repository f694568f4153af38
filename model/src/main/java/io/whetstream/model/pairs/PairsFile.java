package io.whetstream.model.pairs;

import io.whetstream.model.BadInputException;
import java.io.ByteArrayInputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * Reads pairs files: JSON lines {@code {"id", "image", "caption", "caption_long"?, "captions"?,
 * "group"?}} with image paths relative to the file, or images in base64 or as {@code data:} URIs.
 * Of captions at least one kind must be there, and none that is there may be empty. Keys that are
 * not known are let pass; empty lines too.
 */
public final class PairsFile {
  private PairsFile() {}

  /**
   * The pairs of a file, lazily, in order. Close the stream.
   *
   * @throws BadInputException on opening if there is no such file; while reading, at the first line
   *     that is no pair, with its number
   */
  public static Stream<CaptionedImage> read(Path file) {
    return read(
        file,
        bad -> {
          throw bad;
        });
  }

  /** As {@link #read(Path)}; bad lines are handed over and passed by. */
  public static Stream<CaptionedImage> read(Path file, Consumer<BadInputException> onBad) {
    return JsonLines.read(file, PairsFile::pair, onBad);
  }

  /**
   * The pairs of a file that was read already.
   *
   * @param file what to call it, and against what its paths are resolved
   */
  public static Stream<CaptionedImage> read(byte[] bytes, Path file) {
    return JsonLines.read(
        new ByteArrayInputStream(bytes),
        file,
        PairsFile::pair,
        bad -> {
          throw bad;
        });
  }

  private static CaptionedImage pair(JsonLines.Line line) {
    String caption = line.optionalText("caption");
    String captionLong = line.optionalText("caption_long");
    List<String> captions = new ArrayList<>(line.texts("captions"));
    if (caption == null && !captions.isEmpty()) {
      caption = captions.get(0);
    }
    if (caption != null && !captions.contains(caption)) {
      captions.add(0, caption);
    }
    if (caption == null && captionLong == null) {
      throw line.bad("no caption: one of \"caption\", \"captions\", \"caption_long\" is needed");
    }
    return new CaptionedImage(
        line.text("id"),
        line.image("image"),
        caption,
        captionLong,
        captions,
        line.optionalText("group"),
        line.number());
  }

  /**
   * Reads a file of compositional items: JSON lines {@code {"image", "positive", "negatives",
   * "kind"}}.
   *
   * @param onBad is handed bad lines, which are passed by unless it throws
   */
  public static Stream<CompositionalQuestion> readCompositional(
      Path file, Consumer<BadInputException> onBad) {
    return JsonLines.read(file, PairsFile::question, onBad);
  }

  private static CompositionalQuestion question(JsonLines.Line line) {
    List<String> negatives = line.texts("negatives");
    if (negatives.isEmpty()) {
      throw line.bad("\"negatives\" must list at least one caption");
    }
    return new CompositionalQuestion(
        line.image("image"), line.text("positive"), negatives, line.text("kind"), line.number());
  }
}
