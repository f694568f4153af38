package io.whetstream.connectors.records;

import io.whetstream.connectors.types.Types;
import java.util.Arrays;
import java.util.Objects;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * An image with text about it, to learn from. Topic {@code pairs}, keyed by {@code id}.
 *
 * @param id unique; a pair seen again under the same id is not trained again
 * @param imageUri where the image is, or null if it is inline
 * @param imageDigest of the encoded image, or null before it is known
 * @param caption short caption, or null
 * @param captionLong long caption, or null; one of the two is present
 * @param source where the pair comes from, free text, or null
 * @param eventTime when it happened; Kafka's timestamp if the producer gave none
 * @param image encoded image (PNG, JPEG, WebP ...), or null if only {@code imageUri} is known; one
 *     of the two is present
 * @param at where it was read, or null
 */
@TypeInfo(Types.OfRecord.class)
public record ImageTextPair(
    String id,
    String imageUri,
    String imageDigest,
    String caption,
    String captionLong,
    String source,
    long eventTime,
    byte[] image,
    Coordinates at)
    implements ImageRecord<ImageTextPair> {

  public ImageTextPair {
    Require.present("id", id);
    imageUri = Require.blankToNull(imageUri);
    caption = Require.blankToNull(caption);
    captionLong = Require.blankToNull(captionLong);
    Require.that(
        Require.hasImage(image, imageUri),
        "pair '" + id + "' has no image: give image (base64) or imageUri");
    Require.that(
        caption != null || captionLong != null,
        "pair '" + id + "' has no text: give caption, captionLong or both");
  }

  @Override
  public String key() {
    return id;
  }

  @Override
  public long timeMillis() {
    return eventTime;
  }

  /** The same pair with its image at hand. */
  @Override
  public ImageTextPair withImage(byte[] bytes, String digest) {
    return new ImageTextPair(
        id, imageUri, digest, caption, captionLong, source, eventTime, bytes, at);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof ImageTextPair that
        && id.equals(that.id)
        && Objects.equals(imageUri, that.imageUri)
        && Objects.equals(imageDigest, that.imageDigest)
        && Objects.equals(caption, that.caption)
        && Objects.equals(captionLong, that.captionLong)
        && Objects.equals(source, that.source)
        && eventTime == that.eventTime
        && Arrays.equals(image, that.image)
        && Objects.equals(at, that.at);
  }

  @Override
  public int hashCode() {
    return Objects.hash(id, eventTime, Arrays.hashCode(image), at);
  }
}
