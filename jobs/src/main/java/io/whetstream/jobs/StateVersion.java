package io.whetstream.jobs;

import io.whetstream.model.BadInputException;
import org.apache.flink.runtime.execution.SuppressRestartsException;

/** The version at the head of what a job keeps in its state. */
public final class StateVersion {
  private StateVersion() {}

  /**
   * Refuses state of a version that is not known, once: another attempt would fail the same way.
   *
   * @param what was read, for the message
   * @param written the version found
   * @throws SuppressRestartsException with the remedy, if it is not within the bounds
   */
  public static void require(String what, int written, int oldest, int newest) {
    if (written < oldest || written > newest) {
      throw new SuppressRestartsException(
          new BadInputException(
              what
                  + " has version "
                  + written
                  + ", this release reads "
                  + (oldest == newest ? newest : oldest + " to " + newest)
                  + "; restore with the release that wrote it"));
    }
  }
}
