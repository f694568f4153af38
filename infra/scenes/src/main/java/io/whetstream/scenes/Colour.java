package io.whetstream.scenes;

import java.util.Locale;

/** Colour of a drawn shape. The last four are held back: only drift streams show them. */
public enum Colour {
  RED(226, 40, 44),
  GREEN(28, 150, 62),
  BLUE(46, 96, 240),
  YELLOW(246, 222, 50),
  ORANGE(246, 136, 24),
  PURPLE(150, 58, 204),
  WHITE(248, 248, 248),
  CYAN(48, 210, 226),
  PINK(250, 150, 196),
  BROWN(138, 80, 38),
  LIME(172, 246, 64),
  NAVY(22, 34, 136);

  private final int red;
  private final int green;
  private final int blue;

  Colour(int red, int green, int blue) {
    this.red = red;
    this.green = green;
    this.blue = blue;
  }

  /** Channel 0 (red), 1 (green) or 2 (blue), 0 to 255. */
  int channel(int c) {
    return c == 0 ? red : c == 1 ? green : blue;
  }

  /** The word captions use. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Whether only drift streams show it. */
  public boolean heldBack() {
    return compareTo(PINK) >= 0;
  }
}
