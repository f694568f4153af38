package io.whetstream.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.image.ImageDecoder;
import io.whetstream.model.image.ImageProcessor;
import io.whetstream.model.image.ModelImage;
import io.whetstream.model.image.RgbImage;
import io.whetstream.model.lvlm.Row;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A recorded batch of a directory with {@code batch.json}: rows without padding, and their images
 * as the library's own processor makes them.
 */
public record GoldenBatch(List<long[]> ids, List<List<ModelImage>> imagesOfRows) {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final ImageDecoder DECODER = new ImageDecoder(ImageDecoder.DEFAULT_MAX_PIXELS);

  /** Directories that record their batch this way. */
  public static List<Path> directories() {
    return Golden.directories(
        Golden.holding("batch.json")
            .and(Golden.holding("expected.safetensors"))
            .and(Golden.holding("preprocessor_config.json")));
  }

  /** The batch of a prefix: empty, {@code text.} or {@code nosplit.}. */
  public static GoldenBatch read(Path directory, String prefix, Path scratch) {
    try (SafeTensors inputs = SafeTensors.open(directory.resolve("inputs.safetensors"))) {
      List<long[]> ids = ids(inputs, prefix + "input_ids", prefix + "attention_mask");
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
      return new GoldenBatch(ids, images);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
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
