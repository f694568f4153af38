package io.whetstream.model.image;

import java.nio.charset.StandardCharsets;

/** File formats, told apart by their first bytes: names and media types often lie. */
enum Format {
  JPEG,
  PNG,
  WEBP,
  GIF,
  BMP,
  UNKNOWN;

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
    return head.startsWith("BM") ? BMP : UNKNOWN;
  }
}
