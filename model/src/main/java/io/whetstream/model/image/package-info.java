/**
 * Pictures as Hugging Face's processors and Pillow see them: decoding to RGB, resizing, cropping,
 * rescaling and normalising.
 */
package io.whetstream.model.image;
