package io.whetstream.scenes;

import java.util.Locale;

/** Size of a shape. */
public enum Size {
  /** Nearly fills its cell; short captions do not say it. */
  LARGE,
  /** About half as wide. */
  SMALL;

  /** The word captions use. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Whether short captions say it. */
  public boolean marked() {
    return this == SMALL;
  }
}
