package io.whetstream.connectors.records;

/**
 * A record with an image, inline or by URI.
 *
 * @param <T> the record
 */
public interface ImageRecord<T> extends StreamRecord {
  /** Encoded image, or null. */
  byte[] image();

  /** Where the image is, or null. */
  String imageUri();

  /** SHA-256 of the encoded image, or null. */
  String imageDigest();

  /** The same record with its image at hand. */
  T withImage(byte[] bytes, String digest);
}
