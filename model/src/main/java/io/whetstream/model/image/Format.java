package io.whetstream.model.image;

import java.nio.charset.StandardCharsets;
import java.util.List;

/** File formats, told apart by their first bytes: names and media types often lie. */
enum Format {
  JPEG,
  PNG,
  WEBP,
  GIF,
  BMP,
  VIDEO,
  UNKNOWN;

  /** Brands of the ISO container that hold pictures: HEIF and AVIF. */
  private static final List<String> STILL_BRANDS =
      List.of("heic", "heix", "heim", "heis", "mif1", "avif");

  static Format of(byte[] bytes) {
    if (bytes.length > 3 && (bytes[0] & 0xff) == 0xff && (bytes[1] & 0xff) == 0xd8) {
      return JPEG;
    }
    String head = new String(bytes, 0, Math.min(12, bytes.length), StandardCharsets.ISO_8859_1);
    if (head.startsWith("\u0089PNG\r\n\u001a\n")) {
      return PNG;
    }
    if (head.startsWith("RIFF") && head.endsWith("WEBP")) {
      return WEBP;
    }
    if (head.startsWith("GIF87a") || head.startsWith("GIF89a")) {
      return GIF;
    }
    // MP4 and QuickTime; Matroska and WebM; AVI.
    boolean video =
        (head.startsWith("ftyp", 4) && !STILL_BRANDS.contains(head.substring(8)))
            || head.startsWith("\u001a\u0045\u00df\u00a3")
            || (head.startsWith("RIFF") && head.endsWith("AVI "));
    if (video) {
      return VIDEO;
    }
    return head.startsWith("BM") ? BMP : UNKNOWN;
  }
}
