package io.whetstream.model.onnx;

import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtLoggingLevel;
import com.sun.jna.NativeLibrary;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The one door to ONNX Runtime. Its native library sends usage data to its maker unless the
 * process's environment says otherwise, and where it cannot, it has been seen to end the process
 * with a segmentation fault. So before its first use the environment is made to say otherwise, also
 * in a process that others start, such as a Flink TaskManager.
 */
public final class OnnxRuntime {
  static final String SWITCH = "ORT_DISABLE_TELEMETRY";

  private static final Logger LOG = LoggerFactory.getLogger(OnnxRuntime.class);

  private OnnxRuntime() {}

  /** The environment of this process, usage data off, log level ERROR. Safe from any thread. */
  public static OrtEnvironment environment() {
    return Holder.ENVIRONMENT;
  }

  /** Created once, when first asked for. */
  private static final class Holder {
    static final OrtEnvironment ENVIRONMENT = create();

    private static OrtEnvironment create() {
      silence();
      // Each overridable initializer is a warning, so the level comes first.
      return OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR, "whetstream");
    }
  }

  /** Sets the variable where native code sees it: Java's own view of the environment is a copy. */
  static void silence() {
    if (System.getenv(SWITCH) != null) {
      return;
    }
    try {
      NativeLibrary.getProcess().getFunction("setenv").invokeInt(new Object[] {SWITCH, "1", 0});
    } catch (RuntimeException | LinkageError e) {
      LOG.warn("cannot set {}=1: set it in the environment of this process", SWITCH, e);
    }
  }
}
