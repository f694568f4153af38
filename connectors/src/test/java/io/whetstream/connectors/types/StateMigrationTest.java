package io.whetstream.connectors.types;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.KafkaBroker;
import io.whetstream.connectors.Samples;
import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.SourceOptions;
import io.whetstream.connectors.kafka.Sources;
import io.whetstream.connectors.records.Item;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.ExceptionUtils;
import org.apache.flink.util.StateMigrationException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A savepoint that an earlier serializer wrote, restored by a job with RocksDB and this one. */
@Tag("cluster")
@Timeout(180)
class StateMigrationTest {
  private static final Item KEPT =
      new Item("i", "s3://b/k", null, "kept", "src", 7, Samples.bytes(4, 300), null);
  private static final Item ASKING = new Item("i", null, null, "asking", null, 8, null, null);

  private final KafkaConnection kafka = KafkaBroker.shared();
  private String topic;

  @TempDir Path directory;

  /** Writes items in an earlier schema; reads nothing but what it wrote. */
  private static final class Earlier extends ImmutableSerializer<Item> {
    private static final long serialVersionUID = 1L;

    private final String schema;

    Earlier(Schema schema) {
      this.schema = schema.toString();
    }

    @Override
    public void serialize(Item item, DataOutputView out) throws IOException {
      Schema earlier = new Schema.Parser().parse(schema);
      GenericData.Record record = new GenericData.Record(earlier);
      for (Schema.Field field : earlier.getFields()) {
        record.put(
            field.name(),
            switch (field.name()) {
              case "id" -> item.id();
              case "imageUri" -> item.imageUri();
              case "text" -> item.text();
              case "eventTime" ->
                  field.schema().getType() == Schema.Type.STRING
                      ? Long.toString(item.eventTime())
                      : (Object) item.eventTime();
              case "image" -> item.image() == null ? null : ByteBuffer.wrap(item.image());
              case "colour" -> "blue";
              default -> null;
            });
      }
      ByteArrayOutputStream avro = new ByteArrayOutputStream();
      BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(avro, null);
      new GenericDatumWriter<>(earlier).write(record, encoder);
      writeBytes(avro.toByteArray(), out);
      writeCoordinates(item.at(), out);
    }

    @Override
    public Item deserialize(DataInputView in) throws IOException {
      return snapshotConfiguration().restoreSerializer().deserialize(in);
    }

    @Override
    public TypeSerializer<Item> duplicate() {
      return new Earlier(new Schema.Parser().parse(schema));
    }

    @Override
    public TypeSerializerSnapshot<Item> snapshotConfiguration() {
      return new RecordSerializer.Snapshot<>(Item.class, schema);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Earlier that && schema.equals(that.schema);
    }

    @Override
    public int hashCode() {
      return schema.hashCode();
    }
  }

  /** Keeps the first item of each id and says which that was at every further one. */
  private static final class Keep extends KeyedProcessFunction<String, Read<Item>, Void> {
    private static final long serialVersionUID = 1L;
    static final BlockingQueue<Item> SAID = new LinkedBlockingQueue<>();

    private final TypeSerializer<Item> serializer;
    private transient ValueState<Item> first;

    Keep(TypeSerializer<Item> serializer) {
      this.serializer = serializer;
    }

    @Override
    public void open(OpenContext context) {
      first = getRuntimeContext().getState(new ValueStateDescriptor<>("first", serializer));
    }

    @Override
    public void processElement(Read<Item> read, Context context, Collector<Void> out)
        throws Exception {
      Item kept = first.value();
      if (kept == null) {
        first.update(read.value());
      }
      SAID.add(kept == null ? read.value() : kept);
    }
  }

