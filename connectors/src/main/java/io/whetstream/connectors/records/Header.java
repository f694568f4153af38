package io.whetstream.connectors.records;

import java.util.Arrays;

/**
 * A header of a Kafka record.
 *
 * @param name not null; may occur more than once
 * @param value not to be changed; may be null
 */
public record Header(String name, byte[] value) {
  public Header {
    Require.that(name != null, "a header needs a name");
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Header that
        && name.equals(that.name)
        && Arrays.equals(value, that.value);
  }

  @Override
  public int hashCode() {
    return 31 * name.hashCode() + Arrays.hashCode(value);
  }
}
