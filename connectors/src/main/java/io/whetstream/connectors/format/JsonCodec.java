package io.whetstream.connectors.format;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.Map;

/** JSON, streamed: nothing but the wanted fields is ever built in memory. */
final class JsonCodec<T extends StreamRecord> implements RecordCodec<T> {
  private static final JsonFactory JSON =
      JsonFactory.builder()
          // Names come from outside. Only a parser that keeps some of them reads bytes where they
          // lie; the number it keeps is bounded, and so is their length here.
          .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
          .streamReadConstraints(
              StreamReadConstraints.builder().maxNestingDepth(64).maxNameLength(2_000).build())
          .build();

  private final RecordType<T> type;
  private final RecordShape shape;
  private final FieldMap map;
  private final int bytesField;
  private final int uriField;

  /** Index of a field that may also be a number; negative if there is none. */
  private final int numericField;

  /** Fields of the value at hand that were met. */
  private final BitSet seen = new BitSet();

  JsonCodec(RecordType<T> type, Map<String, String> paths, boolean numericIds) {
    this.type = type;
    this.shape = type.shape();
    this.map = new FieldMap(shape, paths);
    this.bytesField = shape.index("image");
    this.uriField = shape.index("imageUri");
    this.numericField = numericIds ? shape.index("id") : -1;
  }

  @Override
  public T decode(byte[] value, Coordinates at, long timestampMillis) {
    if (value.length == 0) {
      throw new BadInputException("the value is empty");
    }
    int malformed = Texts.firstMalformed(value, 0, value.length);
    if (malformed >= 0) {
      throw new BadInputException("the value is not UTF-8: byte " + malformed + " is malformed");
    }
    Object[] values = new Object[shape.size()];
    seen.clear();
    try (JsonParser parser = JSON.createParser(value)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw new BadInputException("the value is not a JSON object");
      }
      walk(new JsonInput(parser, value), map.root(), values, "$");
      if (parser.nextToken() != null) {
        throw new BadInputException("there is something after the JSON object");
      }
    } catch (JsonProcessingException e) {
      throw new BadInputException(
          "the value is not valid JSON: "
              + Texts.shorten(e.getOriginalMessage(), 300)
              + (e.getLocation() == null ? "" : " at byte " + e.getLocation().getByteOffset()),
          e);
    } catch (IOException e) {
      throw new BadInputException("the value is not valid JSON: " + e.getMessage(), e);
    }
    if (bytesField >= 0 && values[bytesField] instanceof String uri) {
      values[bytesField] = null;
      values[uriField] = values[uriField] == null ? uri : values[uriField];
    }
    return type.javaClass().cast(shape.create(values, at, timestampMillis));
  }

  private void walk(JsonInput in, FieldMap.Node node, Object[] values, String path)
      throws IOException {
    JsonParser parser = in.parser();
    if (parser.currentToken() == JsonToken.START_OBJECT) {
      while (parser.nextToken() == JsonToken.FIELD_NAME) {
        String name = parser.currentName();
        parser.nextToken();
        visit(in, node.member(name), values, path, name);
      }
    } else if (parser.currentToken() == JsonToken.START_ARRAY) {
      for (int i = 0; parser.nextToken() != JsonToken.END_ARRAY; i++) {
        visit(in, node.element(i), values, path, "[]");
      }
    }
  }

  private void visit(JsonInput in, FieldMap.Node node, Object[] values, String path, String name)
      throws IOException {
    if (node == null) {
      in.parser().skipChildren();
      return;
    }
    String here = path + "." + name;
    if (node.field() < 0) {
      walk(in, node, values, here);
      return;
    }
    if (seen.get(node.field())) {
      throw new BadInputException("field " + shape.field(node.field()).name() + " stands twice");
    }
    seen.set(node.field());
    if (node.field() == numericField && in.parser().currentToken() == JsonToken.VALUE_NUMBER_INT) {
      values[node.field()] = in.parser().getText();
    } else if (in.parser().currentToken() != JsonToken.VALUE_NULL) {
      RecordShape.Field field = shape.field(node.field());
      values[node.field()] =
          field.shape().readJson(in, here.equals("$." + field.name()) ? field.name() : here);
    }
  }

  @Override
  public byte[] encode(T value) {
    ByteArrayOutputStream head = new ByteArrayOutputStream(512);
    byte[] image = null;
    try (JsonGenerator out = JSON.createGenerator(head)) {
      out.writeStartObject();
      boolean split = bytesField == shape.size() - 1;
      shape.writeJsonFields(value, out, split ? bytesField : shape.size());
      if (split) {
        image = (byte[]) shape.value(shape.field(bytesField), value);
      }
      out.writeEndObject();
    } catch (IOException e) {
      throw new IllegalStateException("memory does not fail to be written", e);
    }
    return image == null ? head.toByteArray() : splice(head, image);
  }

  /** Appends the image to the object in {@code head}: encoding it is the one copy. */
  private static byte[] splice(ByteArrayOutputStream head, byte[] image) {
    byte[] start = head.toByteArray();
    byte[] name = ",\"image\":\"".getBytes(StandardCharsets.US_ASCII);
    int at = start.length - 1;
    byte[] all = new byte[at + name.length + Base64Writer.length(image.length) + 2];
    System.arraycopy(start, 0, all, 0, at);
    System.arraycopy(name, 0, all, at, name.length);
    int end = Base64Writer.write(image, all, at + name.length);
    all[end] = '"';
    all[end + 1] = '}';
    return all;
  }
}
