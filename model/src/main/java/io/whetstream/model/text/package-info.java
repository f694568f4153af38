/** Text to token ids and back, by the model's own {@code tokenizer.json}. */
package io.whetstream.model.text;
