package io.whetstream.scenes;

import java.util.Locale;

/** What lies behind the shapes. The last two are held back: only drift streams show them. */
public enum Background {
  DARK,
  GREY,
  /** From dark at the top to light at the bottom. */
  SHADED,
  CHECKERED,
  LINED;

  /** The word long captions use; short captions never name the background. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Whether only drift streams show it. */
  public boolean heldBack() {
    return this == CHECKERED || this == LINED;
  }

  /** Level of channel c at pixel (x, y), 0 to 255. */
  double level(int x, int y, int c) {
    double tint = c == 2 ? 5 : 0;
    return switch (this) {
      case DARK -> 24 + tint;
      case GREY -> 100 + tint;
      case SHADED -> 14 + 2.7 * y + tint;
      case CHECKERED -> ((x / 6 + y / 6) % 2 == 0 ? 34 : 112) + tint;
      case LINED -> (y % 6 < 2 ? 122 : 36) + tint;
    };
  }
}
