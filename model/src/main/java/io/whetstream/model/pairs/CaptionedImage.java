package io.whetstream.model.pairs;

import java.util.List;

/**
 * One line of a pairs file.
 *
 * @param id the pair's id
 * @param image a file, resolved against the pairs file's directory, or the picture itself
 * @param caption the short caption: the first of {@code captions} where the line has only those;
 *     null if there is none
 * @param captionLong the long caption, or null
 * @param captions all short captions, {@code caption} among them; empty if there is none
 * @param group what rows that show the same thing share, or null
 * @param line number in the file, from 1
 */
public record CaptionedImage(
    String id,
    LineImage image,
    String caption,
    String captionLong,
    List<String> captions,
    String group,
    int line) {
  public CaptionedImage {
    captions = List.copyOf(captions);
  }
}
