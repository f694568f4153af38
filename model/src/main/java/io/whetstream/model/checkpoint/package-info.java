/**
 * Hugging Face model directories as they are: {@code config.json} with the class defaults of
 * transformers, and weights in one or several safetensors files.
 */
package io.whetstream.model.checkpoint;
