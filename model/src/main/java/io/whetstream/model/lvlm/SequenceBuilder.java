package io.whetstream.model.lvlm;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.PromptEncoding;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.text.EncodedText;
import io.whetstream.model.text.TextTokenizer;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;

/**
 * Builds the rows that both engines read. A row is what the tokenizer makes of the template, BOS
 * first where it has one; the image token id stands once per image feature; {@code -(k+1)} stands
 * for soft vector k of the row's side. The embedding is read at the last position. Thread-safe.
 *
 * <p>Both sides are encoded as a whole, the image's placeholder or the caption in its place, so a
 * token may stand for the end of a caption and the beginning of what follows it. Soft vectors are
 * no text: what stands before them is encoded as if nothing followed, and what stands behind them
 * as the continuation of the words they replace.
 */
public final class SequenceBuilder {
  /** Captions to continue; with one of them the template's first word is a token of its own. */
  private static final String[] CAPTIONS = {"a", "x", "1", "\u00e9", "\u65e5", "#"};

  private final TextTokenizer tokenizer;
  private final ModelConfig config;
  private final PromptTemplates templates;
  private final Side image;
  private final Side text;
  private final PromptTemplates.Parts aroundCaption;

  /** Whether nothing stands between caption and soft words, not even the blank of a new word. */
  private final boolean wordsAtOnce;

  /**
   * Ids of one template before and behind its slot.
   *
   * @param wordsBegin where the soft words begin in {@code tail}
   * @param wordsEnd where they end
   */
  private record Side(long[] head, long[] tail, int wordsBegin, int wordsEnd, int soft) {
    long[] words() {
      return Arrays.copyOfRange(tail, wordsBegin, wordsEnd);
    }

    boolean sameIds(Side other) {
      return Arrays.equals(head, other.head)
          && Arrays.equals(tail, other.tail)
          && wordsBegin == other.wordsBegin
          && wordsEnd == other.wordsEnd;
    }
  }

  /**
   * @param softImage number of soft vectors on the image side; 0 leaves the words
   * @param softText the same on the text side
   * @throws BadInputException if the tokenizer and the model do not agree on the image's token
   */
  public SequenceBuilder(
      TextTokenizer tokenizer,
      ModelConfig config,
      PromptTemplates templates,
      int softImage,
      int softText) {
    this.tokenizer = tokenizer;
    this.config = config;
    this.templates = templates;
    if (softImage < 0 || softText < 0) {
      throw new BadInputException(
          "the number of soft vectors must be 0 or more, not " + Math.min(softImage, softText));
    }
    aroundCaption = withNewWord(templates.textParts());
    wordsAtOnce = templates.textParts().between().isEmpty();
    if (templates.encoding() == PromptEncoding.PIECES) {
      image = pieces(templates.imageParts(), softImage);
      text = pieces(templates.textParts(), softText);
    } else {
      image = imageSide(templates.imageParts(), softImage);
      text = textSide(aroundCaption, softText);
    }
  }

  /** The rows of an adapter, with its prompts and soft vectors. */
  public static SequenceBuilder of(
      TextTokenizer tokenizer, ModelConfig config, AdapterConfig adapter) {
    return new SequenceBuilder(
        tokenizer, config, PromptTemplates.of(adapter), adapter.softImage(), adapter.softText());
  }

  /**
   * The configuration for a new adapter: where both encodings make the same ids of its templates
   * and of every caption it is one of the first release's, which every reader knows and whose
   * digest stays what it was.
   */
  public static AdapterConfig settled(
      TextTokenizer tokenizer, ModelConfig config, AdapterConfig adapter) {
    AdapterConfig older = adapter.withPromptEncoding(PromptEncoding.PIECES);
    if (older.equals(adapter)) {
      return adapter;
    }
    SequenceBuilder now = of(tokenizer, config, adapter);
    SequenceBuilder then;
    try {
      then = of(tokenizer, config, older);
    } catch (BadInputException e) {
      return adapter; // With backslashes it is no template of the first release.
    }
    boolean same = now.image.sameIds(then.image) && now.text.sameIds(then.text);
    return same && now.captionStandsAlone(true) ? older : adapter;
  }

  /** Whether a caption's row has no other words that one of its tokens could reach into. */
  private boolean captionStandsAlone(boolean soft) {
    return aroundCaption.before().isEmpty() && wordsBehind(soft).isEmpty();
  }

  /** What is encoded together with a caption behind it. */
  private String wordsBehind(boolean soft) {
    return soft && text.soft() > 0 && wordsAtOnce
        ? ""
        : aroundCaption.between() + aroundCaption.soft() + aroundCaption.after();
  }

  private Side pieces(PromptTemplates.Parts parts, int soft) {
    long[] begin = {config.text().bosTokenId()};
    long[] between = ids(parts.between());
    long[] words = ids(parts.soft());
    return new Side(
        concat(begin, ids(parts.before())),
        concat(between, words, ids(parts.after())),
        between.length,
        between.length + words.length,
        soft);
  }

