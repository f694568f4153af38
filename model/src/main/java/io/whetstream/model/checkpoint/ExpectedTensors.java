package io.whetstream.model.checkpoint;

import java.util.LinkedHashMap;
import java.util.Map;

/** The tensors a configuration calls for, by canonical name, with their shapes. */
final class ExpectedTensors {
  private final Map<String, long[]> shapes = new LinkedHashMap<>();

  private ExpectedTensors() {}

  static Map<String, long[]> of(ModelConfig config) {
    ExpectedTensors expected = new ExpectedTensors();
    expected.vision(config);
    if (config.shuffle() > 0) {
      expected.shuffle(config);
    } else {
      expected.projector(config);
    }
    expected.text(config.text(), config.tiedEmbeddings());
    return expected.shapes;
  }

  private void add(String name, long... shape) {
    shapes.put(name, shape);
  }

  private void linear(String name, boolean bias, long out, long in) {
    add(name + ".weight", out, in);
    if (bias) {
      add(name + ".bias", out);
    }
  }

  private void layerNorm(String name, long width) {
    add(name + ".weight", width);
    add(name + ".bias", width);
  }

  private void vision(ModelConfig config) {
    VisionConfig v = config.vision();
    boolean clip = v.type().equals("clip");
    String model = "vision_tower.vision_model.";
    String embeddings = model + "embeddings.";
    long width = v.hiddenSize();
    add(embeddings + "patch_embedding.weight", width, 3, v.patchSize(), v.patchSize());
    add(embeddings + "position_embedding.weight", v.positions(), width);
    if (clip) {
      add(embeddings + "class_embedding", width);
      layerNorm(model + "pre_layrnorm", width);
    } else {
      add(embeddings + "patch_embedding.bias", width);
    }
    for (int i = 0; i < config.visionLayersUsed(); i++) {
      String layer = model + "encoder.layers." + i + ".";
      layerNorm(layer + "layer_norm1", width);
      for (String projection : new String[] {"q_proj", "k_proj", "v_proj", "out_proj"}) {
        linear(layer + "self_attn." + projection, true, width, width);
      }
      layerNorm(layer + "layer_norm2", width);
      linear(layer + "mlp.fc1", true, v.intermediateSize(), width);
      linear(layer + "mlp.fc2", true, width, v.intermediateSize());
    }
  }

  private void shuffle(ModelConfig config) {
    long width = config.vision().hiddenSize();
    layerNorm("vision_tower.vision_model.post_layernorm", width);
    add(
        "connector.modality_projection.proj.weight",
        config.text().hiddenSize(),
        width * config.shuffle() * config.shuffle());
  }

  private void projector(ModelConfig config) {
    long width = config.text().hiddenSize();
    boolean bias = config.projectorBias();
    linear("multi_modal_projector.linear_1", bias, width, config.vision().hiddenSize());
    linear("multi_modal_projector.linear_2", bias, width, width);
    if (config.canvases() != null) {
      add("image_newline", width);
    }
  }

  private void text(TextConfig t, boolean tied) {
    long width = t.hiddenSize();
    long queries = (long) t.heads() * t.headDim();
    long keys = (long) t.keyValueHeads() * t.headDim();
    add("language_model.model.embed_tokens.weight", t.vocabSize(), width);
    for (int i = 0; i < t.layers(); i++) {
      String layer = "language_model.model.layers." + i + ".";
      add(layer + "input_layernorm.weight", width);
      linear(layer + "self_attn.q_proj", t.attentionBias(), queries, width);
      linear(layer + "self_attn.k_proj", t.attentionBias(), keys, width);
      linear(layer + "self_attn.v_proj", t.attentionBias(), keys, width);
      linear(layer + "self_attn.o_proj", t.outputBias(), width, queries);
      add(layer + "post_attention_layernorm.weight", width);
      linear(layer + "mlp.gate_proj", t.mlpBias(), t.intermediateSize(), width);
      linear(layer + "mlp.up_proj", t.mlpBias(), t.intermediateSize(), width);
      linear(layer + "mlp.down_proj", t.mlpBias(), width, t.intermediateSize());
    }
    add("language_model.model.norm.weight", width);
    if (!tied) {
      add("language_model.lm_head.weight", t.vocabSize(), width);
    }
  }
}
