package io.whetstream.jobs.score;

import io.whetstream.model.BadInputException;
import java.util.Locale;

/**
 * Which side of an item is compared with which side of a query. The first word names the item's
 * side, the second the query's.
 *
 * <p>Kinds are never mixed: scores of different kinds follow different distributions, so each has
 * its own calibration and its own threshold. A cosine does not know which of its two vectors came
 * from the item, so {@code IMAGE_TEXT} and {@code TEXT_IMAGE} share one calibration.
 */
public enum MatchKind {
  IMAGE_TEXT("image-text", Side.IMAGE, Side.TEXT, "image-text"),
  IMAGE_IMAGE("image-image", Side.IMAGE, Side.IMAGE, "image-image"),
  TEXT_TEXT("text-text", Side.TEXT, Side.TEXT, "text-text"),
  TEXT_IMAGE("text-image", Side.TEXT, Side.IMAGE, "image-text");

  /** The part of an item or a query that was embedded. */
  public enum Side {
    IMAGE,
    TEXT
  }

  private final String label;
  private final Side itemSide;
  private final Side querySide;
  private final String calibration;

  MatchKind(String label, Side itemSide, Side querySide, String calibration) {
    this.label = label;
    this.itemSide = itemSide;
    this.querySide = querySide;
    this.calibration = calibration;
  }

  /** The name used in queries, alerts and metrics: item side, hyphen, query side. */
  public String label() {
    return label;
  }

  public Side itemSide() {
    return itemSide;
  }

  public Side querySide() {
    return querySide;
  }

  /** The name under which an adapter's calibration lists this kind. */
  public String calibration() {
    return calibration;
  }

  /**
   * The kind called {@code name}, in either spelling ({@code image-text} or {@code IMAGE_TEXT}).
   *
   * @throws BadInputException naming the kinds there are
   */
  public static MatchKind of(String name) {
    String wanted = name.toLowerCase(Locale.ROOT).replace('_', '-');
    for (MatchKind kind : values()) {
      if (kind.label.equals(wanted)) {
        return kind;
      }
    }
    throw new BadInputException(
        "unknown kind '"
            + name
            + "': use image-text, image-image, text-text or text-image (the item's side first)");
  }
}
