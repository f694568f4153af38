package io.whetstream.model.onnx;

import io.whetstream.model.BadInputException;
import io.whetstream.model.lvlm.PromptTemplates;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How to score.
 *
 * @param device {@code cpu} or {@code gpu:N} (ONNX Runtime's CUDA provider)
 * @param threads threads of one call; 0 leaves it to ONNX Runtime (all cores). Callers times
 *     threads should equal the cores
 * @param int8 linear layers in 8-bit integers, symmetric per token; CPU only
 * @param maxBatch most rows computed at once
 * @param cache directory of exported graphs; null for {@code .whetstream/onnx} in the model
 *     directory
 * @param prompts prompts of the base model, and of adapters that do not bring their own
 */
public record ScorerOptions(
    String device, int threads, boolean int8, int maxBatch, Path cache, PromptTemplates prompts) {
  private static final Pattern DEVICE = Pattern.compile("cpu|gpu:(\\d{1,3})");

  public ScorerOptions {
    if (!DEVICE.matcher(device).matches()) {
      throw new BadInputException(
          "scoring device '" + device + "' is not known; use cpu or gpu:N, for example gpu:0");
    }
    if (int8 && !device.equals("cpu")) {
      throw new BadInputException("int8 scoring runs on the CPU only, not on " + device);
    }
    if (threads < 0) {
      throw new BadInputException("scoring threads must be 0 or more, not " + threads);
    }
    if (maxBatch < 1 || maxBatch > 4096) {
      throw new BadInputException("scoring batch must be between 1 and 4096, not " + maxBatch);
    }
  }

  /** CPU, ONNX Runtime's choice of threads, 32 bit, batches of 32. */
  public static ScorerOptions defaults() {
    return new ScorerOptions("cpu", 0, false, 32, null, PromptTemplates.defaults());
  }

  public ScorerOptions withDevice(String value) {
    return new ScorerOptions(value, threads, int8, maxBatch, cache, prompts);
  }

  public ScorerOptions withThreads(int value) {
    return new ScorerOptions(device, value, int8, maxBatch, cache, prompts);
  }

  public ScorerOptions withInt8(boolean value) {
    return new ScorerOptions(device, threads, value, maxBatch, cache, prompts);
  }

  public ScorerOptions withMaxBatch(int value) {
    return new ScorerOptions(device, threads, int8, value, cache, prompts);
  }

  public ScorerOptions withCache(Path value) {
    return new ScorerOptions(device, threads, int8, maxBatch, value, prompts);
  }

  public ScorerOptions withPrompts(PromptTemplates value) {
    return new ScorerOptions(device, threads, int8, maxBatch, cache, value);
  }

  /** The GPU's number, or -1 for the CPU. */
  int gpu() {
    Matcher matcher = DEVICE.matcher(device);
    return matcher.matches() && matcher.group(1) != null ? Integer.parseInt(matcher.group(1)) : -1;
  }
}
