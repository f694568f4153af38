package io.whetstream.model.checkpoint;

import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.IntBuffer;
import java.nio.ShortBuffer;

/** Conversions between the 16-bit floating-point types and {@code float}. */
final class Floats {
  private Floats() {}

  /** Whether no value is NaN or infinite: its exponent bits are not all ones. */
  static boolean allFinite(DType dtype, ByteBuffer bytes) {
    switch (dtype) {
      case F32 -> {
        IntBuffer values = bytes.asIntBuffer();
        while (values.hasRemaining()) {
          if ((values.get() & 0x7f800000) == 0x7f800000) {
            return false;
          }
        }
      }
      case F16, BF16 -> {
        int exponent = dtype == DType.F16 ? 0x7c00 : 0x7f80;
        ShortBuffer values = bytes.asShortBuffer();
        while (values.hasRemaining()) {
          if ((values.get() & exponent) == exponent) {
            return false;
          }
        }
      }
      case F64 -> {
        DoubleBuffer values = bytes.asDoubleBuffer();
        while (values.hasRemaining()) {
          // As the models take it: a double beyond a float's range is infinite there.
          if (!Float.isFinite((float) values.get())) {
            return false;
          }
        }
      }
      default -> {
        return true;
      }
    }
    return true;
  }

  /** IEEE 754 binary16 to float, exact; subnormals, infinities and NaN included. */
  static float fromHalf(short bits) {
    int sign = (bits & 0x8000) << 16;
    int exponent = (bits >>> 10) & 0x1f;
    int mantissa = bits & 0x3ff;
    if (exponent == 0x1f) {
      return Float.intBitsToFloat(sign | 0x7f800000 | (mantissa << 13));
    }
    if (exponent == 0) {
      float magnitude = mantissa * 0x1p-24f;
      return sign == 0 ? magnitude : -magnitude;
    }
    return Float.intBitsToFloat(sign | ((exponent + 112) << 23) | (mantissa << 13));
  }

  /** float to binary16, to nearest, ties to even; too large becomes infinite. */
  static short toHalf(float value) {
    int bits = Float.floatToRawIntBits(value);
    int sign = (bits >>> 16) & 0x8000;
    int magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      return (short) (sign | 0x7e00);
    }
    if (magnitude >= 0x477ff000) {
      return (short) (sign | 0x7c00);
    }
    if (magnitude < 0x38800000) {
      // Below the smallest normal half: the float addition rounds to a multiple of 2^-24 for us.
      float shifted = Float.intBitsToFloat(magnitude) + 0.5f;
      return (short) (sign | (Float.floatToRawIntBits(shifted) - Float.floatToRawIntBits(0.5f)));
    }
    int rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
    return (short) (sign | ((rounded - (112 << 23)) >>> 13));
  }

  /** bfloat16 to float, exact. */
  static float fromBrain(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /** float to bfloat16, to nearest, ties to even. */
  static short toBrain(float value) {
    int bits = Float.floatToRawIntBits(value);
    if ((bits & 0x7fffffff) > 0x7f800000) {
      return (short) ((bits >>> 16) | 0x40);
    }
    return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }
}
