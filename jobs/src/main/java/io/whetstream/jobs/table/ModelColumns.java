package io.whetstream.jobs.table;

import static org.apache.flink.table.types.logical.LogicalTypeRoot.ARRAY;
import static org.apache.flink.table.types.logical.LogicalTypeRoot.FLOAT;

import io.whetstream.jobs.config.Nearest;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeFamily;

/**
 * What a model takes and gives. Columns are known by their names; their order is the user's.
 *
 * @param image index of the input {@code image}, or -1
 * @param text index of the input {@code text}, or -1
 * @param outputs what is given, in order
 */
record ModelColumns(int image, int text, List<Output> outputs) implements Serializable {

  /** A column that a model can give. */
  enum Output {
    /** Of the image where there is one, else of the text. */
    EMBEDDING("ARRAY<FLOAT>"),
    IMAGE_EMBEDDING("ARRAY<FLOAT>"),
    TEXT_EMBEDDING("ARRAY<FLOAT>"),
    /** {@link #EMBEDDING} with the adapter's name in it: what {@code VECTOR_SEARCH} takes. */
    PROBE("ARRAY<FLOAT>"),
    /** Cosine of the row's own image and text. */
    SIMILARITY("DOUBLE"),
    /** Digest of the adapter that made the row. */
    ADAPTER("STRING"),
    /** Why there is no embedding, or NULL. */
    ERROR("STRING");

    private final String type;

    Output(String type) {
      this.type = type;
    }

    String column() {
      return name().toLowerCase(Locale.ROOT);
    }

    boolean accepts(LogicalType given) {
      return switch (type) {
        case "ARRAY<FLOAT>" -> given.is(ARRAY) && given.getChildren().get(0).is(FLOAT);
        case "DOUBLE" -> given.is(org.apache.flink.table.types.logical.LogicalTypeRoot.DOUBLE);
        default -> given.is(LogicalTypeFamily.CHARACTER_STRING);
      };
    }
  }

  /**
   * @param reasons whether rows may be NULL, which takes a column for the reason
   * @throws ValidationException naming the column that is wrong or missing
   */
  static ModelColumns of(ResolvedSchema input, ResolvedSchema output, boolean reasons) {
    int image = -1;
    int text = -1;
    List<Column> columns = input.getColumns();
    for (int i = 0; i < columns.size(); i++) {
      Column column = columns.get(i);
      LogicalType type = column.getDataType().getLogicalType();
      if (column.getName().equalsIgnoreCase("image")) {
        require(type.is(LogicalTypeFamily.BINARY_STRING), "input", column, "BYTES");
        image = i;
      } else if (column.getName().equalsIgnoreCase("text")) {
        require(type.is(LogicalTypeFamily.CHARACTER_STRING), "input", column, "STRING");
        text = i;
      } else {
        throw unknown("input", column, List.of("image", "text"));
      }
    }
    List<Output> outputs = new ArrayList<>();
    List<String> known = Arrays.stream(Output.values()).map(Output::column).toList();
    for (Column column : output.getColumns()) {
      int found = known.indexOf(column.getName().toLowerCase(Locale.ROOT));
      if (found < 0) {
        throw unknown("output", column, known);
      }
      Output each = Output.values()[found];
      require(each.accepts(column.getDataType().getLogicalType()), "output", column, each.type);
      outputs.add(each);
    }
    if (!outputs.contains(Output.ADAPTER)) {
      throw new ValidationException(
          "the output column adapter STRING is missing: vectors of different adapters must not be"
              + " compared, so each row names its own");
    }
    if (reasons && !outputs.contains(Output.ERROR)) {
      throw new ValidationException(
          "the output column error STRING is missing: it says why a row is NULL; or set 'on-error'"
              + " = 'fail'");
    }
    if (outputs.contains(Output.SIMILARITY) && (image < 0 || text < 0)) {
      throw new ValidationException(
          "the output column similarity compares an image with a text: INPUT (image BYTES, text"
              + " STRING)");
    }
    return new ModelColumns(image, text, List.copyOf(outputs));
  }

  private static void require(boolean holds, String what, Column column, String type) {
    if (!holds) {
      throw new ValidationException(
          what
              + " column "
              + column.getName()
              + " must be "
              + type
              + ", not "
              + column.getDataType());
    }
  }

  private static ValidationException unknown(String what, Column column, List<String> known) {
    return new ValidationException(
        "unknown "
            + what
            + " column '"
            + column.getName()
            + "'; the nearest known one is '"
            + Nearest.of(column.getName(), known)
            + "' (known: "
            + String.join(", ", known)
            + ")");
  }
}
