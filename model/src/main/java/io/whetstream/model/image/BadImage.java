package io.whetstream.model.image;

/** A picture that cannot be used; the message says why, without saying which picture. */
final class BadImage extends RuntimeException {
  private static final long serialVersionUID = 1L;

  BadImage(String message) {
    super(message);
  }
}
