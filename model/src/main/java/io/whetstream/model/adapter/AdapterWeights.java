package io.whetstream.model.adapter;

import io.whetstream.model.BadInputException;
import io.whetstream.model.checkpoint.Architecture;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * The trained tensors of an adapter. Immutable by agreement: neither side changes an array it has
 * given or taken. Construction checks names, shapes, ranks and that every value is finite.
 *
 * @param config what the adapter is made of
 * @param lora LoRA tensors by canonical name: {@code
 *     language_model.model.layers.N.self_attn.q_proj.lora_A.weight} of shape [r, in] and its {@code
 *     lora_B} of shape [out, r]; empty at rank 0
 * @param softImage soft vectors of the image side, [softImage, d]; [0, 0] for none
 * @param softText soft vectors of the text side, [softText, d]; [0, 0] for none
 * @param logitScale natural logarithm of the contrastive multiplier; no part of the digest, because
 *     no embedding depends on it
 */
public record AdapterWeights(
    AdapterConfig config,
    SortedMap<String, FloatTensor> lora,
    FloatTensor softImage,
    FloatTensor softText,
    float logitScale) {

  private static final FloatTensor NO_VECTORS = new FloatTensor(new long[] {0, 0}, new float[0]);

  public AdapterWeights {
    lora = Collections.unmodifiableSortedMap(new TreeMap<>(lora));
    softImage = vectors(softImage, config.softImage(), "image");
    softText = vectors(softText, config.softText(), "text");
    if (!Float.isFinite(logitScale)) {
      throw new BadInputException("adapter: the logit scale is not finite: " + logitScale);
    }
    for (Map.Entry<String, FloatTensor> entry : lora.entrySet()) {
      checkLora(config, lora, entry.getKey(), entry.getValue());
    }
    if (config.rank() > 0 && lora.isEmpty()) {
      throw new BadInputException(
          "adapter: rank is " + config.rank() + " but there is no LoRA tensor");
    }
  }

  private static void checkLora(
      AdapterConfig config, SortedMap<String, FloatTensor> lora, String name, FloatTensor tensor) {
    LoraNames.Parsed parsed =
        LoraNames.parse(name)
            .orElseThrow(
                () ->
                    new BadInputException(
                        "adapter: unknown tensor "
                            + name
                            + "; LoRA tensors are named like"
                            + " language_model.model.layers.0.self_attn.q_proj.lora_A.weight"));
    FloatTensor partner = lora.get(parsed.partner());
    if (partner == null) {
      throw new BadInputException(
          "adapter: tensor " + name + " has no partner " + parsed.partner());
    }
    checkContents(name, tensor);
    if (tensor.shape().length != 2) {
      throw new BadInputException(
          "adapter: tensor " + name + " must have 2 dimensions, not " + shape(tensor));
    }
    long rank = tensor.shape()[parsed.isA() ? 0 : 1];
    if (rank != config.rank()) {
      throw new BadInputException(
          "adapter: tensor "
              + name
              + " of shape "
              + shape(tensor)
              + " has rank "
              + rank
              + ", its configuration says "
              + config.rank());
    }
    if (!config.targets(parsed.module())) {
      throw new BadInputException(
          "adapter: tensor "
              + name
              + " is of a module that target modules "
              + config.targetModules()
              + " do not name");
    }
  }

  private static FloatTensor vectors(FloatTensor given, int count, String side) {
    if (count == 0) {
      if (given != null && given.data().length > 0) {
        throw new BadInputException(
            "adapter: "
                + side
                + " soft vectors of shape "
                + shape(given)
                + " are given, the configuration says there are none");
      }
      return NO_VECTORS;
    }
    if (given == null) {
      throw new BadInputException(
          "adapter: " + count + " " + side + " soft vectors are configured but missing");
    }
    if (given.shape().length != 2 || given.shape()[0] != count || given.shape()[1] < 1) {
      throw new BadInputException(
          "adapter: "
              + side
              + " soft vectors have shape "
              + shape(given)
              + ", expected ["
              + count
              + ", width]");
    }
    checkContents(side + " soft vectors", given);
    return given;
  }

  private static void checkContents(String name, FloatTensor tensor) {
    float[] data = tensor.data();
    for (int i = 0; i < data.length; i++) {
      if (!Float.isFinite(data[i])) {
        throw new BadInputException(
            "adapter: tensor " + name + " holds " + data[i] + " at index " + i);
      }
    }
  }

  private static String shape(FloatTensor tensor) {
    return Arrays.toString(tensor.shape());
  }

  /**
   * Refuses weights that do not fit a base model as a whole: a layer or width the model does not
   * have, or a module that the configuration names and that carries no tensor.
   *
   * @throws BadInputException with the first tensor that does not fit
   */
  public void requireFits(ModelConfig model) {
    Architecture.Decoder decoder = model.architecture().decoder();
    Map<String, Architecture.Linear> linears = new HashMap<>();
    Set<String> missing = new TreeSet<>();
    for (Architecture.Layer layer : decoder.layers()) {
      for (Architecture.Linear linear : layer.linears()) {
        linears.put(linear.name(), linear);
        if (config.rank() > 0 && config.targets(linear.name())) {
          missing.add(linear.name() + ".lora_A.weight");
        }
      }
    }
    for (Map.Entry<String, FloatTensor> entry : lora.entrySet()) {
      LoraNames.Parsed parsed = LoraNames.parse(entry.getKey()).orElseThrow();
      Architecture.Linear linear = linears.get(parsed.module());
      if (linear == null) {
        throw new BadInputException(
            "adapter: tensor "
                + entry.getKey()
                + " is of a layer the base model does not have (it has "
                + decoder.layers().size()
                + "): it belongs to another base model");
      }
      int expected = parsed.isA() ? linear.inputs() : linear.outputs();
      long actual = entry.getValue().shape()[parsed.isA() ? 1 : 0];
      if (actual != expected) {
        throw new BadInputException(
            "adapter: tensor "
                + entry.getKey()
                + " of shape "
                + shape(entry.getValue())
                + " has width "
                + actual
                + " where the base model has "
                + expected
                + ": it belongs to another base model");
      }
      missing.remove(entry.getKey());
    }
    if (!missing.isEmpty()) {
      throw new BadInputException(
          "adapter: tensor "
              + missing.iterator().next()
              + " is missing ("
              + missing.size()
              + " modules named by target modules "
              + config.targetModules()
              + " carry none); an adapter is never applied in part");
    }
    requireWidth(softImage, decoder.width(), "image");
    requireWidth(softText, decoder.width(), "text");
  }

  private static void requireWidth(FloatTensor vectors, int width, String side) {
    if (vectors.data().length > 0 && vectors.shape()[1] != width) {
      throw new BadInputException(
          "adapter: "
              + side
              + " soft vectors of shape "
              + shape(vectors)
              + " do not fit the base model's width "
              + width
              + ": the adapter belongs to another base model");
    }
  }

  /**
   * The identity of the adapter: sha-256, in hex, over configuration and tensor contents (names,
   * shapes, little-endian float32 bytes). Two adapters with equal digests embed alike.
   */
  public String digest() {
    MessageDigest sha = sha256();
    text(sha, "whetstream adapter 1");
    text(sha, Integer.toString(config.rank()));
    text(sha, Double.toString(config.alpha()));
    text(sha, Boolean.toString(config.rsLora()));
    text(sha, Double.toString(config.dropout()));
    text(sha, Integer.toString(config.targetModules().size()));
    config.targetModules().forEach(module -> text(sha, module));
    text(sha, String.valueOf(config.imageTemplate()));
    text(sha, String.valueOf(config.textTemplate()));
    if (config.promptEncoding() != PromptEncoding.PIECES) {
      text(sha, "prompt encoding " + config.promptEncoding());
    }
    lora.forEach((name, tensor) -> tensor(sha, name, tensor));
    tensor(sha, "soft_prompt.image", softImage);
    tensor(sha, "soft_prompt.text", softText);
    return HexFormat.of().formatHex(sha.digest());
  }

  /**
   * The weights between these and others of the same configuration (Wortsman et al. 2022, "Robust
   * fine-tuning of zero-shot models", section 3). Both factors of LoRA are averaged, not their
   * product, so the two should be of one line of training.
   *
   * @param share of the others, in [0, 1]
   */
  public AdapterWeights towards(AdapterWeights other, double share) {
    if (!config.equals(other.config)) {
      throw new BadInputException("adapter: only adapters of one configuration can be averaged");
    }
    SortedMap<String, FloatTensor> between = new TreeMap<>();
    lora.forEach((name, tensor) -> between.put(name, between(tensor, other.lora.get(name), share)));
    return new AdapterWeights(
        config,
        between,
        between(softImage, other.softImage, share),
        between(softText, other.softText, share),
        (float) ((1 - share) * logitScale + share * other.logitScale));
  }

  private static FloatTensor between(FloatTensor one, FloatTensor other, double share) {
    float[] data = new float[one.data().length];
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) ((1 - share) * one.data()[i] + share * other.data()[i]);
    }
    return new FloatTensor(one.shape(), data);
  }

  private static void text(MessageDigest sha, String value) {
    byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
    number(sha, bytes.length);
    sha.update(bytes);
  }

  private static void number(MessageDigest sha, long value) {
    sha.update(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(0, value));
  }

  private static void tensor(MessageDigest sha, String name, FloatTensor tensor) {
    text(sha, name);
    number(sha, tensor.shape().length);
    for (long dimension : tensor.shape()) {
      number(sha, dimension);
    }
    ByteBuffer bytes = ByteBuffer.allocate(4 * tensor.data().length).order(ByteOrder.LITTLE_ENDIAN);
    bytes.asFloatBuffer().put(tensor.data());
    sha.update(bytes);
  }

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
