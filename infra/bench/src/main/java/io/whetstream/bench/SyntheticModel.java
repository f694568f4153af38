package io.whetstream.bench;

import io.whetstream.model.checkpoint.SafeTensorsWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;

/** A LLaVA directory with random weights, of the size that measurements call for. */
final class SyntheticModel {
  private final SafeTensorsWriter writer = new SafeTensorsWriter();
  private final Random random = new Random(1);

  private SyntheticModel() {}

  /** Vision 112 px / 14, d 384 x 6; text d 512 x 8. No tokenizer. */
  static Path write(Path directory) throws IOException {
    return new SyntheticModel().create(directory, 384, 6, 512, 8, 1408, 4096);
  }

  private Path create(
      Path directory, int vision, int visionLayers, int text, int layers, int inner, int vocabulary)
      throws IOException {
    Files.createDirectories(directory);
    String v = "vision_tower.vision_model.";
    matrix(v + "embeddings.class_embedding", vision);
    matrix(v + "embeddings.patch_embedding.weight", vision, 3, 14, 14);
    matrix(v + "embeddings.position_embedding.weight", 65, vision);
    norm(v + "pre_layrnorm", vision);
    norm(v + "post_layernorm", vision);
    for (int i = 0; i < visionLayers; i++) {
      String layer = v + "encoder.layers." + i + ".";
      norm(layer + "layer_norm1", vision);
      norm(layer + "layer_norm2", vision);
      for (String name : new String[] {"q_proj", "k_proj", "v_proj", "out_proj"}) {
        linear(layer + "self_attn." + name, vision, vision);
      }
      linear(layer + "mlp.fc1", 4 * vision, vision);
      linear(layer + "mlp.fc2", vision, 4 * vision);
    }
    linear("multi_modal_projector.linear_1", text, vision);
    linear("multi_modal_projector.linear_2", text, text);
    matrix("language_model.model.embed_tokens.weight", vocabulary, text);
    ones("language_model.model.norm.weight", text);
    for (int i = 0; i < layers; i++) {
      String layer = "language_model.model.layers." + i + ".";
      ones(layer + "input_layernorm.weight", text);
      ones(layer + "post_attention_layernorm.weight", text);
      for (String name : new String[] {"q_proj", "k_proj", "v_proj", "o_proj"}) {
        matrix(layer + "self_attn." + name + ".weight", text, text);
      }
      matrix(layer + "mlp.gate_proj.weight", inner, text);
      matrix(layer + "mlp.up_proj.weight", inner, text);
      matrix(layer + "mlp.down_proj.weight", text, inner);
    }
    writer.write(directory.resolve("model.safetensors"));
    Files.writeString(
        directory.resolve("config.json"),
        """
        {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava",
         "image_token_index": %d, "image_seq_length": 64, "tie_word_embeddings": true,
         "vision_feature_layer": -1, "vision_feature_select_strategy": "default",
         "text_config": {"model_type": "llama", "hidden_size": %d, "intermediate_size": %d,
           "num_hidden_layers": %d, "num_attention_heads": 8, "vocab_size": %d,
           "max_position_embeddings": 512, "tie_word_embeddings": true},
         "vision_config": {"model_type": "clip_vision_model", "hidden_size": %d,
           "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": 6,
           "image_size": 112, "patch_size": 14}}
        """
            .formatted(
                vocabulary - 2, text, inner, layers, vocabulary, vision, 4 * vision, visionLayers));
    return directory;
  }

  private void linear(String name, int out, int in) {
    matrix(name + ".weight", out, in);
    matrix(name + ".bias", out);
  }

  private void norm(String name, int width) {
    ones(name + ".weight", width);
    matrix(name + ".bias", width);
  }

  private void ones(String name, int width) {
    float[] data = new float[width];
    java.util.Arrays.fill(data, 1);
    writer.add(name, new long[] {width}, data);
  }

  private void matrix(String name, long... shape) {
    int size = 1;
    for (long dimension : shape) {
      size *= (int) dimension;
    }
    float[] data = new float[size];
    for (int i = 0; i < size; i++) {
      data[i] = (float) random.nextGaussian() * 0.05f;
    }
    writer.add(name, shape, data);
  }
}
