package io.whetstream.model.lvlm;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.TensorInfo;
import io.whetstream.model.checkpoint.TextConfig;
import io.whetstream.model.checkpoint.VisionConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One place in the weight lists of {@code llava.py} and the checkpoint tensors that fill it,
 * stacked by rows: what reads the same input is one product.
 *
 * @param sameAs index of the slot whose array stands here too, or -1
 */
record WeightSlot(List<Part> parts, int sameAs) {

  /**
   * One tensor.
   *
   * @param name canonical name in the checkpoint
   * @param shape one or two dimensions
   * @param fixed values that come from no checkpoint, or null
   * @param rows which row of the checkpoint's tensor stands in each row; null for all in order
   */
  record Part(String name, long[] shape, float[] fixed, int[] rows) {
    Part(String name, long[] shape, float[] fixed) {
      this(name, shape, fixed, null);
    }

    /** The same tensor with other rows. */
    Part gathered(int[] rows) {
      return new Part(name, shape, fixed, rows);
    }

    /** Values as they are used, from those of the checkpoint. */
    float[] values(float[] stored) {
      if (rows == null) {
        return stored;
      }
      int width = stored.length / Math.toIntExact(shape[0]);
      float[] values = new float[rows.length * width];
      for (int i = 0; i < rows.length; i++) {
        System.arraycopy(stored, rows[i] * width, values, i * width, width);
      }
      return values;
    }

    int size() {
      return Math.toIntExact(Arrays.stream(shape).reduce(1, Math::multiplyExact));
    }

    void check(Checkpoint checkpoint) {
      if (!checkpoint.has(name)) {
        throw new BadInputException(
            checkpoint.directory() + ": the model has no tensor " + name + ", which it needs");
      }
      TensorInfo info = checkpoint.info(name);
      long actual = Arrays.stream(info.shape()).reduce(1, Math::multiplyExact);
      boolean firstMatches = shape[0] == 1 || info.shape()[0] == shape[0];
      if (actual != size() || !firstMatches) {
        throw new BadInputException(
            checkpoint.directory()
                + ": tensor "
                + name
                + " has shape "
                + Arrays.toString(info.shape())
                + ", config.json asks for "
                + Arrays.toString(shape));
      }
    }
  }

  private static WeightSlot of(Part... parts) {
    return new WeightSlot(List.of(parts), -1);
  }

  private static Part part(String name, long... shape) {
    return new Part(name, shape, null);
  }

  private static WeightSlot tensor(String name, long... shape) {
    return of(part(name, shape));
  }

  private static WeightSlot zeros(long... shape) {
    Part part = new Part("", shape, null);
    return of(new Part("", shape, new float[part.size()]));
  }

  private static WeightSlot optional(boolean present, String name, long... shape) {
    return present ? tensor(name, shape) : zeros(0);
  }

