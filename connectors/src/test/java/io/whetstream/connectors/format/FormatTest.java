package io.whetstream.connectors.format;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.Samples;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.model.BadInputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.junit.jupiter.api.Test;

class FormatTest {
  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private static Item item(String json) {
    return RecordFormat.json().codec(RecordType.ITEM, null).decode(utf8(json), null, 99);
  }

  private static String refusal(String json) {
    return assertThrows(BadInputException.class, () -> item(json)).getMessage();
  }

  @Test
  void unknownFieldsAreIgnoredAndMissingTimesAreKafkas() {
    Item item = item("{\"new\":{\"a\":[1,{}]},\"id\":\"a\",\"text\":\"t\",\"more\":null}");
    assertEquals(new Item("a", null, null, "t", null, 99, null, null), item);
  }

  @Test
  void aMissingFieldIsNamed() {
    assertTrue(refusal("{\"text\":\"t\"}").contains("field id of Item is missing"));
    assertTrue(refusal("{\"id\":null,\"text\":\"t\"}").contains("field id of Item is missing"));
    assertTrue(refusal("{\"id\":1,\"text\":\"t\"}").contains("field id must be a text"));
  }

  @Test
  void anImageMayBeBase64OrAUriOrADataUri() {
    byte[] image = Samples.bytes(1, 10);
    String base64 = Base64.getEncoder().encodeToString(image);
    assertArrayEquals(image, item("{\"id\":\"a\",\"image\":\"" + base64 + "\"}").image());
    assertArrayEquals(
        image, item("{\"id\":\"a\",\"image\":\"" + base64.replace("/", "\\/") + "\"}").image());
    assertArrayEquals(
        image, item("{\"id\":\"a\",\"image\":\"data:image/png;base64," + base64 + "\"}").image());
    Item byUri = item("{\"id\":\"a\",\"image\":\"https:\\/\\/h\\/i.png\"}");
    assertNull(byUri.image());
    assertEquals("https://h/i.png", byUri.imageUri());
    assertEquals("s3://b/k", item("{\"id\":\"a\",\"image\":\"s3://b/k\"}").imageUri());
    assertTrue(refusal("{\"id\":\"a\",\"image\":\"***\"}").contains("neither base64 nor a URI"));
  }

  @Test
  void timesMayBeIso8601() {
    String json = "{\"id\":\"a\",\"text\":\"t\",\"eventTime\":\"2026-01-31T13:00:00+01:00\"}";
    assertEquals(1769860800000L, item(json).eventTime());
    assertTrue(refusal("{\"id\":\"a\",\"text\":\"t\",\"eventTime\":\"noon\"}").contains("1970"));
  }

  @Test
  void aQuerySaysWhichKindsItsSidesAllow() {
    RecordCodec<SimilarityQuery> codec = RecordFormat.json().codec(RecordType.QUERY, null);
    SimilarityQuery query =
        codec.decode(utf8("{\"id\":\"q\",\"text\":\"t\",\"minScore\":0.5}"), null, 1);
    assertEquals(2, query.kinds().size());
    assertTrue(query.enabled());
    BadInputException refused =
        assertThrows(
            BadInputException.class,
            () ->
                codec.decode(
                    utf8(
                        "{\"id\":\"q\",\"text\":\"t\",\"minScore\":0.5,\"kinds\":[\"text-image\"]}"),
                    null,
                    1));
    assertTrue(refused.getMessage().contains("which it does not have"));
    assertThrows(
        BadInputException.class,
        () -> codec.decode(utf8("{\"id\":\"q\",\"text\":\"t\",\"minScore\":\"x\"}"), null, 1));
  }

  @Test
  void base64IsTakenAsTheWorldWritesIt() {
    byte[] image = Samples.bytes(1, 200);
    image[0] = (byte) 0xFB;
    image[1] = (byte) 0xFF;
    String lines = Base64.getMimeEncoder().encodeToString(image).replace("\r\n", "\\r\\n");
    String url = Base64.getUrlEncoder().encodeToString(image);
    String unpadded = Base64.getUrlEncoder().withoutPadding().encodeToString(image);
    assertTrue(lines.contains("\\r\\n") && url.contains("-") && !unpadded.contains("="));
    for (String text : List.of(lines, url, unpadded, "data:image/png;base64," + url, url + " ")) {
      assertArrayEquals(image, item("{\"id\":\"a\",\"image\":\"" + text + "\"}").image(), text);
    }
    assertTrue(refusal("{\"id\":\"a\",\"image\":\"a.b\"}").contains("neither base64 nor a URI"));
  }

  @Test
  void anIdMayBeANumberIfThatIsAskedFor() {
    RecordCodec<Item> codec =
        RecordFormat.json(Map.of("id", "$.meta.no")).withNumericIds().codec(RecordType.ITEM, null);
    String text = "\"text\":\"t\",\"meta\":{\"no\":";
    assertEquals("900719925474099312345", decoded(codec, "{" + text + "900719925474099312345}}"));
    assertEquals("x", decoded(codec, "{" + text + "\"x\"}}"));
    assertThrows(BadInputException.class, () -> decoded(codec, "{" + text + "1.5}}"));
    assertThrows(BadInputException.class, () -> decoded(codec, "{" + text + "true}}"));
  }

  private static String decoded(RecordCodec<Item> codec, String json) {
    return codec.decode(utf8(json), null, 1).id();
  }

