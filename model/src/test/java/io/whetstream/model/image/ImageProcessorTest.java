package io.whetstream.model.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.BadInputException;
import io.whetstream.model.Golden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ImageProcessorTest {
  @TempDir Path scratch;

  private SquareImageProcessor open(String config) throws IOException {
    Files.writeString(scratch.resolve("preprocessor_config.json"), config.replace('\'', '"'));
    return SquareImageProcessor.open(scratch, 1);
  }

  /** Red counts columns, green rows. */
  private static RgbImage ramp(int width, int height) {
    byte[] rgb = new byte[3 * width * height];
    for (int i = 0; i < width * height; i++) {
      rgb[3 * i] = (byte) (1 + i % width);
      rgb[3 * i + 1] = (byte) (1 + i / width);
      rgb[3 * i + 2] = (byte) 200;
    }
    return new RgbImage(width, height, rgb);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{} | 224",
        "{'image_processor_type':'CLIPImageProcessor','crop_size':96} | 96",
        "{'size':336,'crop_size':{'height':336,'width':336}} | 336",
        "{'size':{'height':48,'width':48},'do_center_crop':false} | 48",
        "{'do_resize':false,'crop_size':20} | 20",
        "{'image_processor_type':'SiglipImageProcessor'} | 224",
        "{'image_processor_type':'SiglipImageProcessor','size':{'height':384,'width':384}} | 384",
        "{'feature_extractor_type':'CLIPFeatureExtractor','size':112,'crop_size':112} | 112",
      })
  void knowsItsSizeFromEveryWayToWriteIt(String config, int size) throws IOException {
    SquareImageProcessor processor = open(config);
    assertEquals(size, processor.side());
    assertEquals(3 * size * size, processor.process(ramp(50, 40)).pixels().length);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{'image_processor_type':'ViTImageProcessor'} | CLIPImageProcessor, SiglipImageProcessor",
        "{'do_pad':true} | do_pad",
        "{'resample':0} | resample",
        "{'size':-3} | size",
        "{'size':{'width':3}} | size",
        "{'size':{'shortest_edge':3,'longest_edge':4}} | size",
        "{'do_center_crop':false} | one square size",
        "{'crop_size':{'height':4,'width':5}} | one square size",
        "{'image_mean':[1,2]} | image_mean",
        "{'image_std':[1,0,1]} | image_std",
        "{'do_resize':'yes'} | do_resize",
        "{'rescale_factor':'big'} | rescale_factor",
        "{ | JSON",
        "[] | JSON",
      })
  void refusesWhatItCannotFollowAndNamesTheKey(String config, String word) {
    BadInputException e = assertThrows(BadInputException.class, () -> open(config));
    assertTrue(e.getMessage().contains("preprocessor_config.json"), e.getMessage());
    assertTrue(e.getMessage().contains(word), e.getMessage());
  }

  @Test
  void refusesADirectoryWithoutAProcessor() {
    assertThrows(BadInputException.class, () -> SquareImageProcessor.open(scratch, 1));
  }

  @Test
  void readsTheNewerProcessorFile() throws IOException {
    Files.writeString(
        scratch.resolve("processor_config.json"),
        "{\"image_processor\":{\"image_processor_type\":\"CLIPImageProcessorFast\",\"crop_size\":32}}");
    assertEquals(32, SquareImageProcessor.open(scratch, 1).side());
  }

  @Test
  void cropsTheMiddleWithTheOddPixelAtTheEnd() throws IOException {
    RgbImage cropped = open("{'do_resize':false,'crop_size':4}").cropped(ramp(9, 7));
    // (9 - 4) / 2 = 2 columns and (7 - 4) / 2 = 1 row are left out before.
    assertEquals(3, cropped.rgb()[0]);
    assertEquals(2, cropped.rgb()[1]);
  }

  @Test
  void putsBlackAroundWhatIsSmallerThanTheCrop() throws IOException {
    RgbImage cropped = open("{'do_resize':false,'crop_size':6}").cropped(ramp(3, 8));
    // 3 columns: 2 black before, 1 behind; 8 rows: the middle 6.
    int[] reds = new int[6];
    for (int x = 0; x < 6; x++) {
      reds[x] = cropped.rgb()[3 * x];
    }
    assertArrayEquals(new int[] {0, 0, 1, 2, 3, 0}, reds);
    assertEquals(2, cropped.rgb()[3 * 2 + 1]);
  }

  @Test
  void everyStepCanBeSwitchedOff() throws IOException {
    RgbImage image = ramp(4, 4);
    float[] raw =
        open("{'do_resize':false,'crop_size':4,'do_rescale':false,'do_normalize':false}")
            .process(image)
            .pixels();
    assertEquals(200f, raw[2 * 16]);
    float[] rescaled =
        open("{'do_resize':false,'crop_size':4,'do_normalize':false,'rescale_factor':0.5}")
            .process(image)
            .pixels();
    assertEquals(100f, rescaled[2 * 16]);
    float[] normalised =
        open("{'do_resize':false,'crop_size':4,'do_rescale':false,'image_mean':[0,0,50],"
                + "'image_std':[1,1,3]}")
            .process(image)
            .pixels();
    assertEquals(50f, normalised[2 * 16]);
  }

  @Test
  void anEvenColourStaysItWhateverTheSize() throws IOException {
    byte[] rgb = new byte[3 * 31 * 17];
    java.util.Arrays.fill(rgb, (byte) 77);
    for (int side : new int[] {1, 5, 17, 64}) {
      RgbImage out =
          open("{'size':" + side + ",'crop_size':" + side + "}").cropped(new RgbImage(31, 17, rgb));
      for (byte value : out.rgb()) {
        assertEquals(77, value);
      }
    }
  }

  @Test
  void refusesToBlowUpAThreadOfPixels() throws IOException {
    SquareImageProcessor processor = open("{}");
    RgbImage thread = new RgbImage(1, 20_000_000, new byte[60_000_000]);
    BadInputException e = assertThrows(BadInputException.class, () -> processor.process(thread));
    assertTrue(e.getMessage().contains("1x20000000"), e.getMessage());
  }

  @ParameterizedTest
  @CsvSource({"1, 12000000", "12000000, 1"})
  void aPictureTooThinToBeResizedIsRefusedNotOverflown(int width, int height) throws IOException {
    RgbImage thin = new RgbImage(width, height, new byte[3 * width * height]);
    for (String config :
        new String[] {
          "{'image_processor_type':'SiglipImageProcessor','size':{'height':384,'width':384}}",
          "{'size':336,'crop_size':336}"
        }) {
      SquareImageProcessor processor = open(config);
      BadInputException e =
          assertThrows(BadInputException.class, () -> processor.process(thin), config);
      assertTrue(e.getMessage().contains(width + "x" + height), e.getMessage());
      assertTrue(e.getMessage().contains("too long and thin"), e.getMessage());
    }
  }

  @Test
  void whateverOnePictureSetsOffIsAnErrorOfThatPicture() throws IOException {
    SquareImageProcessor inner = open("{}");
    ImageProcessor guarded =
        new GuardedImageProcessor(
            new ImageProcessor() {
              @Override
              public ModelImage process(RgbImage image) {
                throw new ArrayIndexOutOfBoundsException(-7);
              }

              @Override
              public ImageGeometry geometry(int width, int height) {
                return inner.geometry(width, height);
              }

              @Override
              public int mostTokens() {
                return inner.mostTokens();
              }

              @Override
              public int side() {
                return inner.side();
              }
            },
            4096);
    RgbImage picture = ramp(9, 9);
    BadInputException e = assertThrows(BadInputException.class, () -> guarded.process(picture));
    assertTrue(e.getMessage().contains("9x9"), e.getMessage());
    assertEquals(224, guarded.side());
  }

  @Test
  void aPictureThatTheContextHasNoRoomForIsRefusedWithTheRemedy() throws IOException {
    Path model = Golden.directories(Golden.holding("batch.json")).get(0);
    ObjectMapper json = new ObjectMapper();
    ObjectNode config = (ObjectNode) json.readTree(model.resolve("config.json").toFile());
    ImageProcessor roomy = ImageProcessor.open(model);
    RgbImage picture = ramp(90, 70);
    int tokens = roomy.process(picture).tokens();
    for (int room : new int[] {tokens, tokens - 1}) {
      ((ObjectNode) config.get("text_config")).put("max_position_embeddings", 128 + room);
      json.writeValue(scratch.resolve("config.json").toFile(), config);
      Files.copy(
          model.resolve("preprocessor_config.json"),
          scratch.resolve("preprocessor_config.json"),
          StandardCopyOption.REPLACE_EXISTING);
      ImageProcessor processor = ImageProcessor.open(scratch);
      if (room == tokens) {
        assertEquals(tokens, processor.process(picture).tokens());
      } else {
        BadInputException e =
            assertThrows(BadInputException.class, () -> processor.process(picture));
        assertTrue(e.getMessage().contains("90x70 pixels takes " + tokens), e.getMessage());
        assertTrue(e.getMessage().contains("preprocessor_config.json"), e.getMessage());
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "LlavaImageProcessorFast, true",
    "CLIPImageProcessorFast, true",
    "SiglipImageProcessorFast, true",
    "CLIPImageProcessorPil, true",
    "Siglip2ImageProcessor, false",
    "Siglip2ImageProcessorFast, false",
    "CLIPSegProcessor, false",
  })
  void processorsAreKnownByTheirWholeNames(String type, boolean known) throws IOException {
    String config = "{'image_processor_type':'" + type + "'}";
    if (known) {
      assertEquals(224, open(config).side());
    } else {
      BadInputException e = assertThrows(BadInputException.class, () -> open(config));
      assertTrue(e.getMessage().contains(type.replace("Fast", "")), e.getMessage());
    }
  }
}
