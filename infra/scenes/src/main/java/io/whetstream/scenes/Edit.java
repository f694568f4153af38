package io.whetstream.scenes;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** One small change to a scene or to what is said of it. */
public enum Edit {
  SWAP_COLOUR(Kind.SWAP),
  SWAP_SHAPE(Kind.SWAP),
  SWAP_RELATION(Kind.RELATION),
  REPLACE_RELATION(Kind.RELATION),
  REPLACE_COLOUR(Kind.REPLACE),
  REPLACE_SHAPE(Kind.REPLACE),
  REPLACE_ATTRIBUTE(Kind.REPLACE),
  ADD(Kind.ADD);

  /** The kinds by which compositional accuracy is reported. */
  public enum Kind {
    /** The same words, colours or shapes exchanged: a bag of words cannot tell. */
    SWAP,
    /** Another relation, or the same with its two shapes exchanged. */
    RELATION,
    /** Another colour, shape, size or fill. */
    REPLACE,
    /** One shape more than there is. */
    ADD;

    /** The name in files and reports. */
    public String word() {
      return name().toLowerCase(Locale.ROOT);
    }

    /** The edits of this kind. */
    public List<Edit> edits() {
      return Arrays.stream(Edit.values()).filter(e -> e.kind == this).toList();
    }
  }

  private final Kind kind;

  Edit(Kind kind) {
    this.kind = kind;
  }

  /** The kind it is reported under. */
  public Kind kind() {
    return kind;
  }
}
