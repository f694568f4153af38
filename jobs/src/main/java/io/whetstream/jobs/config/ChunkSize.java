package io.whetstream.jobs.config;

import com.fasterxml.jackson.annotation.JsonCreator;
import com.fasterxml.jackson.annotation.JsonValue;
import io.whetstream.model.BadInputException;
import io.whetstream.model.train.TrainingConfig;
import java.io.Serializable;

/**
 * Rows of one forward pass, written {@code auto} or as a number.
 *
 * @param rows as {@link TrainingConfig#chunk}
 */
public record ChunkSize(int rows) implements Serializable {
  private static final long serialVersionUID = 1L;

  /** As many as fit. */
  public static final ChunkSize AUTO = new ChunkSize(TrainingConfig.AUTO);

  private static final String WORD = "auto";

  /** So many; 0 for all. */
  @JsonCreator
  public static ChunkSize of(int rows) {
    if (rows < 0) {
      throw new BadInputException("a chunk is 'auto', 0 (all) or a positive number, not " + rows);
    }
    return new ChunkSize(rows);
  }

  /**
   * Reads the written form.
   *
   * @throws BadInputException if it is neither the word nor a number
   */
  @JsonCreator
  public static ChunkSize parse(String text) {
    if (text.strip().equalsIgnoreCase(WORD)) {
      return AUTO;
    }
    try {
      return of(Integer.parseInt(text.strip()));
    } catch (NumberFormatException e) {
      throw new BadInputException(
          "a chunk is 'auto', 0 (all) or a positive number, not '" + text + "'", e);
    }
  }

  @JsonValue
  @Override
  public String toString() {
    return rows == TrainingConfig.AUTO ? WORD : Integer.toString(rows);
  }
}
