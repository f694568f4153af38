package io.whetstream.jobs.score;

import io.whetstream.model.image.ModelImage;
import java.util.List;
import java.util.function.Supplier;

/**
 * What the scoring job needs of a model: vectors of unit length under a named adapter. Thread-safe;
 * one per process and model.
 */
public interface Embedder extends AutoCloseable {
  int dimension();

  /** Hexadecimal digest of the base model. */
  String baseDigest();

  /** The base model without an adapter. */
  Adapter base();

  /**
   * Decodes and prepares an encoded image.
   *
   * @param where names the record in error messages
   * @throws io.whetstream.model.BadInputException if the bytes are not a usable image
   */
  ModelImage image(byte[] encoded, String where);

  /** The near-duplicate group of an encoded image. */
  ContentGroup group(byte[] encoded, String where);

  /**
   * An item's image, decoded.
   *
   * @param group its near-duplicate group, computed when it is asked for
   */
  record Picture(ModelImage image, Supplier<ContentGroup> group) {}

  /**
   * {@link #image} and {@link #group} of one image, which is decoded once where that is possible.
   */
  default Picture picture(byte[] encoded, String where) {
    return new Picture(image(encoded, where), () -> group(encoded, where));
  }

  float[][] images(Adapter adapter, List<ModelImage> images);

  float[][] texts(Adapter adapter, List<String> texts);

  @Override
  void close();

  /** A verified adapter ready to use; closed after its last use. */
  interface Adapter extends AutoCloseable {
    /** Content digest; for the base model {@code "base"}. */
    String digest();

    @Override
    void close();
  }
}
