package io.whetstream.model;

import io.whetstream.model.checkpoint.SafeTensors;
import java.nio.file.Path;

/**
 * Patches of still pictures for recorded patches of two frames. A processor gives a picture's two
 * frames the same pixels; where a record has two different ones, the still patch with the same
 * embedding stands for them, so that all that follows can be compared.
 */
final class StillPatches {
  private final double[][] first;
  private final double[][] second;
  private final double[][] factor;

  private StillPatches(double[][] first, double[][] second) {
    this.first = first;
    this.second = second;
    factor = new double[first.length][first.length];
    // Cholesky's decomposition of K K^T, where K is the sum of both frames' kernels.
    for (int i = 0; i < factor.length; i++) {
      for (int j = 0; j <= i; j++) {
        double sum = 0;
        for (int k = 0; k < first[0].length; k++) {
          sum += kernel(i, k) * kernel(j, k);
        }
        for (int k = 0; k < j; k++) {
          sum -= factor[i][k] * factor[j][k];
        }
        factor[i][j] = i == j ? Math.sqrt(sum) : sum / factor[j][j];
      }
    }
  }

  private double kernel(int output, int input) {
    return first[output][input] + second[output][input];
  }

  /** Those of a model directory, whose patch embedding is a kernel [E, 3, 2, p, p]. */
  static StillPatches of(Path directory) {
    try (SafeTensors weights = SafeTensors.open(directory.resolve("model.safetensors"))) {
      String name =
          weights.tensors().keySet().stream()
              .filter(key -> key.endsWith("patch_embed.proj.weight"))
              .findFirst()
              .orElseThrow();
      long[] shape = weights.info(name).shape();
      float[] values = weights.floats(name);
      int outputs = (int) shape[0];
      int plane = (int) (shape[3] * shape[4]);
      double[][][] frames = new double[2][outputs][3 * plane];
      for (int i = 0; i < values.length; i++) {
        int input = i / plane % 6;
        frames[input % 2][i / plane / 6][input / 2 * plane + i % plane] = values[i];
      }
      return new StillPatches(frames[0], frames[1]);
    }
  }

  /**
   * A patch [3, p, p] whose embedding as a still picture is that of the frames [3, 2, p, p]; of
   * equal frames, one of them.
   */
  float[] patch(float[] frames) {
    int inputs = first[0].length;
    int plane = inputs / 3;
    double[] one = new double[inputs];
    double[] other = new double[inputs];
    double[] mean = new double[inputs];
    for (int i = 0; i < inputs; i++) {
      one[i] = frames[2 * (i / plane) * plane + i % plane];
      other[i] = frames[(2 * (i / plane) + 1) * plane + i % plane];
      mean[i] = (one[i] + other[i]) / 2;
    }
    // The smallest change of the frames' mean: K^T (K K^T)^-1 of what its embedding lacks.
    double[] lacking = new double[first.length];
    for (int i = 0; i < lacking.length; i++) {
      for (int k = 0; k < inputs; k++) {
        lacking[i] += first[i][k] * one[k] + second[i][k] * other[k] - kernel(i, k) * mean[k];
      }
      for (int k = 0; k < i; k++) {
        lacking[i] -= factor[i][k] * lacking[k];
      }
      lacking[i] /= factor[i][i];
    }
    for (int i = lacking.length - 1; i >= 0; i--) {
      for (int k = i + 1; k < lacking.length; k++) {
        lacking[i] -= factor[k][i] * lacking[k];
      }
      lacking[i] /= factor[i][i];
    }
    float[] still = new float[inputs];
    for (int k = 0; k < inputs; k++) {
      double change = 0;
      for (int i = 0; i < lacking.length; i++) {
        change += kernel(i, k) * lacking[i];
      }
      still[k] = (float) (mean[k] + change);
    }
    return still;
  }
}
