package io.whetstream.model.onnx;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.sun.jna.NativeLibrary;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class OnnxRuntimeTest {
  /** Runs in a process whose environment says nothing about usage data. */
  static final class Child {
    private Child() {}

    public static void main(String[] args) {
      System.out.println(seenByNativeCode());
      String version = OnnxRuntime.environment().getVersion();
      System.out.println(version.isEmpty() ? "no version" : seenByNativeCode());
    }

    private static String seenByNativeCode() {
      return NativeLibrary.getProcess()
          .getFunction("getenv")
          .invokeString(new Object[] {OnnxRuntime.SWITCH}, false);
    }
  }

  @Test
  void usageDataIsOffBeforeTheFirstUseInAProcessThatSaysNothing() throws Exception {
    ProcessBuilder builder =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-cp",
            System.getProperty("java.class.path"),
            Child.class.getName());
    builder.environment().remove(OnnxRuntime.SWITCH);
    builder.redirectError(ProcessBuilder.Redirect.DISCARD);
    Process child = builder.start();
    String text = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    child.waitFor(60, TimeUnit.SECONDS);
    assertEquals("null\n1\n", text);
    assertEquals(0, child.exitValue());
  }
}
