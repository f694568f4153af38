package io.whetstream.model.image;

import javax.imageio.metadata.IIOMetadata;
import org.w3c.dom.Element;
import org.w3c.dom.Node;

/**
 * Where the first frame of a GIF file lies.
 *
 * @param transparentIndex palette entry that stands for nothing, or -1
 */
record GifFrame(int screenWidth, int screenHeight, int left, int top, int transparentIndex) {

  static GifFrame of(byte[] bytes, IIOMetadata metadata) {
    int left = 0;
    int top = 0;
    int transparent = -1;
    Node root = metadata.getAsTree(metadata.getNativeMetadataFormatName());
    for (Node node = root.getFirstChild(); node != null; node = node.getNextSibling()) {
      Element element = (Element) node;
      if (node.getNodeName().equals("ImageDescriptor")) {
        left = Integer.parseInt(element.getAttribute("imageLeftPosition"));
        top = Integer.parseInt(element.getAttribute("imageTopPosition"));
      } else if (node.getNodeName().equals("GraphicControlExtension")
          && Boolean.parseBoolean(
              element.getAttribute("transparentColorFlag").toLowerCase(java.util.Locale.ROOT))) {
        transparent = Integer.parseInt(element.getAttribute("transparentColorIndex"));
      }
    }
    return new GifFrame(int16(bytes, 6), int16(bytes, 8), left, top, transparent);
  }

  private static int int16(byte[] bytes, int at) {
    return (bytes[at] & 0xff) | ((bytes[at + 1] & 0xff) << 8);
  }
}
