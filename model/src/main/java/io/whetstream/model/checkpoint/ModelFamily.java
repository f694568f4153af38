package io.whetstream.model.checkpoint;

import io.whetstream.model.BadInputException;
import java.util.List;
import java.util.stream.Collectors;

/**
 * What is particular to the checkpoints of one model family: how {@code config.json} reads, and
 * what its tensors are called. Everything else follows from the {@link ModelConfig} that it makes.
 */
interface ModelFamily {
  /** All families, in the order in which they are named where another is refused. */
  List<ModelFamily> ALL =
      List.of(
          new LlavaFamily(),
          new LlavaNextFamily(),
          new LlavaOnevisionFamily(),
          new Idefics3Family("SmolVLMForConditionalGeneration", "smolvlm"),
          new Idefics3Family("Idefics3ForConditionalGeneration", "idefics3"),
          new Qwen2VlFamily(),
          new Qwen25VlFamily(),
          new Qwen3VlFamily());

  /** The class of transformers, as {@code architectures} names it. */
  String architecture();

  /** The value of {@code model_type}. */
  String modelType();

  /** What the family supports, for the message that refuses others. */
  String supports();

  /** The configuration, with the class defaults of transformers where a key is missing. */
  ModelConfig config(ConfigKeys root);

  /** The network of a configuration of this family. */
  default Architecture network(ModelConfig config) {
    throw new BadInputException("models of family " + modelType() + " cannot be run");
  }

  /** What stands in a text for a picture. */
  default ImageMarkup markup() {
    return ImageMarkup.PLAIN;
  }

  /** What transformers calls the decoder, by which PEFT names LoRA on it. */
  default String decoderModule() {
    return "model.language_model";
  }

  /** The canonical name of a tensor, whichever of the family's layouts its file has. */
  String canonical(String name);

  /**
   * Whether the output head is the embedding matrix. What the top level says counts; a head that is
   * in no file can only be the embedding matrix where the decoder's part says so.
   *
   * @param head whether the weights hold a head
   */
  default boolean tied(ConfigKeys root, boolean head) {
    return tiedAtTop(root, head);
  }

  static boolean tiedAtTop(ConfigKeys root, boolean head) {
    boolean decoder = root.object("text_config").bool("tie_word_embeddings", false);
    return root.bool("tie_word_embeddings", decoder) || (decoder && !head);
  }

  /** Reads a configuration of any family. */
  static ModelConfig read(ConfigKeys root) {
    String architecture = root.present("architectures").path(0).asText("");
    String type = root.string("model_type", "");
    for (ModelFamily family : ALL) {
      boolean fits =
          (architecture.isEmpty() || architecture.equals(family.architecture()))
              && (type.isEmpty() || type.equals(family.modelType()));
      if (fits && !(architecture.isEmpty() && type.isEmpty())) {
        return family.config(root);
      }
    }
    throw new BadInputException(
        root.file()
            + ": architecture "
            + (architecture.isEmpty() ? "(none)" : architecture)
            + ", model_type "
            + (type.isEmpty() ? "(none)" : type)
            + " is not supported; supported: "
            + ALL.stream().map(ModelFamily::describe).collect(Collectors.joining("; ")));
  }

  /** The family of a configuration. */
  static ModelFamily of(ModelConfig config) {
    return ALL.stream()
        .filter(family -> family.modelType().equals(config.family()))
        .findFirst()
        .orElseThrow();
  }

  private String describe() {
    return architecture() + " (model_type " + modelType() + ") with " + supports();
  }
}