  private JobClient start(TypeSerializer<Item> serializer, String savepoint) throws Exception {
    Configuration config = new Configuration();
    config.set(PipelineOptions.GENERIC_TYPES, false);
    config.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
    config.set(StateBackendOptions.STATE_BACKEND, "rocksdb");
    if (savepoint != null) {
      config.set(StateRecoveryOptions.SAVEPOINT_PATH, savepoint);
    }
    StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(config);
    env.setParallelism(1);
    SourceOptions options =
        SourceOptions.of(kafka, topic, RecordFormat.json(), "g").startingAt("earliest");
    Sources.read(env, RecordType.ITEM, options, "items")
        .reads()
        .keyBy(read -> read.value().id(), org.apache.flink.api.common.typeinfo.Types.STRING)
        .process(new Keep(serializer))
        .returns(org.apache.flink.api.common.typeinfo.Types.VOID)
        .uid("keep");
    return env.executeAsync();
  }

  private void send(Item item) {
    RecordCodec<Item> codec = RecordFormat.json().codec(RecordType.ITEM, null);
    byte[] key = item.id().getBytes(StandardCharsets.UTF_8);
    KafkaBroker.send(kafka, topic, key, List.of(codec.encode(item)));
  }

  private static Item said(JobClient job) throws Exception {
    Item said = null;
    while (said == null) {
      said = Keep.SAID.poll(100, TimeUnit.MILLISECONDS);
      if (said == null && job.getJobExecutionResult().isDone()) {
        job.getJobExecutionResult().get();
      }
    }
    return said;
  }

  @Test
  void whatAnEarlierVersionSavedIsReadAndSavedAgainInThePresentForm() throws Exception {
    create("migrated");
    Schema other =
        FrozenRecordsTest.variant(
            schema -> {
              FrozenRecordsTest.remove(schema, "source");
              schema
                  .withArray("fields")
                  .insertObject(1)
                  .put("name", "colour")
                  .put("type", "string");
            });
    send(KEPT);
    JobClient before = start(new Earlier(other), null);
    assertEquals("kept", said(before).text());
    String savepoint = stop(before);

    JobClient after = start(Types.serializer(RecordType.ITEM), savepoint);
    send(ASKING);
    Item kept = said(after);
    assertEquals(KEPT.text(), kept.text());
    assertEquals(KEPT.imageUri(), kept.imageUri());
    assertEquals(KEPT.eventTime(), kept.eventTime());
    assertEquals(ByteBuffer.wrap(KEPT.image()), ByteBuffer.wrap(kept.image()));
    assertEquals(topic, kept.at().topic());
    // The earlier version did not have it.
    assertEquals(null, kept.source());

    // What is saved now is in the present form, and needs no migration.
    String again = stop(after);
    JobClient last = start(Types.serializer(RecordType.ITEM), again);
    send(ASKING);
    assertEquals(kept, said(last));
    stop(last);
  }

  @Test
  void whatCannotBeReadIsRefusedAtTheStart() throws Exception {
    create("refused");
    Schema otherType =
        FrozenRecordsTest.variant(
            schema -> {
              FrozenRecordsTest.remove(schema, "eventTime");
              schema.withArray("fields").addObject().put("name", "eventTime").put("type", "string");
            });
    send(KEPT);
    JobClient before = start(new Earlier(otherType), null);
    said(before);
    String savepoint = stop(before);
    JobClient refused = start(Types.serializer(RecordType.ITEM), savepoint);
    send(ASKING);
    ExecutionException failure = assertThrows(ExecutionException.class, () -> said(refused));
    assertTrue(
        ExceptionUtils.findThrowable(failure, StateMigrationException.class).isPresent(),
        ExceptionUtils.stringifyException(failure));
  }

  private void create(String name) {
    topic = name;
    KafkaBroker.create(kafka, topic, 1, Map.of());
    Keep.SAID.clear();
  }

  private String stop(JobClient job) throws Exception {
    String savepoint =
        job.stopWithSavepoint(false, directory.toUri().toString(), SavepointFormatType.CANONICAL)
            .get(60, TimeUnit.SECONDS);
    job.getJobExecutionResult().get(60, TimeUnit.SECONDS);
    return savepoint;
  }
}
