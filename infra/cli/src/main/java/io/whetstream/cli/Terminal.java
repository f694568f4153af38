package io.whetstream.cli;

import java.io.Console;

/** Whether a person looks at what this process writes. */
final class Terminal {
  private Terminal() {}

  /**
   * Whether standard input and output are a terminal. From JDK 22 on {@link System#console} is
   * there without one too, and says so itself.
   */
  static boolean attached() {
    return isTerminal(System.console());
  }

  static boolean isTerminal(Console console) {
    if (console == null) {
      return false;
    }
    try {
      return (Boolean) Console.class.getMethod("isTerminal").invoke(console);
    } catch (NoSuchMethodException e) {
      return true;
    } catch (ReflectiveOperationException e) {
      return false;
    }
  }
}
