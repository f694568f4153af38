package io.whetstream.model.adapter;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.checkpoint.SafeTensorsWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** The files Hugging Face PEFT (0.13) reads and writes for LoRA and for prompt tuning. */
final class PeftLayout {
  static final String CONFIG = "adapter_config.json";
  static final String TENSORS = "adapter_model.safetensors";
  private static final String PROMPT = "prompt_embeddings";
  private static final ObjectMapper JSON = JsonMapper.builder().build();

  /** Keys that are read, and those that say nothing about what the adapter computes. */
  private static final Set<String> READ =
      Set.of(
          "auto_mapping",
          "base_model_name_or_path",
          "bias",
          "ensure_weight_tying",
          "inference_mode",
          "init_lora_weights",
          "lora_alpha",
          "lora_dropout",
          "megatron_core",
          "peft_type",
          "peft_version",
          "qalora_group_size",
          "r",
          "revision",
          "runtime_config",
          "target_modules",
          "task_type",
          "use_rslora");

  /** Kinds of initial values that leave the base's weights alone. */
  private static final Set<String> INITIAL = new TreeSet<>(Set.of("eva", "gaussian", "orthogonal"));

  private PeftLayout() {}

  private static boolean isNeutral(JsonNode value) {
    return value.isNull()
        || (value.isBoolean() && !value.asBoolean())
        || (value.isContainerNode() && value.isEmpty());
  }

  static byte[] loraConfig(AdapterWeights weights, String baseName, String root) {
    AdapterConfig config = weights.config();
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("alpha_pattern", Map.of());
    fields.put("auto_mapping", null);
    fields.put("base_model_name_or_path", baseName);
    fields.put("bias", "none");
    fields.put("fan_in_fan_out", false);
    fields.put("inference_mode", true);
    fields.put("init_lora_weights", true);
    fields.put("layer_replication", null);
    fields.put("layers_pattern", null);
    fields.put("layers_to_transform", null);
    fields.put("loftq_config", Map.of());
    fields.put("lora_alpha", number(config.alpha()));
    fields.put("lora_dropout", config.dropout());
    fields.put("megatron_config", null);
    fields.put("megatron_core", "megatron.core");
    fields.put("modules_to_save", null);
    fields.put("peft_type", "LORA");
    fields.put("r", config.rank());
    fields.put("rank_pattern", Map.of());
    fields.put("revision", null);
    fields.put("target_modules", targetModules(weights, root));
    fields.put("task_type", "CAUSAL_LM");
    fields.put("use_dora", false);
    fields.put("use_rslora", config.rsLora());
    return JsonLayout.of(fields).getBytes(StandardCharsets.UTF_8);
  }

  private static Object number(double value) {
    // A boxed choice, not ?: which would widen the integer back to a double.
    if (value == Math.rint(value) && Math.abs(value) < 1e9) {
      return (int) value;
    }
    return value;
  }

  /**
   * The expression that selects exactly the adapted modules under the names of the chosen layout. A
   * list of suffixes would also select the vision tower's q_proj, k_proj and v_proj.
   */
  private static String targetModules(AdapterWeights weights, String root) {
    Set<String> modules =
        weights.lora().keySet().stream()
            .map(name -> LoraNames.parse(name).orElseThrow().module())
            .collect(Collectors.toCollection(TreeSet::new));
    List<String> given = weights.config().targetModules();
    if (AdapterConfig.isExpression(given)
        && modules.stream()
            .map(module -> LoraNames.under(root, module))
            .allMatch(module -> AdapterConfig.pattern(given).matcher(module).matches())) {
      return given.get(0);
    }
    SortedMap<Integer, List<String>> byLayer = new TreeMap<>();
    for (int layer : layers(weights)) {
      byLayer.put(
          layer,
          AdapterConfig.MODULES.stream()
              .filter(suffix -> modules.contains(LoraNames.module(layer, suffix)))
              .toList());
    }
    Map<List<String>, List<Integer>> groups = new LinkedHashMap<>();
    byLayer.forEach(
        (layer, suffixes) -> groups.computeIfAbsent(suffixes, k -> new ArrayList<>()).add(layer));
    return groups.entrySet().stream()
        .map(
            group ->
                root.replace(".", "\\.")
                    + "\\.layers\\.("
                    + join(group.getValue().stream().map(String::valueOf).toList())
                    + ")\\.("
                    + join(group.getKey().stream().map(s -> s.replace(".", "\\.")).toList())
                    + ")")
        .collect(Collectors.joining("|"));
  }

