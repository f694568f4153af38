package io.whetstream.model.lvlm;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The slots of one weight list of the TorchScript passes in their order. Where a slot lies is said
 * here alone: scripts name places, which become indices when an archive is assembled.
 *
 * @param prefix what the scripts' names of these places begin with
 * @param before slots before the layers
 * @param layers the slots of each layer, alike in all
 * @param after slots behind the layers
 */
record WeightList(
    String prefix, List<WeightSlot> before, List<List<WeightSlot>> layers, List<WeightSlot> after) {

  /** All slots in order. */
  List<WeightSlot> slots() {
    List<WeightSlot> all = new ArrayList<>(before);
    layers.forEach(all::addAll);
    all.addAll(after);
    return all;
  }

  /** Index of a place outside the layers. */
  int index(String place) {
    List<WeightSlot> all = slots();
    for (int i = 0; i < all.size(); i++) {
      boolean outside = i < before.size() || i >= all.size() - after.size();
      if (outside && all.get(i).place().equals(place)) {
        return i;
      }
    }
    throw new IllegalArgumentException("no place " + place + " in list " + prefix);
  }

  /**
   * The indices by the scripts' names: {@code V_PATCHES} of a place outside the layers, {@code
   * V_QKV} of one within a layer, counted from its beginning, {@code V_LAYERS} of the first layer,
   * {@code V_STRIDE} from one layer to the next.
   */
  void addTo(Map<String, String> constants) {
    int stride = layers.isEmpty() ? 0 : layers.get(0).size();
    constants.put(prefix + "_LAYERS", Integer.toString(before.size()));
    constants.put(prefix + "_STRIDE", Integer.toString(stride));
    for (int i = 0; i < before.size(); i++) {
      add(constants, before.get(i), i);
    }
    for (int i = 0; i < stride; i++) {
      add(constants, layers.get(0).get(i), i);
    }
    for (int i = 0; i < after.size(); i++) {
      add(constants, after.get(i), before.size() + layers.size() * stride + i);
    }
  }

  private void add(Map<String, String> constants, WeightSlot slot, int index) {
    String name = prefix + '_' + slot.place().toUpperCase(java.util.Locale.ROOT);
    if (constants.put(name, Integer.toString(index)) != null) {
      throw new IllegalStateException("two places of list " + prefix + " are called " + name);
    }
  }
}
