package io.whetstream.model.lvlm;

import io.whetstream.model.BadInputException;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where and how the forward passes run.
 *
 * @param precision type of weights and activations
 * @param device {@code auto} (a GPU if there is one), {@code cpu} or {@code gpu:N}
 * @param threads threads of one matrix product on the CPU; 0 leaves libtorch's setting. The setting
 *     is of the process: slots times threads should equal the cores, more is several times slower.
 */
public record LvlmOptions(Precision precision, String device, int threads) {
  private static final Pattern DEVICE = Pattern.compile("auto|cpu|gpu:(\\d+)");

  public LvlmOptions {
    if (!DEVICE.matcher(device.toLowerCase(Locale.ROOT)).matches()) {
      throw new BadInputException(
          "device '" + device + "' is not known; use auto, cpu or gpu:N, for example gpu:0");
    }
    if (threads < 0) {
      throw new BadInputException("threads must be 0 (default) or positive, not " + threads);
    }
  }

  /** 32 bit on the CPU with libtorch's own number of threads. */
  public static LvlmOptions defaults() {
    return new LvlmOptions(Precision.FP32, "cpu", 0);
  }

  ai.djl.Device djlDevice(int gpus) {
    String name = device.toLowerCase(Locale.ROOT);
    if (name.equals("cpu") || (name.equals("auto") && gpus == 0)) {
      return ai.djl.Device.cpu();
    }
    Matcher matcher = DEVICE.matcher(name);
    int index =
        matcher.matches() && matcher.group(1) != null ? Integer.parseInt(matcher.group(1)) : 0;
    if (index >= gpus) {
      throw new BadInputException(
          "device "
              + device
              + " is not there: libtorch sees "
              + gpus
              + " GPU(s). Use --device cpu, or install the CUDA build of libtorch 2.7.1"
              + " (PYTORCH_LIBRARY_PATH, PYTORCH_FLAVOR=cu128)");
    }
    return ai.djl.Device.gpu(index);
  }
}
