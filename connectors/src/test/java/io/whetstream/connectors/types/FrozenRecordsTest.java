package io.whetstream.connectors.types;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.Samples;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.StreamRecord;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Comparator;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.SchemaCompatibility.SchemaCompatibilityType;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSchemaCompatibility;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What earlier versions wrote, to topics and to state, is read by this one. */
class FrozenRecordsTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Oldest first. */
  static List<Path> versions() throws IOException {
    try (Stream<Path> found = Files.list(Frozen.DIRECTORY)) {
      return found
          .sorted(
              Comparator.comparing(
                  path -> Integer.valueOf(path.getFileName().toString().substring(1))))
          .toList();
    }
  }

  static List<RecordType<?>> types() {
    return RecordType.all();
  }

  private static JsonNode frozen(Path version, String name) throws IOException {
    return JSON.readTree(version.resolve(name + ".json").toFile());
  }

  private static byte[] bytes(JsonNode base64) {
    return Base64.getDecoder().decode(base64.asText());
  }

  @ParameterizedTest
  @MethodSource("types")
  <T extends StreamRecord> void everyVersionOfEveryRecordIsRead(RecordType<T> type)
      throws IOException {
    List<T> samples = Frozen.samples(type);
    for (Path version : versions()) {
      JsonNode frozen = frozen(version, type.name());
      RecordCodec<T> json = RecordFormat.json().codec(type, null);
      RecordCodec<T> avro =
          new RecordFormat(
                  RecordFormat.Encoding.AVRO, null, frozen.path("schema").toString(), null, null)
              .codec(type, null);
      assertEquals(samples.size(), frozen.path("json").size());
      for (int i = 0; i < samples.size(); i++) {
        T sample = samples.get(i);
        Coordinates at = type.coordinatesOf(sample);
        byte[] text = frozen.path("json").path(i).asText().getBytes(StandardCharsets.UTF_8);
        assertEquals(sample, json.decode(text, at, 0), version + " JSON");
        assertEquals(
            sample, avro.decode(bytes(frozen.path("avro").path(i)), at, 0), version + " Avro");
      }
      assertRestored(frozen, samples, Types.serializer(type));
    }
  }

  @Test
  void whatWaitsBetweenOperatorsIsRestored() throws IOException {
    for (Path version : versions()) {
      assertRestored(
          frozen(version, "Read"),
          Frozen.reads(),
          Read.typeInfo(RecordType.ITEM).createSerializer(null));
      assertRestored(frozen(version, "DeadLetter"), Frozen.letters(), Types.deadLetterSerializer());
    }
  }

  /** As a state backend does: by the snapshot, and where it says so by a migration. */
  private static <T> void assertRestored(
      JsonNode frozen, List<T> samples, TypeSerializer<T> current) throws IOException {
    TypeSerializerSnapshot<T> snapshot =
        TypeSerializerSnapshot.readVersionedSnapshot(
            new DataInputDeserializer(bytes(frozen.path("snapshot"))),
            FrozenRecordsTest.class.getClassLoader());
    TypeSerializerSchemaCompatibility<T> compatibility =
        current.snapshotConfiguration().resolveSchemaCompatibility(snapshot);
    assertFalse(compatibility.isIncompatible());
    assertEquals(samples.size(), frozen.path("state").size());
    for (int i = 0; i < samples.size(); i++) {
      byte[] state = bytes(frozen.path("state").path(i));
      T value = read(snapshot.restoreSerializer(), state);
      assertEquals(samples.get(i), value);
      DataOutputSerializer migrated = new DataOutputSerializer(1024);
      current.serialize(value, migrated);
      assertEquals(value, read(current, migrated.getCopyOfBuffer()));
      if (compatibility.isCompatibleAsIs()) {
        assertEquals(value, read(current, state));
      }
    }
  }

  private static <T> T read(TypeSerializer<T> serializer, byte[] bytes) throws IOException {
    DataInputDeserializer in = new DataInputDeserializer(bytes);
    T value = serializer.deserialize(in);
    assertEquals(0, in.available());
    return value;
  }

  @ParameterizedTest
  @MethodSource("types")
  void aChangedSchemaIsFrozenAsANewVersionAndFitsAllOthers(RecordType<?> type) throws IOException {
    List<Schema> schemas = new ArrayList<>();
    for (Path version : versions()) {
      schemas.add(
          new Schema.Parser().parse(frozen(version, type.name()).path("schema").toString()));
    }
    assertEquals(
        schemas.get(schemas.size() - 1),
        type.schema(),
        "the schema has changed: write the next version down with Frozen");
    for (Schema earlier : schemas) {
      assertTrue(fits(type.schema(), earlier), "this release does not read " + earlier);
      assertTrue(fits(earlier, type.schema()), "an earlier release does not read this one's");
    }
  }

  private static boolean fits(Schema reader, Schema writer) {
    return SchemaCompatibility.checkReaderWriterCompatibility(reader, writer).getType()
        == SchemaCompatibilityType.COMPATIBLE;
  }

  /** The schema of items as another version might have it. */
  static Schema variant(Consumer<ObjectNode> change) {
    try {
      ObjectNode schema = (ObjectNode) JSON.readTree(RecordType.ITEM.schema().toString());
      change.accept(schema);
      return new Schema.Parser().parse(schema.toString());
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  static void remove(ObjectNode schema, String field) {
    for (int i = 0; i < schema.path("fields").size(); i++) {
      if (schema.path("fields").path(i).path("name").asText().equals(field)) {
        schema.withArray("fields").remove(i);
        return;
      }
    }
    throw new IllegalArgumentException(field);
  }

  private static TypeSerializerSchemaCompatibility<Item> compatibility(Schema earlier) {
    return Types.serializer(RecordType.ITEM)
        .snapshotConfiguration()
        .resolveSchemaCompatibility(
            new RecordSerializer.Snapshot<>(Item.class, earlier.toString()));
  }

  @Test
  void stateOfAVersionWithOtherFieldsIsMigrated() throws IOException {
    Schema other =
        variant(
            schema -> {
              remove(schema, "source");
              schema
                  .withArray("fields")
                  .insertObject(1)
                  .put("name", "colour")
                  .put("type", "string")
                  .put("default", "red");
            });
    assertTrue(compatibility(other).isCompatibleAfterMigration());

    Item item = Frozen.samples(RecordType.ITEM).get(0);
    GenericData.Record record = new GenericData.Record(other);
    record.put("id", item.id());
    record.put("colour", "blue");
    record.put("imageUri", item.imageUri());
    record.put("imageDigest", item.imageDigest());
    record.put("text", item.text());
    record.put("eventTime", item.eventTime());
    record.put("image", java.nio.ByteBuffer.wrap(item.image()));
    ByteArrayOutputStream avro = new ByteArrayOutputStream();
    BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(avro, null);
    new GenericDatumWriter<>(other).write(record, encoder);
    DataOutputSerializer state = new DataOutputSerializer(64);
    ImmutableSerializer.writeBytes(avro.toByteArray(), state);
    ImmutableSerializer.writeCoordinates(Samples.AT, state);

    TypeSerializer<Item> earlier =
        new RecordSerializer.Snapshot<>(Item.class, other.toString()).restoreSerializer();
    Item restored = read(earlier, state.getCopyOfBuffer());
    assertEquals(
        new Item(
            item.id(),
            item.imageUri(),
            item.imageDigest(),
            item.text(),
            null,
            item.eventTime(),
            item.image(),
            Samples.AT),
        restored);
    assertNotEquals(item, restored);
    // Without the migration the bytes mean something else, or nothing.
    assertThrows(
        IOException.class, () -> read(Types.serializer(RecordType.ITEM), state.getCopyOfBuffer()));
  }

  @Test
  void stateThatCannotBeReadIsRefusedNotMisread() {
    Schema otherType =
        variant(
            schema -> {
              remove(schema, "eventTime");
              schema.withArray("fields").addObject().put("name", "eventTime").put("type", "string");
            });
    assertTrue(compatibility(otherType).isIncompatible());
    Schema withoutId = variant(schema -> remove(schema, "id"));
    assertTrue(compatibility(withoutId).isIncompatible());
    assertTrue(compatibility(RecordType.ITEM.schema()).isCompatibleAsIs());
    assertFalse(fits(RecordType.ITEM.schema(), otherType));
  }
}
