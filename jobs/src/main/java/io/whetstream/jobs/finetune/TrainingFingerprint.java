package io.whetstream.jobs.finetune;

import io.whetstream.jobs.config.ConfigLoader;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The settings under which optimizer moments and ledger make sense, as text in the trainer's state:
 * one {@code key: value} per line.
 */
final class TrainingFingerprint {
  private TrainingFingerprint() {}

  /** The settings that a restored state must have been written under. */
  record Settings(
      FineTuneConfig.AdapterSettings adapter,
      FineTuneConfig.Training training,
      double heldOutShare) {}

  static String of(FineTuneConfig config) {
    Map<String, String> values = values(config);
    StringBuilder text = new StringBuilder();
    values.forEach((key, value) -> text.append(key).append(": ").append(value).append('\n'));
    return text.toString();
  }

  /**
   * The keys whose values differ, with both values; empty if none does. What an earlier release did
   * not know as a setting, it did as the setting's default does: so must be the default of a new
   * one.
   */
  static String difference(String written, FineTuneConfig config) {
    Map<String, String> defaults = values(FineTuneConfig.defaults());
    Map<String, String> before = new LinkedHashMap<>();
    for (String line : written.split("\n")) {
      int colon = line.indexOf(": ");
      before.put(line.substring(0, colon), line.substring(colon + 2));
    }
    List<String> differences = new ArrayList<>();
    values(config)
        .forEach(
            (key, value) -> {
              String old = before.getOrDefault(key, defaults.get(key));
              if (!old.equals(value)) {
                differences.add(key + " was " + old + ", is " + value);
              }
            });
    return String.join("; ", differences);
  }

  /** All these settings by key. */
  static Map<String, String> values(FineTuneConfig config) {
    Map<String, String> values = new LinkedHashMap<>();
    ConfigLoader.flatten(
            new Settings(config.adapter(), config.training(), config.heldOut().share()))
        .forEach(values::put);
    values.put("heldOut.share", values.remove("heldOutShare"));
    // None of these changes what a step computes.
    values.remove("training.chunk");
    values.remove("training.resetOptimizer");
    values.remove("training.whenBehind");
    values.remove("training.maxLag");
    // The trainer's own state tells whether the prompts are other ones; most are the same in both.
    values.remove("adapter.promptEncoding");
    return values;
  }
}
