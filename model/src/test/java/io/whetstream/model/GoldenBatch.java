package io.whetstream.model;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.checkpoint.ModelConfig;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageGeometry;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.image.RgbImage;
import io.whetstream.model.lvlm.Row;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;

/**
 * A recorded batch: rows without padding, and their images. Where {@code batch.json} names image
 * files they are as the library's own processor makes them, otherwise those that were recorded.
 *
 * @param masked per row, whether it holds an image of which the tower was told to overlook a part:
 *     no processor of transformers makes such an image of a picture, so there is nothing to compare
 */
public record GoldenBatch(
    List<long[]> ids, List<List<ModelImage>> imagesOfRows, List<Boolean> masked) {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final ImageDecoder DECODER = new ImageDecoder(ImageDecoder.DEFAULT_MAX_PIXELS);

  /** Models whose rows hold images of different geometries, or were recorded as files. */
  public static List<Path> directories() {
    return Golden.directories(
        Golden.holding("expected.safetensors")
            .and(Golden.holding("model.safetensors"))
            .and(directory -> !plain(directory)));
  }

  /** Models whose batches are recorded as pixels of one square image a row. */
  public static List<Path> plainDirectories() {
    return Golden.directories(
        Golden.holding("expected.safetensors")
            .and(Golden.holding("model.safetensors"))
            .and(GoldenBatch::plain));
  }

  private static boolean plain(Path directory) {
    return !Golden.holding("batch.json").test(directory)
        && ModelConfig.read(directory.resolve("config.json")).family().equals("llava");
  }

  /** The batch of a prefix: empty, {@code text.} or {@code nosplit.}. */
  public static GoldenBatch read(Path directory, String prefix, Path scratch) {
    try (SafeTensors inputs = SafeTensors.open(directory.resolve("inputs.safetensors"))) {
      List<long[]> ids = ids(inputs, prefix + "input_ids", prefix + "attention_mask");
      if (!Golden.holding("batch.json").test(directory)) {
        return recorded(directory, ids, inputs, scratch);
      }
      List<List<ModelImage>> images = new ArrayList<>();
      JsonNode names = JSON.readTree(directory.resolve("batch.json").toFile()).get("images");
      ImageProcessor processor = processor(directory, !prefix.equals("nosplit."), scratch);
      for (int row = 0; row < ids.size(); row++) {
        List<RgbImage> pictures = new ArrayList<>();
        if (!prefix.equals("text.")) {
          for (JsonNode name : names.get(row)) {
            pictures.add(
                picture(directory.resolve("../preprocess/images/" + name.asText() + ".png")));
          }
        }
        images.add(processor.process(pictures));
      }
      return new GoldenBatch(ids, images, Collections.nCopies(ids.size(), false));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static GoldenBatch recorded(
      Path directory, List<long[]> ids, SafeTensors inputs, Path scratch) throws IOException {
    ModelConfig config = ModelConfig.read(directory.resolve("config.json"));
    float[] pixels = inputs.floats("pixel_values");
    Iterator<ModelImage> images =
        (config.vision().dynamic() != null
                ? patches(directory, config, pixels, inputs.longs("image_grid_thw"))
                : config.canvases() != null
                    ? canvases(directory, inputs, scratch)
                    : squares(config, pixels))
            .iterator();
    boolean[] overlooked = overlooked(inputs);
    List<List<ModelImage>> imagesOfRows = new ArrayList<>();
    List<Boolean> masked = new ArrayList<>();
    for (int row = 0; row < ids.size(); row++) {
      long left = Arrays.stream(ids.get(row)).filter(id -> id == config.imageTokenId()).count();
      List<ModelImage> own = new ArrayList<>();
      while (left > 0) {
        own.add(images.next());
        left -= own.get(own.size() - 1).tokens();
      }
      imagesOfRows.add(own);
      masked.add(overlooked.length > 0 && overlooked[row]);
    }
    return new GoldenBatch(ids, imagesOfRows, masked);
  }

  /** Per row, whether one of its images, padding apart, has pixels that are to be overlooked. */
  private static boolean[] overlooked(SafeTensors inputs) {
    if (!inputs.tensors().containsKey("pixel_attention_mask")) {
      return new boolean[0];
    }
    long[] shape = inputs.info("pixel_attention_mask").shape();
    byte[] mask = inputs.bytes("pixel_attention_mask");
    boolean[] rows = new boolean[(int) shape[0]];
    int size = (int) (shape[2] * shape[3]);
    for (int image = 0; image < shape[0] * shape[1]; image++) {
      int seen = 0;
      for (int i = 0; i < size; i++) {
        seen += mask[image * size + i];
      }
      rows[(int) (image / shape[1])] |= seen > 0 && seen < size;
    }
    return rows;
  }

  /** Images of whole squares; those of zeros fill rows up. */
  private static List<ModelImage> squares(ModelConfig config, float[] pixels) {
    int side = config.vision().imageSize();
    ImageGeometry geometry = ImageGeometry.whole(side, side, config.imageTokens());
    List<ModelImage> images = new ArrayList<>();
    for (int at = 0; at < pixels.length; at += geometry.values()) {
      float[] own = Arrays.copyOfRange(pixels, at, at + geometry.values());
      boolean zero = true;
      for (float value : own) {
        zero &= value == 0;
      }
      if (!zero) {
        images.add(new ModelImage(geometry, own));
      }
    }
    return images;
  }

  /** Crops of any-resolution pictures, of the sizes recorded beside them. */
  private static List<ModelImage> canvases(Path directory, SafeTensors inputs, Path scratch)
      throws IOException {
    Path copy = Files.createDirectories(scratch.resolve(directory.getFileName()));
    Files.copy(
        directory.resolve("config.json"),
        copy.resolve("config.json"),
        StandardCopyOption.REPLACE_EXISTING);
    Files.writeString(copy.resolve("preprocessor_config.json"), "{}");
    ImageProcessor processor = ImageProcessor.open(copy);
    float[] pixels = inputs.floats("pixel_values");
    long[] sizes = inputs.longs("image_sizes");
    int room = pixels.length / (sizes.length / 2);
    List<ModelImage> images = new ArrayList<>();
    for (int i = 0; i < sizes.length / 2; i++) {
      ImageGeometry geometry = processor.geometry((int) sizes[2 * i + 1], (int) sizes[2 * i]);
      assertEquals(inputs.longs("image_patch_counts")[i], geometry.inputs());
      assertEquals(inputs.longs("image_token_counts")[i], geometry.tokens());
      images.add(
          new ModelImage(
              geometry, Arrays.copyOfRange(pixels, i * room, i * room + geometry.values())));
    }
    return images;
  }

  /** Pictures put together again from patches in the order of merged blocks. */
  private static List<ModelImage> patches(
      Path directory, ModelConfig config, float[] pixels, long[] grids) {
    int patch = config.vision().patchSize();
    int merge = config.vision().dynamic().merge();
    int plane = patch * patch;
    List<ModelImage> images = new ArrayList<>();
    int from = 0;
    StillPatches stills = StillPatches.of(directory);
    for (int i = 0; i < grids.length; i += 3) {
      int high = (int) grids[i + 1];
      int wide = (int) grids[i + 2];
      ImageGeometry geometry =
          ImageGeometry.whole(high * patch, wide * patch, high * wide / merge / merge);
      float[] own = new float[geometry.values()];
      for (int p = 0; p < high * wide; p++, from += 6 * plane) {
        float[] still = stills.patch(Arrays.copyOfRange(pixels, from, from + 6 * plane));
        int block = p / (merge * merge);
        int within = p % (merge * merge);
        int row = block / (wide / merge) * merge + within / merge;
        int column = block % (wide / merge) * merge + within % merge;
        for (int c = 0; c < 3; c++) {
          for (int y = 0; y < patch; y++) {
            int to = ((c * high + row) * patch + y) * wide * patch + column * patch;
            System.arraycopy(still, c * plane + y * patch, own, to, patch);
          }
        }
      }
      images.add(new ModelImage(geometry, own));
    }
    return images;
  }

  /** A processor of the directory, with splitting turned off on demand. */
  public static ImageProcessor processor(Path directory, boolean splitting, Path scratch) {
    if (splitting) {
      return ImageProcessor.open(directory);
    }
    try {
      Path copy = Files.createDirectories(scratch.resolve(directory.getFileName()));
      for (String file : List.of("config.json", "preprocessor_config.json")) {
        ObjectNode json = (ObjectNode) JSON.readTree(directory.resolve(file).toFile());
        json.put("do_image_splitting", false);
        JSON.writeValue(copy.resolve(file).toFile(), json);
      }
      return ImageProcessor.open(copy);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A decoded picture. */
  public static RgbImage picture(Path file) {
    try {
      return DECODER.decode(Files.readAllBytes(file), file.toString());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Rows of a padded matrix. */
  public static List<long[]> ids(SafeTensors inputs, String ids, String mask) {
    long[] values = inputs.longs(ids);
    long[] masks = inputs.longs(mask);
    int length = (int) inputs.tensors().get(ids).shape()[1];
    List<long[]> rows = new ArrayList<>();
    for (int begin = 0; begin < values.length; begin += length) {
      int real = (int) Arrays.stream(masks, begin, begin + length).sum();
      rows.add(Arrays.copyOfRange(values, begin, begin + real));
    }
    return rows;
  }

  /**
   * Whether a value of a tensor without positions counts: one of rows, or of images of one size.
   */
  public boolean compared(String tensor, int value, int values) {
    if (!masked.contains(true)) {
      return true;
    }
    List<Boolean> parts = new ArrayList<>();
    for (int row = 0; row < ids.size(); row++) {
      int count = tensor.equals("embedding") ? 1 : imagesOfRows.get(row).size();
      parts.addAll(Collections.nCopies(count, masked.get(row)));
    }
    return !parts.get((int) ((long) value * parts.size() / values));
  }

  /** All images, row after row. */
  public List<ModelImage> images() {
    return imagesOfRows.stream().flatMap(List::stream).toList();
  }

  /** The rows, each naming its images in {@link #images}. */
  public List<Row> rows() {
    List<Row> rows = new ArrayList<>();
    int next = 0;
    for (int r = 0; r < ids.size(); r++) {
      int[] own = new int[imagesOfRows.get(r).size()];
      for (int i = 0; i < own.length; i++) {
        own[i] = next++;
      }
      rows.add(Row.embedding(ids.get(r), false, own));
    }
    return rows;
  }
}
