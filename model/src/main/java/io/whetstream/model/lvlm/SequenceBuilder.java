package io.whetstream.model.lvlm;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.text.TextTokenizer;
import java.util.Arrays;
import java.util.stream.LongStream;

/**
 * Builds the rows that both engines read. A row is BOS, then the template; the image token id
 * stands once per image feature; {@code -(k+1)} stands for soft vector k of the row's side. The
 * embedding is read at the last position. Thread-safe.
 */
public final class SequenceBuilder {
  private final ModelConfig config;
  private final PromptTemplates templates;
  private final Side image;
  private final Side text;

  /** Ids of one template: before and after its slot, the soft words, after them. */
  private record Side(long[] before, long[] between, long[] words, long[] after, int soft) {}

  /**
   * @param softImage number of soft vectors on the image side; 0 leaves the words
   * @param softText the same on the text side
   */
  public SequenceBuilder(
      TextTokenizer tokenizer,
      ModelConfig config,
      PromptTemplates templates,
      int softImage,
      int softText) {
    this.config = config;
    this.templates = templates;
    image = side(tokenizer, templates.imageParts(), "<image>", softImage);
    text = side(tokenizer, templates.textParts(), "<text>", softText);
  }

  private static Side side(
      TextTokenizer tokenizer, PromptTemplates.Parts parts, String slot, int soft) {
    if (soft < 0) {
      throw new BadInputException("the number of soft vectors must be 0 or more, not " + soft);
    }
    int at = parts.before().indexOf(slot);
    return new Side(
        ids(tokenizer, parts.before().substring(0, at)),
        ids(tokenizer, parts.before().substring(at + slot.length())),
        ids(tokenizer, parts.soft()),
        ids(tokenizer, parts.after()),
        soft);
  }

  private static long[] ids(TextTokenizer tokenizer, String words) {
    return words.isBlank() ? new long[0] : tokenizer.encodePrompt(words);
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

  /** BOS, image tokens, image prompt. With {@code soft} false the prompt is its words. */
  public long[] imageRow(ImageGeometry picture, boolean soft) {
    long[] slot = new long[picture.tokens()];
    Arrays.fill(slot, config.imageTokenId());
    return row(image, slot, soft);
  }

  /**
   * BOS, caption, text prompt.
   *
   * @param caption token ids without special tokens; cut at the end when the row would be longer
   *     than the model's positions (see {@link #maxCaption})
   * @throws BadInputException if the caption holds the image token
   */
  public long[] textRow(long[] caption, boolean soft) {
    return row(text, cut(caption, maxCaption(soft)), soft);
  }

  /** The longest caption, in tokens, that a text row holds uncut. */
  public int maxCaption(boolean soft) {
    return config.text().maxPositions() - row(text, new long[0], soft).length;
  }

  /** The longest long caption, in tokens, that {@link #nextTokenRow} holds uncut. */
  public int maxLongCaption(ImageGeometry picture, boolean soft) {
    return config.text().maxPositions() - imageRow(picture, soft).length - 1;
  }

  /**
   * The image row followed by a long caption and EOS, for the next-token loss; its first {@code
   * imageRow(picture, soft).length} positions are the image row, so one forward gives embedding and
   * loss.
   *
   * @throws BadInputException if the caption holds the image token
   */
  public long[] nextTokenRow(ImageGeometry picture, long[] caption, boolean soft) {
    long[] kept = cut(caption, maxLongCaption(picture, soft));
    return concat(imageRow(picture, soft), kept, new long[] {config.text().eosTokenId()});
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
    long[] prompt =
        soft && side.soft() > 0
            ? LongStream.range(0, side.soft()).map(k -> -(k + 1)).toArray()
            : side.words();
    return concat(
        new long[] {config.text().bosTokenId()},
        side.before(),
        slot,
        side.between(),
        prompt,
        side.after());
  }

  private static long[] concat(long[]... parts) {
    return Arrays.stream(parts).flatMapToLong(Arrays::stream).toArray();
  }
}
