package io.whetstream.model.text;

/**
 * A text's token ids with the places they come from, for whoever must split what was encoded as a
 * whole.
 *
 * @param ids the tokens
 * @param begins first code point of each token in the text, -1 where the tokenizer put it itself
 * @param ends the code point behind it, -1 likewise
 */
@SuppressWarnings("ArrayRecordComponent") // Never compared.
public record EncodedText(long[] ids, int[] begins, int[] ends) {}
