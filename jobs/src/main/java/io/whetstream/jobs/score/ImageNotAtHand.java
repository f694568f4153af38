package io.whetstream.jobs.score;

/** A query names its image by URI, and it was not fetched yet. */
final class ImageNotAtHand extends RuntimeException {
  private static final long serialVersionUID = 1L;

  ImageNotAtHand(String uri) {
    super("the image at " + uri + " was not fetched yet");
  }
}
