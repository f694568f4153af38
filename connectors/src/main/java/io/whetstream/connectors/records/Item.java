package io.whetstream.connectors.records;

import io.whetstream.connectors.types.Types;
import java.util.Arrays;
import java.util.Objects;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * Something new, to be compared with the watchlist. Topic {@code items}, keyed by {@code id}.
 *
 * @param id names the item in alerts
 * @param imageUri where the image is, or null
 * @param imageDigest of the encoded image, or null before it is known
 * @param text its text, or null
 * @param source where the item comes from, free text, or null
 * @param eventTime when it happened; Kafka's timestamp if the producer gave none
 * @param image encoded image, or null; an item has an image, an URI of one, or a text
 * @param at where it was read, or null
 */
@TypeInfo(Types.OfRecord.class)
public record Item(
    String id,
    String imageUri,
    String imageDigest,
    String text,
    String source,
    long eventTime,
    byte[] image,
    Coordinates at)
    implements ImageRecord<Item> {

  public Item {
    Require.present("id", id);
    imageUri = Require.blankToNull(imageUri);
    text = Require.blankToNull(text);
    Require.that(
        text != null || Require.hasImage(image, imageUri),
        "item '" + id + "' is empty: give image (base64), imageUri or text");
  }

  @Override
  public String key() {
    return id;
  }

  @Override
  public long timeMillis() {
    return eventTime;
  }

  /** The same item with its image at hand. */
  @Override
  public Item withImage(byte[] bytes, String digest) {
    return new Item(id, imageUri, digest, text, source, eventTime, bytes, at);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Item that
        && id.equals(that.id)
        && Objects.equals(imageUri, that.imageUri)
        && Objects.equals(imageDigest, that.imageDigest)
        && Objects.equals(text, that.text)
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