  private long[] ids(String words) {
    return words.isBlank() ? new long[0] : tokenizer.encodePrompt(words);
  }

  private Side imageSide(PromptTemplates.Parts parts, int soft) {
    String placeholder = tokenizer.decode(new long[] {config.imageTokenId()}, false);
    EncodedText encoded =
        tokenizer.encodeWithPlaces(
            parts.before() + placeholder + parts.between() + parts.soft() + parts.after());
    int at = -1;
    for (int i = 0; i < encoded.ids().length; i++) {
      if (encoded.ids()[i] == config.imageTokenId()) {
        if (at >= 0) {
          throw new BadInputException(
              "prompt template '" + templates.image() + "' must hold <image> once");
        }
        at = i;
      }
    }
    if (at < 0) {
      throw new BadInputException(
          "tokenizer.json does not make token "
              + config.imageTokenId()
              + ", which config.json says stands for an image, of '"
              + placeholder
              + "': they do not belong together");
    }
    return split(encoded, at, at + 1, length(parts.before() + placeholder), parts, soft);
  }

  /** A blank before a word that follows the slot at once. */
  private static PromptTemplates.Parts withNewWord(PromptTemplates.Parts parts) {
    return parts.newWord()
        ? new PromptTemplates.Parts(
            parts.before(), " " + parts.between(), parts.soft(), parts.after(), true)
        : parts;
  }

  /** The template as the continuation of a caption that none of its tokens joins with. */
  private Side textSide(PromptTemplates.Parts apart, int soft) {
    int begin = length(apart.before());
    for (String caption : CAPTIONS) {
      int end = begin + length(caption);
      EncodedText encoded =
          tokenizer.encodeWithPlaces(
              apart.before() + caption + apart.between() + apart.soft() + apart.after());
      int first = 0;
      while (encoded.begins()[first] < 0 || encoded.ends()[first] <= begin) {
        first++;
      }
      int last = first;
      while (last < encoded.ids().length
          && encoded.begins()[last] >= 0
          && encoded.begins()[last] < end) {
        last++;
      }
      if (encoded.ends()[last - 1] <= end) {
        return split(encoded, first, last, end, apart, soft);
      }
    }
    throw new BadInputException(
        "prompt template '"
            + templates.text()
            + "': the tokenizer joins every caption with what follows <text>; put a blank there");
  }

  /**
   * @param first the slot's first token
   * @param last the token behind its last
   * @param end the code point behind the slot
   */
  private static Side split(
      EncodedText encoded, int first, int last, int end, PromptTemplates.Parts parts, int soft) {
    int wordsBegin = end + length(parts.between());
    int wordsEnd = wordsBegin + length(parts.soft());
    int from = last;
    while (from < encoded.ids().length
        && encoded.begins()[from] >= 0
        && (parts.soft().isEmpty()
            ? encoded.begins()[from] < wordsBegin
            : encoded.ends()[from] <= wordsBegin)) {
      from++;
    }
    int to = from;
    while (to < encoded.ids().length
        && encoded.begins()[to] >= 0
        && encoded.begins()[to] < wordsEnd
        && !parts.soft().isEmpty()) {
      to++;
    }
    return new Side(
        Arrays.copyOf(encoded.ids(), first),
        Arrays.copyOfRange(encoded.ids(), last, encoded.ids().length),
        from - last,
        to - last,
        soft);
  }

  private static int length(String text) {
    return text.codePointCount(0, text.length());
  }

  public PromptTemplates templates() {
    return templates;
  }

  /** Ids of the words that the image side's soft vectors start from. */
  public long[] imageWords() {
    return image.words().clone();
  }

  /** Ids of the words that the text side's soft vectors start from. */
  public long[] textWords() {
    return text.words().clone();
  }

  /**
   * What comes before the image, image tokens, image prompt. With {@code soft} false the prompt is
   * its words.
   */
  public long[] imageRow(ImageGeometry picture, boolean soft) {
    return imageRow(List.of(picture), soft);
  }

  /** The same of several pictures, one after another in the place of one. */
  public long[] imageRow(List<ImageGeometry> pictures, boolean soft) {
    long[] slot =
        pictures.stream().flatMapToLong(picture -> Arrays.stream(imageSlot(picture))).toArray();
    return row(image, slot, soft);
  }

  /**
   * The ids that stand for a picture where its placeholder stood. Special tokens at both ends keep
   * them from joining with the text around, so the template is encoded without them.
   */
  private long[] imageSlot(ImageGeometry picture) {
    long image = config.imageTokenId();
    String token = tokenizer.decode(new long[] {image}, false);
    String markup = config.markup().of(picture.rows(), picture.columns(), token);
    long[] ids = markup.equals(token) ? new long[] {image} : tokenizer.encodePrompt(markup);
    long places = Arrays.stream(ids).filter(id -> id == image).count();
    if (places == 0 || picture.tokens() % places != 0) {
      throw new BadInputException(
          "tokenizer.json makes "
              + places
              + " image tokens of '"
              + markup
              + "', for a picture of "
              + picture.tokens()
              + ": it does not belong to the model");
    }
    long each = picture.tokens() / places;
    return Arrays.stream(ids)
        .flatMap(id -> LongStream.generate(() -> id).limit(id == image ? each : 1))
        .toArray();
  }

