package io.whetstream.jobs.score;

import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.connectors.types.Read;
import java.nio.charset.StandardCharsets;
import java.util.EnumMap;
import java.util.Map;

/** What alerts say about the content of an item, computed once for all queries that it matches. */
final class ItemContent {
  private final Read<Item> read;
  private final Embedder.Picture picture;
  private final String baseDigest;
  private final Map<Side, ContentGroup> groups = new EnumMap<>(Side.class);
  private String digest;

  /**
   * @param picture the item's image, or null if it has none
   */
  ItemContent(Read<Item> read, Embedder.Picture picture, String baseDigest) {
    this.read = read;
    this.picture = picture;
    this.baseDigest = baseDigest;
  }

  Read<Item> read() {
    return read;
  }

  String baseDigest() {
    return baseDigest;
  }

  /** See {@link #digest(Item)}. */
  String digest() {
    if (digest == null) {
      digest = digest(read.value());
    }
    return digest;
  }

  /** The near-duplicate group of one side. */
  ContentGroup group(Side side) {
    return groups.computeIfAbsent(
        side,
        any -> side == Side.IMAGE ? picture.group().get() : ContentGroup.of(read.value().text()));
  }

  /** SHA-256 over the contents of an item: of the image, of the text, or of both digests. */
  static String digest(Item item) {
    String image = item.image() == null ? null : Digests.sha256(item.image());
    String text =
        item.text() == null ? null : Digests.sha256(item.text().getBytes(StandardCharsets.UTF_8));
    if (image == null || text == null) {
      return image == null ? text : image;
    }
    return Digests.sha256((text + ' ' + image).getBytes(StandardCharsets.US_ASCII));
  }
}
