package io.whetstream.connectors.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.LoopbackRegistry;
import io.whetstream.connectors.Samples;
import io.whetstream.connectors.SelfSigned;
import io.whetstream.connectors.records.Item;
import io.whetstream.model.BadInputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Registry-framed Avro, against the registry's documented protocol on loopback. */
class SchemaRegistryTest {
  private static final Item ITEM =
      new Item("a", null, null, "t", null, 5, Samples.bytes(1, 100), null);

  private LoopbackRegistry registry;

  @BeforeEach
  void start() throws IOException {
    registry = new LoopbackRegistry();
  }

  @AfterEach
  void stop() {
    registry.close();
  }

  private RecordCodec<Item> codec() {
    return registry.format().codec(RecordType.ITEM, "items-value");
  }

  private RecordCodec<Item> codec(Map<String, String> properties) {
    return RecordFormat.avroRegistry(registry.url(), properties)
        .codec(RecordType.ITEM, "items-value");
  }

  private static String refusal(RecordCodec<Item> codec, byte[] value) {
    return assertThrows(BadInputException.class, () -> codec.decode(value, null, 0)).getMessage();
  }

  private static byte[] framed(int id, byte[] value) {
    return ByteBuffer.allocate(5 + value.length).put((byte) 0).putInt(id).put(value).array();
  }

  @Test
  void valuesCarryTheIdOfTheirSchema() {
    int others = registry.register("\"string\"");
    byte[] framed = codec().encode(ITEM);
    assertEquals(List.of("POST /subjects/items-value/versions"), registry.requests);
    assertEquals(0, framed[0]);
    assertEquals(others + 1, ByteBuffer.wrap(framed).getInt(1));
    RecordCodec<Item> reader = codec();
    assertEquals(ITEM, reader.decode(framed, null, 0));
    assertEquals(ITEM, reader.decode(framed, null, 0));
    assertEquals(
        List.of("GET /schemas/ids/2"),
        registry.requests.subList(1, registry.requests.size()),
        "a schema is asked for once");
  }

  @Test
  void usersOwnSchemasAreReadByTheirFieldNames() throws IOException {
    // One schema of theirs refers to another, which the registry keeps under a subject.
    String price = "{\"type\":\"record\",\"name\":\"shop.Price\",\"fields\":[";
    price += "{\"name\":\"amount\",\"type\":\"double\"}]}";
    String doc = "{\"type\":\"record\",\"name\":\"shop.Doc\",\"fields\":[";
    doc += "{\"name\":\"title\",\"type\":\"string\"},";
    doc += "{\"name\":\"price\",\"type\":\"shop.Price\"},";
    doc += "{\"name\":\"sku\",\"type\":\"string\"}]}";
    registry.subject("prices", registry.register(price));
    int id =
        registry.register(
            Map.of(
                "schema",
                doc,
                "references",
                List.of(Map.of("name", "shop.Price", "subject", "prices", "version", 1))));
    Schema.Parser parser = new Schema.Parser();
    Schema priceSchema = parser.parse(price);
    Schema theirs = parser.parse(doc);
    GenericData.Record amount = new GenericData.Record(priceSchema);
    amount.put("amount", 1.5);
    GenericData.Record record = new GenericData.Record(theirs);
    record.put("title", "a cat");
    record.put("price", amount);
    record.put("sku", "s1");
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(out, null);
    new GenericDatumWriter<>(theirs).write(record, encoder);
    RecordFormat format =
        new RecordFormat(
            RecordFormat.Encoding.AVRO_REGISTRY,
            Map.of("id", "sku", "text", "title"),
            null,
            registry.url(),
            Map.of());
    assertEquals(
        new Item("s1", null, null, "a cat", null, 3, null, null),
        format
            .codec(RecordType.ITEM, "items-value")
            .decode(framed(id, out.toByteArray()), null, 3));
  }

  @Test
  void whatTheRegistryCannotExplainIsTheRecordsFault() {
    RecordCodec<Item> codec = codec();
    assertTrue(refusal(codec, new byte[] {1, 2, 3, 4, 5, 6}).contains("not framed"));
    for (int record = 0; record < 3; record++) {
      assertTrue(refusal(codec, framed(9, new byte[3])).contains("knows no schema with id 9"));
    }
    assertEquals(1, registry.requests.size(), "asked for once: " + registry.requests);
    assertTrue(
        refusal(codec, framed(-1, new byte[3])).contains("knows no schema with id 4294967295"));
    int proto = registry.register(Map.of("schema", "message M {}", "schemaType", "PROTOBUF"));
    assertTrue(refusal(codec, framed(proto, new byte[3])).contains("PROTOBUF"));
    int broken = registry.register("{\"type\":\"what\"}");
    assertTrue(refusal(codec, framed(broken, new byte[3])).contains("no Avro"));
    int text = registry.register("\"string\"");
    assertTrue(refusal(codec, framed(text, new byte[3])).contains("no record"));
  }

  @ParameterizedTest
  @ValueSource(ints = {401, 403, 429, 500, 503})
  void aRegistryThatDoesNotAnswerIsNot(int status) {
    byte[] framed = codec().encode(ITEM);
    registry.failWith(status);
    assertThrows(UncheckedIOException.class, () -> codec().decode(framed, null, 0));
    assertThrows(UncheckedIOException.class, () -> codec().encode(ITEM));
    registry.close();
    UncheckedIOException gone =
        assertThrows(UncheckedIOException.class, () -> codec().decode(framed, null, 0));
    assertTrue(gone.getMessage().contains(registry.url()), gone.getMessage());
  }

  @ParameterizedTest
  @ValueSource(ints = {409, 422})
  void aSchemaThatTheRegistryRefusesIsSaidSo(int status) {
    registry.failWith(status);
    assertTrue(
        assertThrows(BadInputException.class, () -> codec().encode(ITEM))
            .getMessage()
            .contains("refuses the schema of items-value"));
  }

  @Test
  void credentialsAreSentAndNotSaid() {
    registry.demand(
        "Basic "
            + Base64.getEncoder().encodeToString("u:hunter2".getBytes(StandardCharsets.UTF_8)));
    codec(Map.of("basic.auth.user.info", "u:hunter2")).encode(ITEM);
    UncheckedIOException refused =
        assertThrows(
            UncheckedIOException.class,
            () -> codec(Map.of("basic.auth.user.info", "u:hunter3")).encode(ITEM));
    assertFalse(refused.getMessage().contains("hunter"), refused.getMessage());
    registry.demand("Bearer hunter2");
    codec(Map.of("bearer.auth.token", "hunter2")).encode(ITEM);
    assertThrows(UncheckedIOException.class, () -> codec().encode(ITEM));
  }

  @Test
  void aRegistryBehindTlsIsTrustedByItsTrustStoreOnly(@TempDir Path directory) throws Exception {
    SelfSigned certificate = SelfSigned.make(directory, "hunter2");
    registry.close();
    registry = new LoopbackRegistry(certificate.server());
    Map<String, String> trusting =
        Map.of(
            "schema.registry.ssl.truststore.location",
            certificate.trust().toString(),
            "schema.registry.ssl.truststore.password",
            certificate.password());
    assertEquals(ITEM, codec(trusting).decode(codec(trusting).encode(ITEM), null, 0));
    assertThrows(UncheckedIOException.class, () -> codec().encode(ITEM));
    assertThrows(
        BadInputException.class,
        () -> codec(Map.of("schema.registry.ssl.truststore.location", "/no/such/file")));
  }
}