  private static Set<Integer> layers(AdapterWeights weights) {
    return weights.lora().keySet().stream()
        .map(name -> LoraNames.parse(name).orElseThrow().layer())
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private static String join(List<String> parts) {
    return String.join("|", parts);
  }

  static byte[] loraTensors(AdapterWeights weights, String root) {
    SafeTensorsWriter writer = new SafeTensorsWriter().metadata("format", "pt");
    weights.lora().forEach((name, tensor) -> writer.add(LoraNames.toPeft(name, root), tensor));
    return writer.toBytes();
  }

  static byte[] promptConfig(FloatTensor vectors, String baseName) {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("auto_mapping", null);
    fields.put("base_model_name_or_path", baseName);
    fields.put("inference_mode", true);
    fields.put("num_attention_heads", null);
    fields.put("num_layers", null);
    fields.put("num_transformer_submodules", 1);
    fields.put("num_virtual_tokens", vectors.shape()[0]);
    fields.put("peft_type", "PROMPT_TUNING");
    fields.put("prompt_tuning_init", "RANDOM");
    fields.put("prompt_tuning_init_text", null);
    fields.put("revision", null);
    fields.put("task_type", "CAUSAL_LM");
    fields.put("token_dim", vectors.shape()[1]);
    fields.put("tokenizer_kwargs", null);
    fields.put("tokenizer_name_or_path", null);
    return JsonLayout.of(fields).getBytes(StandardCharsets.UTF_8);
  }

  static byte[] promptTensors(FloatTensor vectors) {
    return new SafeTensorsWriter().metadata("format", "pt").add(PROMPT, vectors).toBytes();
  }

  /** The configuration in a PEFT LoRA file; prompts are not part of it. */
  static AdapterConfig readLoraConfig(byte[] bytes, String where) {
    JsonNode json = readJson(bytes, where);
    String type = json.path("peft_type").asText();
    if (!type.equals("LORA")) {
      throw new BadInputException(where + ": peft_type is '" + type + "'; supported: LORA");
    }
    json.properties()
        .forEach(
            entry -> {
              if (!READ.contains(entry.getKey()) && !isNeutral(entry.getValue())) {
                throw new BadInputException(
                    where
                        + ": "
                        + entry.getKey()
                        + " is not supported; it holds "
                        + entry.getValue()
                        + ", and this adapter may mean something else than plain LoRA");
              }
            });
    JsonNode initial = json.path("init_lora_weights");
    if (!initial.isMissingNode()
        && !initial.isNull()
        && !initial.isBoolean()
        && !INITIAL.contains(initial.asText().toLowerCase(Locale.ROOT))) {
      throw new BadInputException(
          where
              + ": init_lora_weights is "
              + initial
              + ": unless it is one of "
              + INITIAL
              + " the base's weights were changed too; save the adapter again with PEFT's"
              + " path_initial_model_for_weight_conversion to get one of plain LoRA");
    }
    if (!json.path("bias").asText("none").equals("none")) {
      throw new BadInputException(where + ": bias must be 'none', not " + json.path("bias"));
    }
    if (!json.path("r").isInt() || json.path("r").asInt() < 1) {
      throw new BadInputException(where + ": r must be a positive integer, not " + json.path("r"));
    }
    if (json.has("lora_alpha") && !json.path("lora_alpha").isNumber()) {
      throw new BadInputException(
          where + ": lora_alpha must be a number, not " + json.path("lora_alpha"));
    }
    List<String> targets = new ArrayList<>();
    JsonNode modules = json.path("target_modules");
    if (modules.isTextual()) {
      targets.add(modules.asText());
    } else {
      modules.forEach(module -> targets.add(module.asText()));
      targets.sort(null);
    }
    try {
      return new AdapterConfig(
          json.path("r").asInt(),
          json.path("lora_alpha").asDouble(8),
          json.path("use_rslora").asBoolean(false),
          json.path("lora_dropout").asDouble(0),
          targets,
          null,
          null,
          0,
          0);
    } catch (BadInputException e) {
      throw new BadInputException(where + ": " + e.getMessage(), e);
    }
  }

  /** Refuses a PEFT configuration that says something else than the manifest. */
  static void requireAgrees(byte[] bytes, AdapterConfig config, String where) {
    AdapterConfig read = readLoraConfig(bytes, where);
    if (read.rank() != config.rank()
        || read.alpha() != config.alpha()
        || read.rsLora() != config.rsLora()) {
      throw new BadInputException(
          where
              + " says r "
              + read.rank()
              + ", lora_alpha "
              + read.alpha()
              + ", use_rslora "
              + read.rsLora()
              + "; the manifest says "
              + config.rank()
              + ", "
              + config.alpha()
              + ", "
              + config.rsLora());
    }
  }

  static SortedMap<String, FloatTensor> readLora(byte[] bytes, String where) {
    SortedMap<String, FloatTensor> lora = new TreeMap<>();
    readTensors(bytes, where)
        .forEach(
            (key, tensor) -> {
              String name =
                  LoraNames.fromPeft(key)
                      .orElseThrow(
                          () ->
                              new BadInputException(
                                  where
                                      + ": unknown tensor "
                                      + key
                                      + "; expected LoRA of the language model, like"
                                      + " base_model.model.model.language_model.layers.0"
                                      + ".self_attn.q_proj.lora_A.weight"));
              if (lora.put(name, tensor) != null) {
                throw new BadInputException(where + ": " + name + " is there under both names");
              }
            });
    return lora;
  }

  /** What transformers calls the decoder whose LoRA this file holds; older names as the newest. */
  static String decoderModule(byte[] bytes, String where) {
    return readTensors(bytes, where).keySet().stream()
        .flatMap(key -> LoraNames.root(key).stream())
        .filter(LoraNames::isNewest)
        .findFirst()
        .orElse(LoraNames.USUAL_ROOT);
  }

  static FloatTensor readPrompt(byte[] bytes, String where) {
    Map<String, FloatTensor> tensors = readTensors(bytes, where);
    if (!tensors.keySet().equals(Set.of(PROMPT))) {
      throw new BadInputException(
          where + " must hold the one tensor " + PROMPT + ", it holds " + tensors.keySet());
    }
    return tensors.get(PROMPT);
  }

  private static Map<String, FloatTensor> readTensors(byte[] bytes, String where) {
    Path copy = null;
    try {
      // The reader works on files; members may come from anywhere.
      copy = Files.createTempFile("whetstream-adapter", ".safetensors");
      Files.write(copy, bytes);
      Map<String, FloatTensor> tensors = new TreeMap<>();
      try (SafeTensors file = SafeTensors.open(copy)) {
        if (!file.unread().isEmpty()) {
          throw new BadInputException(
              copy + ": tensors of types that are not supported: " + file.unread());
        }
        for (String name : file.tensors().keySet()) {
          tensors.put(name, file.tensor(name));
        }
      }
      return tensors;
    } catch (BadInputException e) {
      throw new BadInputException(e.getMessage().replace(copy.toString(), where), e);
    } catch (IOException e) {
      throw new UncheckedIOException("no temporary file can be written", e);
    } finally {
      if (copy != null) {
        copy.toFile().delete();
      }
    }
  }

  private static JsonNode readJson(byte[] bytes, String where) {
    try {
      JsonNode json = JSON.readTree(bytes);
      if (json != null && json.isObject()) {
        return json;
      }
    } catch (IOException e) {
      throw new BadInputException(
          where
              + " is not valid JSON: "
              + String.valueOf(e.getMessage()).lines().findFirst().orElse(""),
          e);
    }
    throw new BadInputException(where + " is not a JSON object");
  }
}
