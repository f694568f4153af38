package io.whetstream.connectors.types;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.Samples;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.DeadLetter;
import io.whetstream.connectors.records.Header;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataOutputSerializer;

/**
 * Writes down what records look like on the wire and in state, so that later releases can be held
 * to it. Run once for each version of the schemas, from this module's directory, with a name such
 * as {@code v2}; what is written is never changed afterwards.
 */
final class Frozen {
  static final Path DIRECTORY = Path.of("src/test/resources/frozen");

  private static final ObjectMapper JSON =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  private Frozen() {}

  public static void main(String[] arguments) throws IOException {
    Path directory = Files.createDirectories(DIRECTORY.resolve(arguments[0]));
    for (RecordType<?> type : RecordType.all()) {
      write(directory, type);
    }
    write(directory, "Read", Read.typeInfo(RecordType.ITEM).createSerializer(null), reads());
    write(directory, "DeadLetter", Types.deadLetterSerializer(), letters());
  }

  static <T extends StreamRecord> List<T> samples(RecordType<T> type) {
    return Samples.all().stream()
        .filter(type.javaClass()::isInstance)
        .map(type.javaClass()::cast)
        .toList();
  }

  static List<DeadLetter> letters() {
    byte[] value = Samples.bytes(9, 50);
    return List.of(
        new DeadLetter(
            Samples.AT,
            7,
            new byte[] {1},
            value,
            List.of(new Header("trace", new byte[] {2}), new Header("empty", null)),
            "decode",
            "E",
            "why",
            3,
            null),
        new DeadLetter(Samples.AT, -1, null, null, List.of(), "fetch", "", "", 0, "s3://b/v"));
  }

  static List<Read<Item>> reads() {
    Item item = samples(RecordType.ITEM).get(0);
    byte[] raw = Samples.bytes(8, 60);
    Read<Item> fresh =
        new Read<>(
            Samples.AT,
            5,
            new byte[] {4},
            raw,
            List.of(new Header("trace", new byte[] {2})),
            2,
            new Coordinates("items", 0, 11),
            item,
            null);
    return List.of(
        fresh,
        Read.of(Samples.AT, 5, new byte[] {4}, null, null),
        fresh.dead("decode", new BadInputException("why")));
  }

  private static <T extends StreamRecord> void write(Path directory, RecordType<T> type)
      throws IOException {
    ObjectNode all = state(Types.serializer(type), samples(type));
    all.set("schema", JSON.readTree(type.schema().toString()));
    for (T sample : samples(type)) {
      all.withArray("json")
          .add(
              new String(
                  RecordFormat.json().codec(type, null).encode(sample), StandardCharsets.UTF_8));
      all.withArray("avro").add(base64(RecordFormat.avro().codec(type, null).encode(sample)));
    }
    JSON.writeValue(directory.resolve(type.name() + ".json").toFile(), all);
  }

  private static <T> void write(
      Path directory, String name, TypeSerializer<T> serializer, List<T> samples)
      throws IOException {
    JSON.writeValue(directory.resolve(name + ".json").toFile(), state(serializer, samples));
  }

  private static <T> ObjectNode state(TypeSerializer<T> serializer, List<T> samples)
      throws IOException {
    ObjectNode node = JSON.createObjectNode();
    DataOutputSerializer out = new DataOutputSerializer(1024);
    TypeSerializerSnapshot.writeVersionedSnapshot(out, serializer.snapshotConfiguration());
    node.put("snapshot", base64(out.getCopyOfBuffer()));
    List<String> states = new ArrayList<>();
    for (T sample : samples) {
      DataOutputSerializer value = new DataOutputSerializer(1024);
      serializer.serialize(sample, value);
      states.add(base64(value.getCopyOfBuffer()));
    }
    states.forEach(node.withArray("state")::add);
    return node;
  }

  private static String base64(byte[] bytes) {
    return Base64.getEncoder().encodeToString(bytes);
  }
}
