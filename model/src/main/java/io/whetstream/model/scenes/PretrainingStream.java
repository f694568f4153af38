package io.whetstream.model.scenes;

import io.whetstream.model.scenes.PretrainingExample.Kind;
import java.util.List;
import java.util.Locale;

/**
 * What the demo base is pretrained on: example {@code i} is a pure function of (seed, length, i).
 * Pictures show {@link SceneLook#STANDARD} only; lines of text use every word, also those of
 * held-back looks, so that the base knows the words of drifted scenes and not their looks.
 *
 * <p>The first 35 % is mostly full grids, the rest mostly long captions. Immutable and thread-safe.
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
      case TEXT -> text(index, draws);
    };
  }

  private Kind kind(long index, double u) {
    if (index < GRID_PHASE * length) {
      return u < 0.70 ? Kind.GRID : u < 0.78 ? Kind.LONG : u < 0.90 ? Kind.WORD : Kind.TEXT;
    }
    return u < 0.52 ? Kind.LONG : u < 0.58 ? Kind.GRID : u < 0.82 ? Kind.WORD : Kind.TEXT;
  }

  PretrainingExample text(long index, Draws draws) {
    Scene scene = any.scene(index);
    String prompt = "";
    String text;
    double u = draws.unit();
    if (u < 0.15) {
      text = Captioner.longCaption(scene);
    } else if (u < 0.30) {
      text = Captioner.shortCaption(scene);
    } else if (u < 0.85) {
      String caption = u < 0.55 ? Captioner.longCaption(scene) : Captioner.shortCaption(scene);
      prompt = caption + ' ' + draws.of(List.of(WORD_PROMPT, TEXT_WORD_PROMPT));
      text = draws.of(Captioner.words(scene));
    } else if (u < 0.94) {
      text = draws.of(Vocabulary.DEFINITIONS);
    } else {
      // Without a space before it, a word is read letter by letter: "red" in bytes, then in one.
      String word = draws.of(Vocabulary.WORDS);
      text = draws.chance(0.5) ? word + ':' + word : '"' + word + "\" is " + word;
    }
    return new PretrainingExample(Kind.TEXT, null, prompt, text.toLowerCase(Locale.ROOT));
  }
}
