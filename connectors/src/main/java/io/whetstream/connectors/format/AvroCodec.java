package io.whetstream.connectors.format;

import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.IndexedRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;

/** Avro's binary encoding, plain or framed with the id that a registry gave the schema. */
final class AvroCodec<T extends StreamRecord> implements RecordCodec<T> {
  private static final int FRAME = 5;
  private static final int READERS = 64;

  private final RecordType<T> type;
  private final RecordShape shape;
  private final Map<String, String> names;
  private final Schema writer;
  private final SchemaRegistry registry;
  private final String subject;
  private final boolean imageLast;
  private final Map<Schema, GenericDatumReader<IndexedRecord>> readers =
      new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(
            Map.Entry<Schema, GenericDatumReader<IndexedRecord>> eldest) {
          return size() > READERS;
        }
      };
  private final ByteArrayOutputStream buffer = new ByteArrayOutputStream(512);
  private final BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(buffer, null);
  private int writerId = -1;

  AvroCodec(RecordType<T> type, Map<String, String> names, Schema writer) {
    this(type, names, writer, null, null);
  }

  AvroCodec(
      RecordType<T> type, Map<String, String> names, SchemaRegistry registry, String subject) {
    this(type, names, null, registry, subject);
  }

  private AvroCodec(
      RecordType<T> type,
      Map<String, String> names,
      Schema writer,
      SchemaRegistry registry,
      String subject) {
    this.type = type;
    this.shape = type.shape();
    this.names = names;
    this.writer = writer;
    this.registry = registry;
    this.subject = subject;
    this.imageLast = shape.index("image") >= 0 && shape.index("image") == shape.size() - 1;
    if (writer != null) {
      readerFor(writer);
    }
  }

  @Override
  public T decode(byte[] value, Coordinates at, long timestampMillis) {
    if (value.length == 0) {
      throw new BadInputException("the value is empty");
    }
    Schema written = writer;
    int from = 0;
    if (registry != null) {
      if (value.length < FRAME || value[0] != 0) {
        throw new BadInputException(
            "the value is not framed for a schema registry: it must begin with a zero byte and the"
                + " schema's id");
      }
      written = registry.schema(ByteBuffer.wrap(value).getInt(1));
      from = FRAME;
    }
    BoundedDecoder decoder = new BoundedDecoder(value, from);
    Object[] values;
    try {
      values = shape.avroValues(readerFor(written).read(null, decoder));
    } catch (BadInputException e) {
      throw e;
    } catch (IOException | RuntimeException e) {
      throw new BadInputException(
          "the value is not Avro of "
              + written.getName()
              + ": "
              + Texts.shorten(String.valueOf(e.getMessage()), 300),
          e);
    }
    if (decoder.position() != value.length) {
      throw new BadInputException(
          (value.length - decoder.position()) + " bytes are left after the Avro value");
    }
    return type.javaClass().cast(shape.create(values, at, timestampMillis));
  }

  @Override
  public byte[] encode(T value) {
    buffer.reset();
    byte[] image = imageLast ? (byte[]) shape.value(shape.field(shape.size() - 1), value) : null;
    try {
      if (registry != null) {
        if (writerId < 0) {
          writerId = registry.register(subject, type.schema());
        }
        buffer.write(0);
        buffer.writeBytes(ByteBuffer.allocate(4).putInt(writerId).array());
      }
      if (image == null) {
        shape.writeAvro(value, encoder);
      } else {
        shape.writeAvroFields(value, encoder, shape.size() - 1);
        encoder.writeIndex(1);
        encoder.writeLong(image.length);
      }
      encoder.flush();
    } catch (IOException e) {
      throw new IllegalStateException("memory does not fail to be written", e);
    }
    byte[] head = buffer.toByteArray();
    if (image == null) {
      return head;
    }
    byte[] all = new byte[Math.addExact(head.length, image.length)];
    System.arraycopy(head, 0, all, 0, head.length);
    System.arraycopy(image, 0, all, head.length, image.length);
    return all;
  }

  private GenericDatumReader<IndexedRecord> readerFor(Schema written) {
    return readers.computeIfAbsent(
        written, schema -> new GenericDatumReader<>(schema, readerSchema(schema)));
  }

  /** Our schema, with the other's names as aliases so that Avro's own resolution finds them. */
  private Schema readerSchema(Schema written) {
    if (written.getType() != Schema.Type.RECORD) {
      throw new BadInputException("the writer's schema is " + written.getType() + ", no record");
    }
    if (names.isEmpty() && written.getFullName().equals(type.schema().getFullName())) {
      return type.schema();
    }
    Schema reader = new Schema.Parser().parse(type.schema().toString());
    if (!written.getFullName().equals(reader.getFullName())) {
      reader.addAlias(written.getFullName());
    }
    Map<String, String> missing = new HashMap<>(names);
    for (Schema.Field field : reader.getFields()) {
      String theirs = missing.remove(field.name());
      if (theirs != null) {
        String name = theirs.startsWith("$.") ? theirs.substring(2) : theirs;
        if (written.getField(name) == null) {
          throw new BadInputException(
              "the field map takes "
                  + field.name()
                  + " from '"
                  + name
                  + "', which the writer's schema "
                  + written.getFullName()
                  + " does not have");
        }
        field.addAlias(name);
      }
    }
    return reader;
  }
}
