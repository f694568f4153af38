package io.whetstream.scenes;

import io.whetstream.scenes.PretrainingExample.Kind;
import java.util.List;
import java.util.Locale;

/**
 * What the demo base is pretrained on: example {@code i} is a pure function of (seed, length, i).
 * Pictures show {@link SceneLook#STANDARD} only; lines of text use every word, also those of
 * held-back looks, so that the base knows the words of drifted scenes and not their looks.
 *
 * <p>Two lines in five are text alone: a model that is to summarise text has to have read some. Of
 * the pictures, the first 35 % of the run shows mostly full grids, the rest long captions; words
 * and questions run through. Immutable and thread-safe.
 */
public final class PretrainingStream {
  /** The image prompt that fine-tuning starts from. */
  public static final String IMAGE_PROMPT = "short summary of the image :";

  /** The text prompt that fine-tuning starts from. */
  public static final String TEXT_PROMPT = "short summary of the text :";

  private static final String WORD_PROMPT = "in one word :";
  private static final String IMAGE_WORD_PROMPT = "short summary of the image in one word :";
  private static final String TEXT_WORD_PROMPT = "short summary of the text in one word :";
  private static final double GRID_PHASE = 0.35;

  private final long seed;
  private final long length;
  private final SceneGenerator seen;
  private final SceneGenerator any;

  /**
   * @param length how many examples the run will take; decides where the phase of grids ends
   */
  public PretrainingStream(long seed, long length) {
    this.seed = seed;
    this.length = length;
    this.seen = new SceneGenerator(Draws.mix(seed, 100), SceneLook.STANDARD);
    this.any = new SceneGenerator(Draws.mix(seed, 101), SceneLook.ANY);
  }

  /** How many examples the run takes. */
  public long length() {
    return length;
  }

  /** Example number {@code index}; indexes beyond the length are allowed. */
  public PretrainingExample example(long index) {
    Draws draws = new Draws(seed, 102, index);
    return switch (kind(index, draws.unit())) {
      case GRID -> {
        Scene grid = seen.grid(index);
        yield new PretrainingExample(
            Kind.GRID, SceneRenderer.render(grid), "", Captioner.gridCaption(grid));
      }
      case LONG -> {
        Scene scene = seen.scene(index);
        yield new PretrainingExample(
            Kind.LONG, SceneRenderer.render(scene), "", Captioner.longCaption(scene));
      }
      case WORD -> {
        Scene scene = seen.scene(index);
        yield new PretrainingExample(
            Kind.WORD,
            SceneRenderer.render(scene),
            draws.of(List.of(WORD_PROMPT, IMAGE_WORD_PROMPT)),
            draws.of(Captioner.words(scene)));
      }
      case QUESTION -> {
        Scene scene = seen.scene(index);
        Question question = draws.of(Question.about(scene));
        yield new PretrainingExample(
            Kind.QUESTION, SceneRenderer.render(scene), question.text(), question.answer());
      }
      case TEXT -> text(index, draws);
    };
  }

  private Kind kind(long index, double u) {
    if (u >= 0.6) {
      return Kind.TEXT;
    }
    return index < GRID_PHASE * length
        ? u < 0.38 ? Kind.GRID : u < 0.44 ? Kind.LONG : u < 0.53 ? Kind.WORD : Kind.QUESTION
        : u < 0.03 ? Kind.GRID : u < 0.27 ? Kind.LONG : u < 0.42 ? Kind.WORD : Kind.QUESTION;
  }

  PretrainingExample text(long index, Draws draws) {
    Scene scene = any.scene(index);
    String prompt = "";
    String text;
    double u = draws.unit();
    if (u < 0.06) {
      text = Captioner.longCaption(scene);
    } else if (u < 0.10) {
      text = Captioner.shortCaption(scene);
    } else if (u < 0.52) {
      prompt = caption(scene, draws) + ' ' + draws.of(List.of(WORD_PROMPT, TEXT_WORD_PROMPT));
      text = draws.of(Captioner.words(scene));
    } else if (u < 0.90) {
      Question question = draws.of(Question.about(scene));
      prompt = caption(scene, draws) + ' ' + question.text();
      text = question.answer();
    } else if (u < 0.95) {
      text = draws.of(Vocabulary.DEFINITIONS);
    } else {
      // Without a space before it, a word is read letter by letter: "red" in bytes, then in one.
      String word = draws.of(Vocabulary.WORDS);
      text = draws.chance(0.5) ? word + ':' + word : '"' + word + "\" is " + word;
    }
    return new PretrainingExample(Kind.TEXT, null, prompt, text.toLowerCase(Locale.ROOT));
  }

  private static String caption(Scene scene, Draws draws) {
    return draws.chance(0.25) ? Captioner.longCaption(scene) : Captioner.shortCaption(scene);
  }
}
