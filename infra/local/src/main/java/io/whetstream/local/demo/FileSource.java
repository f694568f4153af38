package io.whetstream.local.demo;

import io.whetstream.model.BadInputException;
import io.whetstream.model.pairs.CaptionedImage;
import io.whetstream.model.pairs.PairsFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A person's own pairs, once, in the order of the file. Captions of lines spread over the file are
 * watched for, and the images of all lines come by as items, again and again: an image is planted
 * for the caption of its own line. Images are read when their turn comes.
 */
final class FileSource implements Source {
  private static final int FEWEST = 16;

  private final List<CaptionedImage> lines;
  private final List<Watch> queries = new ArrayList<>();
  private final Map<Integer, String> queryOfLine = new HashMap<>();

  /**
   * Reads the file's lines.
   *
   * @throws BadInputException if it cannot be used, naming the line
   */
  FileSource(Path file, DemoOptions options) {
    try (Stream<CaptionedImage> read = PairsFile.read(file)) {
      lines = read.toList();
    }
    if (lines.size() < FEWEST) {
      throw new BadInputException(
          file + " has " + lines.size() + " pairs; a demo needs at least " + FEWEST);
    }
    List<String> watched = new ArrayList<>();
    int step = Math.max(1, lines.size() / options.queries());
    for (int i = step / 2; i < lines.size() && queries.size() < options.queries(); i += step) {
      String caption = lines.get(i).caption();
      // Two queries with one text would make each other's alerts wrong.
      if (caption != null && !watched.contains(caption)) {
        watched.add(caption);
        String id = "line-" + lines.get(i).line();
        queries.add(new Watch(id, caption, null));
        queryOfLine.put(i, id);
      }
    }
  }

  @Override
  public Pair pair(long i) {
    CaptionedImage line = lines.get((int) i);
    return new Pair(line.id(), image(line), line.caption(), line.captionLong(), null);
  }

  @Override
  public Shown item(long i) {
    // A prime stride: another order than that of the pairs.
    int line = Math.floorMod(i * 7_919L, lines.size());
    return new Shown("item-" + i, image(lines.get(line)), queryOfLine.get(line), null);
  }

  @Override
  public List<Watch> queries() {
    return List.copyOf(queries);
  }

  @Override
  public long lastPair() {
    return lines.size();
  }

  @Override
  public long driftPair() {
    return Long.MAX_VALUE;
  }

  private static byte[] image(CaptionedImage line) {
    try {
      return Files.readAllBytes(line.image());
    } catch (IOException e) {
      throw new BadInputException(
          "line " + line.line() + ": image " + line.image() + " cannot be read (" + e + ")", e);
    }
  }
}