  /** Which of the two is meant is not known, and readers differ. */
  @Test
  void aFieldThatStandsTwiceIsRefused() {
    assertTrue(
        refusal("{\"id\":\"a\",\"text\":\"t\",\"text\":\"u\"}")
            .contains("field text stands twice"));
    assertTrue(
        refusal("{\"id\":\"a\",\"text\":\"t\",\"id\":null}").contains("field id stands twice"));
    // What is not looked at may be anything.
    assertEquals("a", item("{\"x\":1,\"id\":\"a\",\"x\":2,\"text\":\"t\"}").id());
  }

  @Test
  void aQueryNamesTextsThatItemsMustBeLessLike() {
    RecordCodec<SimilarityQuery> codec = RecordFormat.json().codec(RecordType.QUERY, null);
    String start = "{\"id\":\"q\",\"minScore\":0.5,";
    SimilarityQuery query =
        codec.decode(utf8(start + "\"text\":\"t\",\"unlike\":[\"a\",\"b\",\"a\"]}"), null, 1);
    assertEquals(List.of("a", "b"), query.unlike());
    RecordCodec<SimilarityQuery> avro = RecordFormat.avro().codec(RecordType.QUERY, null);
    assertEquals(query, codec.decode(codec.encode(query), null, 2));
    assertEquals(query, avro.decode(avro.encode(query), null, 2));
    assertEquals(List.of(), codec.decode(utf8(start + "\"text\":\"t\"}"), null, 1).unlike());
    Map<String, String> refused =
        Map.of(
            "\"imageUri\":\"file:///i\",\"unlike\":[\"a\"]}",
            "which it does not have",
            "\"text\":\"t\",\"unlike\":[\"t\"]}",
            "the query's own",
            "\"text\":\"t\",\"unlike\":[\" \"]}",
            "blank",
            "\"text\":\"t\",\"unlike\":[" + texts(17) + "]}",
            "at most 16");
    refused.forEach(
        (rest, why) -> {
          BadInputException failure =
              assertThrows(
                  BadInputException.class, () -> codec.decode(utf8(start + rest), null, 1));
          assertTrue(failure.getMessage().contains(why), failure.getMessage());
        });
  }

  private static String texts(int count) {
    return IntStream.range(0, count)
        .mapToObj(i -> "\"other " + i + "\"")
        .collect(Collectors.joining(","));
  }

  @Test
  void aFieldMapReadsUsersOwnJson() {
    RecordFormat format =
        RecordFormat.json(
            Map.of(
                "id", "$.meta['doc id']",
                "image", "$.media[1].url",
                "caption", "title",
                "eventTime", "$.meta.at"));
    RecordCodec<ImageTextPair> codec = format.codec(RecordType.PAIR, null);
    ImageTextPair pair =
        codec.decode(
            utf8(
                "{\"id\":7,\"title\":\"a cat\",\"media\":[{\"url\":\"x\"},{\"w\":1,\"url\":"
                    + "\"https://h/c.png\"}],\"meta\":{\"doc id\":\"d1\",\"at\":5},"
                    + "\"captionLong\":\"long\"}"),
            null,
            0);
    assertEquals(
        new ImageTextPair("d1", "https://h/c.png", null, "a cat", "long", null, 5, null, null),
        pair);
  }

  @Test
  void refusesAFieldMapThatCannotBeMeant() {
    for (Map<String, String> map :
        List.of(
            Map.of("titel", "$.a"),
            Map.of("id", "$"),
            Map.of("id", "$..a"),
            Map.of("id", "$.a[*]"),
            Map.of("id", "$.a["),
            Map.of("id", "$.text"))) {
      assertThrows(
          BadInputException.class,
          () -> RecordFormat.json(map).codec(RecordType.ITEM, null),
          map.toString());
    }
  }

  private static final Schema THEIRS =
      new Schema.Parser()
          .parse(
              "{\"type\":\"record\",\"name\":\"Doc\",\"namespace\":\"shop\",\"fields\":["
                  + "{\"name\":\"title\",\"type\":\"string\"},"
                  + "{\"name\":\"price\",\"type\":{\"type\":\"array\",\"items\":\"double\"}},"
                  + "{\"name\":\"sku\",\"type\":\"string\"}]}");

  private static byte[] theirs() throws IOException {
    GenericData.Record record = new GenericData.Record(THEIRS);
    record.put("title", "a cat");
    record.put("price", List.of(1.5, 2.5));
    record.put("sku", "s1");
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
    new GenericDatumWriter<>(THEIRS).write(record, encoder);
    encoder.flush();
    return out.toByteArray();
  }

  @Test
  void readsUsersOwnAvroByTheirFieldNames() throws IOException {
    RecordFormat format =
        new RecordFormat(
            RecordFormat.Encoding.AVRO,
            Map.of("id", "sku", "text", "title"),
            THEIRS.toString(),
            null,
            null);
    assertEquals(
        new Item("s1", null, null, "a cat", null, 3, null, null),
        format.codec(RecordType.ITEM, null).decode(theirs(), null, 3));
    RecordFormat wrong =
        new RecordFormat(
            RecordFormat.Encoding.AVRO, Map.of("id", "nope"), THEIRS.toString(), null, null);
    assertTrue(
        assertThrows(BadInputException.class, () -> wrong.codec(RecordType.ITEM, null))
            .getMessage()
            .contains("does not have"));
  }
}
