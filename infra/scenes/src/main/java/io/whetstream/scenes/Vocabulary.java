package io.whetstream.scenes;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * The words that are one token each in the demo base's tokenizer. Everything else is spelled in
 * bytes.
 */
final class Vocabulary {
  /** A word of no caption, the word of captions it stands for. */
  private static final String[][] SYNONYMS = {
    {"tiny", "small"},
    {"big", "large"},
    {"filled", "solid"},
    {"outlined", "hollow"},
    {"spotted", "dotted"},
    {"crimson", "red"},
    {"emerald", "green"},
    {"azure", "blue"},
    {"golden", "yellow"},
    {"violet", "purple"},
    {"turquoise", "cyan"},
    {"gray", "grey"},
    {"disc", "circle"},
    {"box", "square"},
    {"plus", "cross"},
    {"crescent", "moon"},
    {"over", "above"},
    {"under", "below"},
    {"within", "inside"},
    {"center", "centre"},
    {"color", "colour"},
  };

  /** Lines that say what a word is, so that every word, drawn or not, has been read. */
  static final List<String> DEFINITIONS = definitions();

  /** All words, in the order of their token ids. */
  static final List<String> WORDS = words();

  /** Marks that are tokens with and without a space before them. */
  static final List<String> MARKS = List.of(".", ",", ":", "\"", "'", "-", "!", "?", "(", ")");

  private Vocabulary() {}

  private static List<String> words() {
    Set<String> words = new LinkedHashSet<>();
    for (Size v : Size.values()) {
      words.add(v.word());
    }
    for (Fill v : Fill.values()) {
      words.add(v.word());
    }
    for (Colour v : Colour.values()) {
      words.add(v.word());
    }
    for (Shape v : Shape.values()) {
      words.add(v.word());
    }
    for (Relation v : Relation.values()) {
      words.add(v.word());
    }
    for (Background v : Background.values()) {
      words.add(v.word());
    }
    words.addAll(
        List.of(
            ("a an the of on in and is its one two three shape shapes background fill colour form"
                    + " size relation top middle bottom centre grid short long summary image text"
                    + " word sentence picture caption describe summarise what this means like")
                .split(" ", -1)));
    for (String[] pair : SYNONYMS) {
      words.add(pair[0]);
    }
    return List.copyOf(words);
  }

  private static List<String> definitions() {
    List<String> lines = new ArrayList<>();
    for (Size v : Size.values()) {
      lines.add(v.word() + " is a size.");
    }
    for (Fill v : Fill.values()) {
      lines.add(v.word() + " is a fill.");
    }
    for (Colour v : Colour.values()) {
      lines.add(v.word() + " is a colour.");
    }
    for (Shape v : Shape.values()) {
      lines.add(v.word() + " is a shape.");
    }
    for (Relation v : Relation.values()) {
      lines.add(v.word() + " is a relation.");
    }
    for (Background v : Background.values()) {
      lines.add(v.word() + " is a background.");
    }
    for (String[] pair : SYNONYMS) {
      lines.add(pair[0] + " means " + pair[1] + '.');
      lines.add(pair[1] + " is like " + pair[0] + '.');
    }
    lines.add("describe this image in one short sentence.");
    lines.add("summarise the text in one word.");
    lines.add("an image is a picture. a sentence is a long text. a caption is a summary.");
    lines.add("what is this? a short caption of the picture.");
    return List.copyOf(lines);
  }
}
