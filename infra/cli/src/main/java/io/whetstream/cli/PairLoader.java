package io.whetstream.cli;

import io.whetstream.model.BadInputException;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.lvlm.SequenceBuilder;
import io.whetstream.model.pairs.LineImage;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Images and captions as a model takes them. Captions beyond the context are cut, counted, and
 * warned of once. Safe for use by several threads.
 */
final class PairLoader {
  /**
   * An image, ready.
   *
   * @param digest SHA-256 of the file, hexadecimal
   */
  record Image(ModelImage processed, String digest) {}

  private final OfflineModel model;
  private final int maxShort;
  private final SequenceBuilder sequences;
  private final PrintWriter err;
  private final ImageDecoder decoder = new ImageDecoder(ImageDecoder.DEFAULT_MAX_PIXELS);
  private final AtomicInteger truncated = new AtomicInteger();

  /**
   * @param sequences the rows captions are to fit into
   * @param err takes the warning
   */
  PairLoader(OfflineModel model, SequenceBuilder sequences, PrintWriter err) {
    this.model = model;
    this.maxShort = sequences.maxCaption(true);
    this.sequences = sequences;
    this.err = err;
    if (maxShort < 1) {
      throw noRoom("prompt and caption");
    }
    requireRoom(model.processor().geometry(model.processor().side(), model.processor().side()));
  }

  private void requireRoom(ImageGeometry picture) {
    if (sequences.imageRow(picture, true).length > positions()) {
      throw noRoom("image and prompt");
    }
  }

  private BadInputException noRoom(String what) {
    return new BadInputException(
        model.checkpoint().directory()
            + ": "
            + what
            + " do not fit into the model's "
            + positions()
            + " positions; use a shorter prompt or fewer soft vectors");
  }

  private int positions() {
    return model.config().text().maxPositions();
  }

  /**
   * Reads, decodes and processes an image.
   *
   * @param where what names the pair in an error: file and line
   */
  Image image(LineImage image, String where) {
    byte[] encoded = image.read(where);
    try {
      ModelImage processed = model.processor().process(decoder.decode(encoded, "image " + image));
      requireRoom(processed.geometry());
      return new Image(processed, digest(encoded));
    } catch (BadInputException e) {
      throw new BadInputException(where + ": " + e.getMessage(), e);
    }
  }

  /** Token ids of a short caption, or of any text that is embedded. */
  long[] shortCaption(String text, String where) {
    return cut(ids(text, where), maxShort, where);
  }

  /** Token ids of a long caption; null if the image leaves no room for one. */
  long[] longCaption(ImageGeometry picture, String text, String where) {
    int room = sequences.maxLongCaption(picture, true);
    return room < 1 ? null : cut(ids(text, where), room, where);
  }

  private long[] ids(String text, String where) {
    long[] ids = model.tokenizer().encode(text);
    if (ids.length == 0) {
      throw new BadInputException(where + ": the caption is empty to the tokenizer");
    }
    int size = model.config().text().vocabSize();
    for (long id : ids) {
      if (id < 0 || id >= size) {
        throw new BadInputException(
            model.checkpoint().directory()
                + ": tokenizer.json has a token "
                + id
                + ", config.json a vocabulary of "
                + size
                + ": they do not belong together");
      }
    }
    return ids;
  }

  private long[] cut(long[] ids, int room, String where) {
    if (ids.length <= room) {
      return ids;
    }
    if (truncated.getAndIncrement() == 0) {
      err.println(
          "warning: "
              + where
              + ": a caption of "
              + ids.length
              + " tokens is cut to the "
              + room
              + " that fit; more like it are counted only");
      err.flush();
    }
    return Arrays.copyOf(ids, room);
  }

  /** How many captions were cut. */
  int truncated() {
    return truncated.get();
  }

  static String digest(String text) {
    return digest(text.getBytes(StandardCharsets.UTF_8));
  }

  private static String digest(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }
}
