package io.whetstream.jobs.score;

import io.whetstream.model.adapter.Calibration;

/**
 * An adapter that was read, verified and is ready to embed with.
 *
 * @param adapter belongs to the receiver, who closes it
 */
public record LoadedAdapter(
    AdapterVersion version, Embedder.Adapter adapter, Calibration calibration) {

  /**
   * Reads and verifies an adapter. May block; called off the processing thread.
   *
   * <p>Throws {@link io.whetstream.model.BadInputException} with the reason if the adapter cannot
   * be used.
   */
  public interface Loader {
    LoadedAdapter load(AdapterVersion wanted) throws Exception;
  }
}
