package io.whetstream.connectors.format;

import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Embedding;
import io.whetstream.connectors.records.Feedback;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.List;
import org.apache.avro.Schema;

/**
 * A kind of record: its Java class and its Avro schema, which are matched by field name. Instances
 * are constants; immutable and thread-safe.
 *
 * @param <T> the record
 */
public final class RecordType<T extends StreamRecord> {
  public static final RecordType<ImageTextPair> PAIR = of(ImageTextPair.class);
  public static final RecordType<Item> ITEM = of(Item.class);
  public static final RecordType<SimilarityQuery> QUERY = of(SimilarityQuery.class);
  public static final RecordType<QueryStatus> QUERY_STATUS = of(QueryStatus.class);
  public static final RecordType<AdapterAnnouncement> ADAPTER = of(AdapterAnnouncement.class);
  public static final RecordType<AdapterControl> ADAPTER_CONTROL = of(AdapterControl.class);
  public static final RecordType<Alert> ALERT = of(Alert.class);
  public static final RecordType<Feedback> FEEDBACK = of(Feedback.class);
  public static final RecordType<Embedding> EMBEDDING = of(Embedding.class);

  private static final List<RecordType<?>> ALL =
      List.of(
          PAIR, ITEM, QUERY, QUERY_STATUS, ADAPTER, ADAPTER_CONTROL, ALERT, FEEDBACK, EMBEDDING);

  private final Class<T> javaClass;
  private final Schema schema;
  private final RecordShape shape;

  private RecordType(Class<T> javaClass, Schema schema) {
    this.javaClass = javaClass;
    this.schema = schema;
    this.shape = new RecordShape(javaClass, schema);
  }

  private static <T extends StreamRecord> RecordType<T> of(Class<T> javaClass) {
    String resource = "/io/whetstream/connectors/avro/" + javaClass.getSimpleName() + ".avsc";
    try (InputStream in = RecordType.class.getResourceAsStream(resource)) {
      return new RecordType<>(javaClass, new Schema.Parser().parse(in));
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read resource " + resource, e);
    }
  }

  /** Every kind of record there is. */
  public static List<RecordType<?>> all() {
    return ALL;
  }

  /** The kind whose class has that simple name, for example {@code Item}. */
  public static RecordType<?> named(String name) {
    for (RecordType<?> type : ALL) {
      if (type.name().equals(name)) {
        return type;
      }
    }
    throw new BadInputException("there is no record type " + name);
  }

  /** The kind of a record class. */
  @SuppressWarnings("unchecked")
  public static <T extends StreamRecord> RecordType<T> forClass(Class<T> javaClass) {
    return (RecordType<T>) named(javaClass.getSimpleName());
  }

  /** Simple name of the class and of the schema. */
  public String name() {
    return javaClass.getSimpleName();
  }

  public Class<T> javaClass() {
    return javaClass;
  }

  /** The Avro schema that is written. */
  public Schema schema() {
    return schema;
  }

  /** Where the record was read, or null if it does not know. */
  public Coordinates coordinatesOf(T record) {
    return shape.coordinatesOf(record);
  }

  RecordShape shape() {
    return shape;
  }

  @Override
  public String toString() {
    return name();
  }
}
