package io.whetstream.scenes;

import java.util.Locale;

/** Where one shape lies from another. {@code INSIDE} is held back: only drift streams show it. */
public enum Relation {
  LEFT,
  RIGHT,
  ABOVE,
  BELOW,
  INSIDE;

  /** The word that stands alone: "left", "above". */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** The words that stand before another shape: "left of", "above". */
  public String phrase() {
    return this == LEFT || this == RIGHT ? word() + " of" : word();
  }

  /** The side seen from the other shape; {@code INSIDE} has none and returns null. */
  public Relation opposite() {
    return switch (this) {
      case LEFT -> RIGHT;
      case RIGHT -> LEFT;
      case ABOVE -> BELOW;
      case BELOW -> ABOVE;
      case INSIDE -> null;
    };
  }

  /** Whether only drift streams show it. */
  public boolean heldBack() {
    return this == INSIDE;
  }
}
