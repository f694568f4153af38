package io.whetstream.model.pairs;

import java.util.List;

/**
 * One line of a file of compositional items: a picture, its caption, and captions made false by an
 * edit.
 *
 * @param image a file, resolved against the items file's directory, or the picture itself
 * @param positive what is true of the picture
 * @param negatives what is not; at least one
 * @param kind what was edited, for example {@code swap}
 * @param line number in the file, from 1
 */
public record CompositionalQuestion(
    LineImage image, String positive, List<String> negatives, String kind, int line) {
  public CompositionalQuestion {
    negatives = List.copyOf(negatives);
  }
}