  /**
   * What comes before the caption, caption, text prompt.
   *
   * @param caption token ids without special tokens; cut at the end when the row would be longer
   *     than the model's positions (see {@link #maxCaption})
   * @throws BadInputException if the caption holds the image token
   */
  public long[] textRow(long[] caption, boolean soft) {
    long[] kept = cut(caption, maxCaption(soft));
    long[] apart = row(text, kept, soft);
    if (templates.encoding() == PromptEncoding.PIECES
        || kept.length == 0
        || captionStandsAlone(soft)) {
      return apart;
    }
    String words = tokenizer.decode(kept, false);
    long[] whole = wholeRow(words, soft);
    // A caption that is cut within a character or spells a special token's name stays what it is.
    return whole == null
            || Arrays.equals(whole, apart)
            || whole.length > config.text().maxPositions()
            || !Arrays.equals(tokenizer.encodePrompt(words), kept)
        ? apart
        : whole;
  }

  /** The row encoded as one text, or null where a token joins the caption with soft words. */
  private long[] wholeRow(String caption, boolean soft) {
    String behind = wordsBehind(soft);
    EncodedText encoded = tokenizer.encodeWithPlaces(aroundCaption.before() + caption + behind);
    if (!soft || text.soft() == 0) {
      return encoded.ids();
    }
    int first = 0;
    while (first < encoded.ids().length && encoded.begins()[first] < 0) {
      first++;
    }
    int end = length(aroundCaption.before() + caption);
    int last = first;
    while (last < encoded.ids().length && encoded.begins()[last] >= 0) {
      if (encoded.begins()[last] < end
          && encoded.ends()[last] > end + length(aroundCaption.between())) {
        return null;
      }
      last++;
    }
    if (!behind.isEmpty()) {
      Side all = split(encoded, first, first, end, aroundCaption, text.soft());
      return row(all, new long[0], true);
    }
    return concat(
        Arrays.copyOf(encoded.ids(), last),
        vectors(text),
        Arrays.copyOfRange(text.tail(), text.wordsEnd(), text.tail().length));
  }

  /** The longest caption, in tokens, that a text row holds uncut. */
  public int maxCaption(boolean soft) {
    return config.text().maxPositions() - row(text, new long[0], soft).length;
  }

  /** The longest long caption, in tokens, that {@link #nextTokenRow} holds uncut. */
  public int maxLongCaption(ImageGeometry picture, boolean soft) {
    return maxLongCaption(List.of(picture), soft);
  }

  private int maxLongCaption(List<ImageGeometry> pictures, boolean soft) {
    return config.text().maxPositions() - imageRow(pictures, soft).length - 1;
  }

  /**
   * The image row followed by a long caption and, unless that is cut, EOS, for the next-token loss;
   * its first {@code imageRow(picture, soft).length} positions are the image row, so one forward
   * gives embedding and loss.
   *
   * @throws BadInputException if the caption holds the image token
   */
  public long[] nextTokenRow(ImageGeometry picture, long[] caption, boolean soft) {
    return nextTokenRow(List.of(picture), caption, soft);
  }

  /** The same of several pictures. */
  public long[] nextTokenRow(List<ImageGeometry> pictures, long[] caption, boolean soft) {
    long[] kept = cut(caption, maxLongCaption(pictures, soft));
    long[] end = kept.length < caption.length ? new long[0] : eos();
    return concat(imageRow(pictures, soft), kept, end);
  }

  private long[] eos() {
    int eos = config.text().eosTokenId() >= 0 ? config.text().eosTokenId() : tokenizer.eosId();
    return eos >= 0 ? new long[] {eos} : new long[0];
  }

  private long[] cut(long[] caption, int room) {
    for (long id : caption) {
      if (id == config.imageTokenId()) {
        throw new BadInputException(
            "a caption holds token "
                + id
                + ", which stands for an image: encode captions with TextTokenizer.encode");
      }
    }
    return caption.length > room ? Arrays.copyOf(caption, room) : caption;
  }

  private long[] row(Side side, long[] slot, boolean soft) {
    long[] prompt = soft && side.soft() > 0 ? vectors(side) : side.words();
    return concat(
        side.head(),
        slot,
        Arrays.copyOf(side.tail(), side.wordsBegin()),
        prompt,
        Arrays.copyOfRange(side.tail(), side.wordsEnd(), side.tail().length));
  }

  private static long[] vectors(Side side) {
    return LongStream.range(0, side.soft()).map(k -> -(k + 1)).toArray();
  }

  private static long[] concat(long[]... parts) {
    return Arrays.stream(parts).flatMapToLong(Arrays::stream).toArray();
  }
}
