package io.whetstream.local.demo;

import io.whetstream.connectors.Digests;
import io.whetstream.connectors.kafka.Topics;
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
 * watched for, and the images of all lines come by as items, again and again, those of watched
 * lines more often: an image is planted for the caption of its own line. Images are read when their
 * turn comes.
 */
final class FileSource implements Source {
  private static final int FEWEST = 16;

  /** Of a record's bytes, an image in base64 may take so many; captions need the rest. */
  private static final long LARGEST_IMAGE = Topics.MAX_RECORD_BYTES / 10 * 7;

  private final String digest;
  private final List<CaptionedImage> lines;
  private final List<Watch> queries = new ArrayList<>();
  private final Map<Integer, String> queryOfLine = new HashMap<>();
  private final List<Integer> watchedLines = new ArrayList<>();

  /**
   * Reads the file's lines and looks for their images, so that nothing breaks off in the middle.
   *
   * @throws BadInputException if it cannot be used, naming the line
   */
  FileSource(Path file, DemoOptions options) {
    byte[] bytes;
    try {
      // Once: it may be a pipe.
      bytes = Files.readAllBytes(file);
    } catch (IOException e) {
      throw new BadInputException(file + " cannot be read (" + e + ")", e);
    }
    digest = Digests.sha256(bytes);
    try (Stream<CaptionedImage> read = PairsFile.read(bytes, file)) {
      lines = read.toList();
    }
    if (lines.size() < FEWEST) {
      throw new BadInputException(
          file + " has " + lines.size() + " pairs; a demo needs at least " + FEWEST);
    }
    lines.forEach(FileSource::requireImage);
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
        watchedLines.add(i);
      }
    }
  }

  /** Of the file's bytes. */
  String digest() {
    return digest;
  }

  @Override
  public Pair pair(long i) {
    CaptionedImage line = lines.get((int) i);
    return new Pair(line.id(), image(line), line.caption(), line.captionLong(), null);
  }

  @Override
  public Shown item(long i) {
    // A watched line now and then, or a long file would hardly show one.
    boolean planted = i % DemoStream.PLANTED_ONE_IN == 1 && !watchedLines.isEmpty();
    long plantedBefore = (i + DemoStream.PLANTED_ONE_IN - 2) / DemoStream.PLANTED_ONE_IN;
    // A prime stride: another order than that of the pairs.
    int line =
        planted
            ? watchedLines.get((int) (plantedBefore % watchedLines.size()))
            : Math.floorMod((i - plantedBefore) * 7_919L, lines.size());
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

  private static void requireImage(CaptionedImage line) {
    long size = line.image().size();
    if (size < 0) {
      throw new BadInputException(
          "line " + line.line() + ": image " + line.image() + " is no file that can be read");
    }
    if (size > LARGEST_IMAGE) {
      throw new BadInputException(
          "line %d: image %s has %d bytes; a record takes %d"
              .formatted(line.line(), line.image(), size, LARGEST_IMAGE));
    }
  }

  private static byte[] image(CaptionedImage line) {
    return line.image().read("line " + line.line());
  }
}
