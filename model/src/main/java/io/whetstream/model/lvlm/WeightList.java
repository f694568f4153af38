package io.whetstream.model.lvlm;

import java.util.ArrayList;
import java.util.List;

/**
 * The slots of one weight list of the TorchScript passes in their order.
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

  /** Where they lie. */
  Places places() {
    return new Places(
        prefix,
        names(before),
        layers.isEmpty() ? List.of() : names(layers.get(0)),
        layers.size(),
        names(after));
  }

  private static List<String> names(List<WeightSlot> slots) {
    return slots.stream().map(WeightSlot::place).toList();
  }
}
