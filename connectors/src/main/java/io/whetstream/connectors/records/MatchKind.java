package io.whetstream.connectors.records;

import io.whetstream.model.BadInputException;
import java.util.Locale;

/**
 * Which side of an item is compared with which side of a query: the first word names the item's
 * side, the second the query's.
 */
public enum MatchKind {
  IMAGE_TEXT(Side.IMAGE, Side.TEXT),
  IMAGE_IMAGE(Side.IMAGE, Side.IMAGE),
  TEXT_TEXT(Side.TEXT, Side.TEXT),
  TEXT_IMAGE(Side.TEXT, Side.IMAGE);

  /** The part of an item or a query that is embedded. */
  public enum Side {
    IMAGE,
    TEXT
  }

  private final Side itemSide;
  private final Side querySide;

  MatchKind(Side itemSide, Side querySide) {
    this.itemSide = itemSide;
    this.querySide = querySide;
  }

  public Side itemSide() {
    return itemSide;
  }

  public Side querySide() {
    return querySide;
  }

  /** The name on the wire: {@code image-text} and so on. */
  public String label() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /**
   * The kind of that name, in either spelling.
   *
   * @throws BadInputException naming the kinds there are
   */
  public static MatchKind of(String name) {
    for (MatchKind kind : values()) {
      if (kind.label().equals(name.toLowerCase(Locale.ROOT).replace('_', '-'))) {
        return kind;
      }
    }
    throw new BadInputException(
        "unknown kind '"
            + name
            + "': use image-text, image-image, text-text or text-image (the item's side first)");
  }
}
