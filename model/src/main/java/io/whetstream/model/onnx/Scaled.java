package io.whetstream.model.onnx;

/**
 * A matrix in a graph whose rows are still to be multiplied by a factor each, [.., 1], unless that
 * is null. In 8 bit each product leaves one, and each normalisation; where they are passed on the
 * matrix is written once less. In 32 bit there are none.
 */
record Scaled(String unscaled, String factor) {
  static Scaled of(String values) {
    return new Scaled(values, null);
  }
}
