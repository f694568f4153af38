package io.whetstream.jobs.score;

import io.whetstream.model.BadInputException;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ModelImage;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Embeds texts as sums of word vectors drawn from a generator seeded with adapter and word. Vectors
 * of two adapters have nothing in common, so one score across two digests is visibly wrong. Words
 * decide what happens: {@code unreadable} is refused, {@code infinite} gives a vector that is not
 * finite. Images are UTF-8 texts.
 */
final class WordEmbedder implements Embedder {
  static final int DIMENSION = 32;

  final AtomicInteger embeddedTexts = new AtomicInteger();

  /** How long a text takes. */
  long nanosPerText;

  /** Calls that are to fail, as a native library does. */
  final AtomicInteger failures = new AtomicInteger();

  final AtomicInteger openHandles = new AtomicInteger();

  /** A handle named by its digest. */
  record Named(String digest, AtomicInteger open) implements Adapter {
    @Override
    public void close() {
      open.decrementAndGet();
    }
  }

  static String digest(long n) {
    return Digests.sha256(("adapter " + n).getBytes(StandardCharsets.UTF_8));
  }

  static AdapterVersion version(long n) {
    return new AdapterVersion(0, n, digest(n));
  }

  Adapter handle(String digest) {
    openHandles.incrementAndGet();
    return new Named(digest, openHandles);
  }

  /** The vector of a text under a digest: what an offline recomputation gives. */
  static float[] vector(String digest, String text) {
    float[] sum = new float[DIMENSION];
    for (String word : text.split(" ")) {
      if (word.equals("unreadable")) {
        throw new BadInputException("the text holds an unreadable word");
      }
      if (word.equals("infinite") || (word.equals("sometimes") && digest.equals(digest(13)))) {
        sum[0] = Float.NaN;
      }
      Random random = new Random((digest + word).hashCode());
      for (int i = 0; i < DIMENSION; i++) {
        sum[i] += (float) random.nextGaussian();
      }
    }
    double norm = 0;
    for (float value : sum) {
      norm += value * value;
    }
    for (int i = 0; i < DIMENSION; i++) {
      sum[i] = (float) (sum[i] / Math.sqrt(norm));
    }
    return sum;
  }

  @Override
  public int dimension() {
    return DIMENSION;
  }

  @Override
  public String baseDigest() {
    return "b".repeat(64);
  }

  @Override
  public Adapter base() {
    return handle(AdapterVersion.BASE.digest());
  }

  @Override
  public ModelImage image(byte[] encoded, String where) {
    float[] pixels = new float[3 * encoded.length];
    for (int i = 0; i < encoded.length; i++) {
      pixels[i] = encoded[i];
    }
    return new ModelImage(ImageGeometry.whole(1, encoded.length, 1), pixels);
  }

  @Override
  public ContentGroup group(byte[] encoded, String where) {
    return ContentGroup.of(new String(encoded, StandardCharsets.UTF_8));
  }

  @Override
  public float[][] images(Adapter adapter, List<ModelImage> images) {
    return images.stream()
        .map(
            image -> {
              byte[] text = new byte[image.geometry().width()];
              for (int i = 0; i < text.length; i++) {
                text[i] = (byte) image.pixels()[i];
              }
              return vector(adapter.digest(), new String(text, StandardCharsets.UTF_8));
            })
        .toArray(float[][]::new);
  }

  @Override
  public float[][] texts(Adapter adapter, List<String> texts) {
    if (failures.getAndUpdate(n -> Math.max(0, n - 1)) > 0) {
      throw new IllegalStateException("out of memory");
    }
    embeddedTexts.addAndGet(texts.size());
    long end = System.nanoTime() + nanosPerText * texts.size();
    while (System.nanoTime() < end) {
      Thread.onSpinWait();
    }
    return texts.stream().map(text -> vector(adapter.digest(), text)).toArray(float[][]::new);
  }

  @Override
  public void close() {}
}
