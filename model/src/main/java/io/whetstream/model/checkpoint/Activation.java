package io.whetstream.model.checkpoint;

import io.whetstream.model.BadInputException;
import java.util.Arrays;
import java.util.List;

/** What stands between two linear layers. */
public enum Activation {
  /** {@code x sigmoid(1.702 x)}, as CLIP has it. */
  QUICK_GELU("quick_gelu"),
  /** {@code x Phi(x)}, by the error function. */
  GELU("gelu"),
  /** The same by its approximation with a hyperbolic tangent. */
  GELU_TANH("gelu_pytorch_tanh", "gelu_new"),
  /** {@code x sigmoid(x)}. */
  SILU("silu", "swish"),
  RELU("relu");

  /** The slope in {@link #QUICK_GELU}. */
  public static final double QUICK_GELU_SLOPE = 1.702;

  private final List<String> names;

  Activation(String... names) {
    this.names = List.of(names);
  }

  /**
   * By Hugging Face's name.
   *
   * @throws BadInputException for one that is not supported
   */
  public static Activation of(String name) {
    return Arrays.stream(values())
        .filter(activation -> activation.names.contains(name))
        .findFirst()
        .orElseThrow(
            () ->
                new BadInputException(
                    "activation '"
                        + name
                        + "' is not supported; supported: "
                        + Arrays.stream(values())
                            .flatMap(activation -> activation.names.stream())
                            .toList()));
  }
}
