package io.whetstream.model.checkpoint;

import io.whetstream.model.checkpoint.Architecture.Decoder;
import io.whetstream.model.checkpoint.Architecture.Layer;
import io.whetstream.model.checkpoint.Architecture.Linear;
import io.whetstream.model.checkpoint.Architecture.Norm;
import io.whetstream.model.checkpoint.Architecture.NormKind;
import io.whetstream.model.checkpoint.Architecture.Positions;
import io.whetstream.model.checkpoint.Architecture.Role;
import io.whetstream.model.checkpoint.Architecture.Rotary;
import io.whetstream.model.checkpoint.Architecture.Table;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The modules of a decoder of Llama's kind. */
final class DecoderModules {
  private static final String ROOT = "language_model.model.";

  private DecoderModules() {}

  static Decoder of(TextConfig text, boolean tied) {
    int width = text.hiddenSize();
    List<Layer> layers = new ArrayList<>();
    for (int i = 0; i < text.layers(); i++) {
      layers.add(layer(text, ROOT + "layers." + i + "."));
    }
    return new Decoder(
        new Table(ROOT + "embed_tokens.weight", text.vocabSize(), width),
        text.heads(),
        text.keyValueHeads(),
        text.headDim(),
        text.multimodalRope() == null ? Positions.ROTARY : Positions.ROTARY_AXES,
        new Rotary(
            text.maxPositions(),
            Arrays.stream(text.rotaryFrequencies()).boxed().toList(),
            text.multimodalRope() == null
                ? List.of()
                : Arrays.stream(text.multimodalRope().axes()).boxed().toList()),
        layers,
        norm(text, ROOT + "norm", width),
        tied
            ? null
            : new Linear("language_model.lm_head", Role.HEAD, text.vocabSize(), width, false));
  }

  private static Norm norm(TextConfig text, String name, int width) {
    return new Norm(name, NormKind.RMS, width, text.rmsNormEps());
  }

  private static Layer layer(TextConfig text, String name) {
    int width = text.hiddenSize();
    int queries = text.heads() * text.headDim();
    int keys = text.keyValueHeads() * text.headDim();
    int inner = text.intermediateSize();
    String attention = name + "self_attn.";
    String perceptron = name + "mlp.";
    boolean bias = text.attentionBias();
    return new Layer(
        norm(text, name + "input_layernorm", width),
        new Linear(attention + "q_proj", Role.QUERY, queries, width, bias),
        new Linear(attention + "k_proj", Role.KEY, keys, width, bias),
        new Linear(attention + "v_proj", Role.VALUE, keys, width, bias),
        text.headNorms() ? norm(text, attention + "q_norm", text.headDim()) : null,
        text.headNorms() ? norm(text, attention + "k_norm", text.headDim()) : null,
        new Linear(attention + "o_proj", Role.OUTPUT, width, queries, text.outputBias()),
        norm(text, name + "post_attention_layernorm", width),
        List.of(
            new Linear(perceptron + "gate_proj", Role.GATE, inner, width, text.mlpBias()),
            new Linear(perceptron + "up_proj", Role.UP, inner, width, text.mlpBias())),
        Activation.of(text.activation()),
        new Linear(perceptron + "down_proj", Role.DOWN, width, inner, text.mlpBias()));
  }
}
