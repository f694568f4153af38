package io.whetstream.model.onnx;

import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoraAdapter;
import ai.onnxruntime.OrtSession;
import io.whetstream.model.adapter.AdapterConfig;
import io.whetstream.model.adapter.AdapterWeights;
import io.whetstream.model.lvlm.SequenceBuilder;
import java.util.Map;

/**
 * A handle on an adapter that is ready for use: validated, converted and in native memory. Thread-
 * safe. Handles are counted: {@link Scorer#load} and {@link #retain} hand one out, {@link #close}
 * gives one back, and the native memory is freed with the last. A call of the scorer holds one for
 * as long as it runs.
 */
public final class ScorerAdapter implements AutoCloseable {
  /** What {@link #digest} says of the base model without an adapter. */
  public static final String BASE = "base";

  private final Engine engine;
  private final String digest;
  private final int softImage;
  private final int softText;
  private final SequenceBuilder sequences;
  private final OrtLoraAdapter adapter;
  private final OrtSession.RunOptions runOptions;
  private final References references;

  /**
   * @param weights null for the base
   * @param sequences null where the model directory has no tokenizer
   */
  ScorerAdapter(
      Engine engine,
      AdapterWeights weights,
      String digest,
      SequenceBuilder sequences,
      Runnable whenClosed) {
    this.engine = engine;
    this.digest = digest;
    AdapterConfig config = weights == null ? null : weights.config();
    softImage = config == null ? 0 : config.softImage();
    softText = config == null ? 0 : config.softText();
    this.sequences = sequences;
    Map<String, AdapterFile.Parameter> parameters =
        weights == null ? Map.of() : AdapterFile.parameters(weights, engine.int8());
    OrtLoraAdapter made = null;
    try {
      if (parameters.isEmpty()) {
        runOptions = null;
      } else {
        made = OrtLoraAdapter.create(AdapterFile.encode(parameters));
        runOptions = new OrtSession.RunOptions();
        runOptions.addActiveLoraAdapter(made);
      }
    } catch (OrtException e) {
      if (made != null) {
        made.close();
      }
      throw new IllegalStateException("ONNX Runtime refuses adapter " + digest, e);
    }
    adapter = made;
    engine.references().retain();
    references =
        new References(
            "adapter " + digest,
            () -> {
              whenClosed.run();
              if (adapter != null) {
                runOptions.close();
                adapter.close();
              }
              engine.references().release();
            });
  }

  /** Digest of the adapter, or {@link #BASE}. */
  public String digest() {
    return digest;
  }

  /** Whether this is the base model without an adapter. */
  public boolean isBase() {
    return digest.equals(BASE);
  }

  /** Number of soft vectors on the image side. */
  public int softImage() {
    return softImage;
  }

  /** Number of soft vectors on the text side. */
  public int softText() {
    return softText;
  }

  /**
   * One more handle on the same adapter.
   *
   * @throws IllegalStateException when the last handle has been closed
   */
  public ScorerAdapter retain() {
    references.retain();
    return this;
  }

  boolean tryRetain() {
    return references.tryRetain();
  }

  /** Gives this handle back. */
  @Override
  public void close() {
    references.release();
  }

  Engine engine() {
    return engine;
  }

  /** Null where the model directory has no tokenizer. */
  SequenceBuilder sequences() {
    return sequences;
  }

  /** Null where nothing is overridden. */
  OrtSession.RunOptions runOptions() {
    return runOptions;
  }

  @Override
  public String toString() {
    return "ScorerAdapter[" + digest + "]";
  }
}
