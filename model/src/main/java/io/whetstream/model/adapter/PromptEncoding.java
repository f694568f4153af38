package io.whetstream.model.adapter;

/** How a prompt template becomes token ids. An adapter is always read as it was trained. */
public enum PromptEncoding {
  /**
   * Of the first release, and of adapters that say nothing: BOS as config.json has it, then the
   * pieces between slot and brackets encoded one by one; blank ones are left out.
   */
  PIECES,
  /**
   * As Hugging Face's processors do: the text is encoded as a whole, with the image's placeholder
   * in its place and whatever the tokenizer itself puts around it.
   */
  WHOLE
}
