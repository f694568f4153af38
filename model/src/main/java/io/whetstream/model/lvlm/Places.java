package io.whetstream.model.lvlm;

import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Where things lie in a list of the TorchScript passes: said here alone. Scripts name places, which
 * become indices when an archive is assembled.
 *
 * @param prefix what the scripts' names of these places begin with
 * @param before places before the layers
 * @param layer places of one layer, alike in all
 * @param layers how many layers there are
 * @param after places behind them
 */
record Places(
    String prefix, List<String> before, List<String> layer, int layers, List<String> after) {

  /** Index of a place outside the layers. */
  int index(String place) {
    if (before.contains(place)) {
      return before.indexOf(place);
    }
    if (after.contains(place)) {
      return before.size() + layers * layer.size() + after.indexOf(place);
    }
    throw new IllegalArgumentException("no place " + place + " in list " + prefix);
  }

  /**
   * The indices by the scripts' names: {@code V_PATCHES} of a place outside the layers, {@code
   * V_QKV} of one within a layer, counted from its beginning, {@code V_LAYERS} of the first layer,
   * {@code V_STRIDE} from one layer to the next.
   */
  void addTo(Map<String, String> constants) {
    add(constants, "layers", before.size());
    add(constants, "stride", layers == 0 ? 0 : layer.size());
    before.forEach(place -> add(constants, place, index(place)));
    for (int i = 0; i < layer.size(); i++) {
      add(constants, layer.get(i), i);
    }
    after.forEach(place -> add(constants, place, index(place)));
  }

  private void add(Map<String, String> constants, String place, int index) {
    String name = prefix + '_' + place.toUpperCase(Locale.ROOT);
    if (constants.put(name, Integer.toString(index)) != null) {
      throw new IllegalStateException("two places of list " + prefix + " are called " + name);
    }
  }
}
