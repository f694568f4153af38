package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.types.Read;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.operators.KeyedProcessOperator;
import org.apache.flink.streaming.util.KeyedOneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PreparePairsTest {
  private static final byte[] RAW = {9, 8, 7};
  private static final byte[] PNG = ScenePairs.of(1, 0, 1).get(0).image();

  private final List<PreparedImage> prepared = new ArrayList<>();
  private final List<DeadLetter> dead = new ArrayList<>();

  private static ImageTextPair pair(byte[] image, String uri, String caption, String captionLong) {
    return new ImageTextPair("p", uri, null, caption, captionLong, null, 5, image, null);
  }

  private void prepare(ImageTextPair pair, String... overrides) throws Exception {
    List<String> all = new ArrayList<>();
    all.add("base.model=../model/src/test/resources/golden/llava-tiny");
    all.addAll(List.of(overrides));
    FineTuneConfig config = FineTuneConfig.loader().parse("", "test", all);
    try (KeyedOneInputStreamOperatorTestHarness<String, Read<ImageTextPair>, PreparedImage>
        harness =
            new KeyedOneInputStreamOperatorTestHarness<>(
                new KeyedProcessOperator<>(new PreparePairs(config)),
                read -> read.value().id(),
                Types.STRING)) {
      harness.setup(
          StreamTypes.PREPARED.createSerializer(
              harness.getExecutionConfig().getSerializerConfig()));
      harness.open();
      harness.processElement(Read.of(new Coordinates("pairs", 3, 17), 5, null, RAW, pair), 5);
      prepared.addAll(harness.extractOutputValues());
      var letters = harness.getSideOutput(PreparePairs.DEAD);
      if (letters != null) {
        letters.forEach(letter -> dead.add(letter.getValue()));
      }
    }
  }

  private void assertRefused(String reason) {
    assertTrue(prepared.isEmpty());
    assertEquals(1, dead.size());
    assertEquals("prepare", dead.get(0).stage());
    assertArrayEquals(RAW, dead.get(0).value());
    assertEquals(new Coordinates("pairs", 3, 17), dead.get(0).at());
    assertTrue(dead.get(0).message().contains(reason), dead.get(0).message());
  }

  @Test
  void aPairIsDecodedAndKeepsItsEncodedImageAndWhereItLay() throws Exception {
    prepare(pair(PNG, null, "a red circle", "a red circle on white"));
    assertTrue(dead.isEmpty());
    PreparedImage image = prepared.get(0);
    assertTrue(image.image().tokens() > 0);
    assertArrayEquals(PNG, image.pair().image());
    assertEquals(PairIds.digest(PNG), image.pair().imageDigest());
    assertEquals(3, image.pair().partition());
    assertEquals(17, image.pair().offset());
  }

  @Test
  void withoutAShortCaptionTheLongOneTellsPairsApart() throws Exception {
    prepare(pair(PNG, null, null, "a red circle on white"));
    prepare(pair(PNG, null, null, "a blue circle on white"));
    assertNull(prepared.get(0).pair().shortCaption());
    assertNotEquals(prepared.get(0).pair().captionDigest(), prepared.get(1).pair().captionDigest());
  }

  @Test
  void anImageThatCannotBeDecodedGoesToDeadLettersWithItsBytes() throws Exception {
    prepare(pair(new byte[] {1, 2, 3}, null, "a red circle", null));
    assertRefused("pair 'p' at ");
  }

  @Test
  void anImageOfTooManyPixelsGoesToDeadLetters() throws Exception {
    prepare(pair(PNG, null, "a red circle", null), "prepare.maxPixels=100");
    assertRefused("100");
  }

  @Test
  void anImageThatIsOnlyAUriGoesToDeadLetters() throws Exception {
    prepare(pair(null, "s3://pictures/1.png", "a red circle", null));
    assertRefused("s3://pictures/1.png, which was not fetched");
  }

  /** A picture of one by thirty million pixels: 60 kilobytes as a file, 2 GB when blown up. */
  private static byte[] thin() throws IOException {
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    ImageIO.write(new BufferedImage(1, 30_000_000, BufferedImage.TYPE_BYTE_GRAY), "png", png);
    return png.toByteArray();
  }

  /** With CLIP's shorter edge and with SigLIP's square, whose lines would be beyond an int. */
  @ParameterizedTest
  @ValueSource(strings = {"llava-tiny", "llava-siglip-tiny"})
  void aPictureTooThinToBeResizedGoesToDeadLetters(String base) throws Exception {
    byte[] thin = thin();
    assertTrue(thin.length < 200_000, "a small file: " + thin.length);
    prepare(
        pair(thin, null, "a line", null), "base.model=../model/src/test/resources/golden/" + base);
    assertRefused("1x30000000");
    assertTrue(dead.get(0).message().contains("too long and thin"), dead.get(0).message());
  }
}
