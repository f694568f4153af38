package io.whetstream.scenes;

import java.util.Locale;

/** How a shape is filled. {@code DOTTED} is held back: only drift streams show it. */
public enum Fill {
  /** One colour; short captions do not say it. */
  SOLID,
  /** Diagonal stripes of the colour and its dark shade. */
  STRIPED,
  /** Only the outline; the background shows through. */
  HOLLOW,
  /** Dark dots on the colour. */
  DOTTED;

  /** The word captions use. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Whether short captions say it. */
  public boolean marked() {
    return this != SOLID;
  }

  /** Whether only drift streams show it. */
  public boolean heldBack() {
    return this == DOTTED;
  }
}
