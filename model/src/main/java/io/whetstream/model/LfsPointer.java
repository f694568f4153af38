package io.whetstream.model;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/** What Git leaves in the place of a large file that it has not fetched: three lines of text. */
public final class LfsPointer {
  private static final byte[] BEGINNING =
      "version https://git-lfs".getBytes(StandardCharsets.US_ASCII);

  /** Bytes of a file's beginning that tell. */
  public static final int LENGTH = BEGINNING.length;

  private LfsPointer() {}

  /**
   * Refuses a file that is one.
   *
   * @param beginning the file, or at least its first {@link #LENGTH} bytes if it has them
   */
  public static void refuse(Path file, byte[] beginning) {
    if (beginning.length >= LENGTH && Arrays.equals(beginning, 0, LENGTH, BEGINNING, 0, LENGTH)) {
      throw new BadInputException(
          file
              + ": a Git LFS pointer, not the file itself; fetch it with 'git lfs pull' in the"
              + " model's directory");
    }
  }
}