  /** The vision tower's and projector's slots, in the order of list {@code v}. */
  static List<WeightSlot> vision(ModelConfig config) {
    VisionConfig v = config.vision();
    long width = v.hiddenSize();
    long patch = 3L * v.patchSize() * v.patchSize();
    long side = v.imageSize() / v.patchSize();
    boolean clip = v.type().equals("clip");
    String model = "vision_tower.vision_model.";
    String embeddings = model + "embeddings.";
    List<WeightSlot> slots = new ArrayList<>();
    slots.add(tensor(embeddings + "patch_embedding.weight", width, patch));
    slots.add(clip ? zeros(width) : tensor(embeddings + "patch_embedding.bias", width));
    slots.add(clip ? tensor(embeddings + "class_embedding", 1, width) : zeros(0, width));
    String positions = embeddings + "position_embedding.weight";
    slots.add(
        config.shuffle() > 0
            ? of(part(positions, side * side, width).gathered(SquarePositions.of((int) side)))
            : tensor(positions, side * side + (clip ? 1 : 0), width));
    slots.add(optional(clip, model + "pre_layrnorm.weight", width));
    slots.add(optional(clip, model + "pre_layrnorm.bias", width));
    for (int i = 0; i < v.layers(); i++) {
      String layer = model + "encoder.layers." + i + ".";
      String attention = layer + "self_attn.";
      long hidden = v.intermediateSize();
      slots.add(tensor(layer + "layer_norm1.weight", width));
      slots.add(tensor(layer + "layer_norm1.bias", width));
      slots.add(
          of(
              part(attention + "q_proj.weight", width, width),
              part(attention + "k_proj.weight", width, width),
              part(attention + "v_proj.weight", width, width)));
      slots.add(
          of(
              part(attention + "q_proj.bias", width),
              part(attention + "k_proj.bias", width),
              part(attention + "v_proj.bias", width)));
      slots.add(tensor(attention + "out_proj.weight", width, width));
      slots.add(tensor(attention + "out_proj.bias", width));
      slots.add(tensor(layer + "layer_norm2.weight", width));
      slots.add(tensor(layer + "layer_norm2.bias", width));
      slots.add(tensor(layer + "mlp.fc1.weight", hidden, width));
      slots.add(tensor(layer + "mlp.fc1.bias", hidden));
      slots.add(tensor(layer + "mlp.fc2.weight", width, hidden));
      slots.add(tensor(layer + "mlp.fc2.bias", width));
    }
    long d = config.text().hiddenSize();
    if (config.shuffle() > 0) {
      long square = (long) config.shuffle() * config.shuffle();
      slots.add(tensor(model + "post_layernorm.weight", width));
      slots.add(tensor(model + "post_layernorm.bias", width));
      slots.add(tensor("connector.modality_projection.proj.weight", d, width * square));
      slots.add(zeros(0));
      return slots;
    }
    boolean bias = config.projectorBias();
    slots.add(tensor("multi_modal_projector.linear_1.weight", d, width));
    slots.add(optional(bias, "multi_modal_projector.linear_1.bias", d));
    slots.add(tensor("multi_modal_projector.linear_2.weight", d, d));
    slots.add(optional(bias, "multi_modal_projector.linear_2.bias", d));
    return slots;
  }

  /** The vector that ends a line of features; none where pictures are not packed. */
  static List<WeightSlot> lineEnd(ModelConfig config) {
    return config.canvases() == null
        ? List.of()
        : List.of(tensor("image_newline", config.text().hiddenSize()));
  }

  /** The decoder's slots, in the order of list {@code w}. */
  static List<WeightSlot> decoder(ModelConfig config) {
    TextConfig text = config.text();
    long d = text.hiddenSize();
    long queries = (long) text.heads() * text.headDim();
    long keys = (long) text.keyValueHeads() * text.headDim();
    long f = text.intermediateSize();
    String model = "language_model.model.";
    RotaryTable rotary = RotaryTable.of(text);
    long[] angles = {text.maxPositions(), text.headDim() / 2};
    List<WeightSlot> slots = new ArrayList<>();
    slots.add(tensor(model + "embed_tokens.weight", text.vocabSize(), d));
    slots.add(tensor(model + "norm.weight", d));
    slots.add(
        config.tiedEmbeddings()
            ? new WeightSlot(List.of(), 0)
            : tensor("language_model.lm_head.weight", text.vocabSize(), d));
    slots.add(of(new Part("", angles, rotary.cos())));
    slots.add(of(new Part("", angles, rotary.sin())));
    for (int i = 0; i < text.layers(); i++) {
      String layer = model + "layers." + i + ".";
      String attention = layer + "self_attn.";
      String mlp = layer + "mlp.";
      boolean bias = text.attentionBias();
      slots.add(tensor(layer + "input_layernorm.weight", d));
      slots.add(
          of(
              part(attention + "q_proj.weight", queries, d),
              part(attention + "k_proj.weight", keys, d),
              part(attention + "v_proj.weight", keys, d)));
      slots.add(
          bias
              ? of(
                  part(attention + "q_proj.bias", queries),
                  part(attention + "k_proj.bias", keys),
                  part(attention + "v_proj.bias", keys))
              : zeros(0));
      slots.add(tensor(attention + "o_proj.weight", d, queries));
      slots.add(optional(text.outputBias(), attention + "o_proj.bias", d));
      slots.add(tensor(layer + "post_attention_layernorm.weight", d));
      slots.add(of(part(mlp + "gate_proj.weight", f, d), part(mlp + "up_proj.weight", f, d)));
      slots.add(
          text.mlpBias()
              ? of(part(mlp + "gate_proj.bias", f), part(mlp + "up_proj.bias", f))
              : zeros(0));
      slots.add(tensor(mlp + "down_proj.weight", d, f));
      slots.add(optional(text.mlpBias(), mlp + "down_proj.bias", d));
    }
    return slots;
  }
}
