package io.whetstream.connectors.format;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.connectors.LoopbackRegistry;
import io.whetstream.connectors.Samples;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.types.Read;
import java.lang.management.ManagementFactory;
import java.util.concurrent.Callable;
import org.apache.flink.api.common.serialization.SerializerConfigImpl;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * How often image bytes are copied, seen by what a thread allocates: every copy needs an array of
 * its own.
 */
class ImageCopiesTest {
  private static final int IMAGE = 4 << 20;

  /** What there is beside the image: captions, parsers, buffers of the first kilobytes. */
  private static final long SMALL = 256 << 10;

  @ParameterizedTest
  @ValueSource(strings = {"json", "avro", "avro-registry"})
  void imageBytesAreCopiedOnceInEachDirection(String name) throws Exception {
    try (LoopbackRegistry registry = new LoopbackRegistry()) {
      RecordFormat format =
          name.equals("avro-registry")
              ? registry.format()
              : RecordFormat.named(name, java.util.Map.of());
      RecordCodec<ImageTextPair> codec = format.codec(RecordType.PAIR, "pairs-value");
      ImageTextPair pair =
          new ImageTextPair("p", null, null, "c", "l", "s", 1, Samples.bytes(1, IMAGE), null);
      byte[] value = codec.encode(pair);
      assertEquals(pair, codec.decode(value, null, 0));

      assertOneArrayOf(value.length, allocated(() -> codec.encode(pair)));
      assertOneArrayOf(IMAGE, allocated(() -> codec.decode(value, null, 0)));
      // The measure sees a second copy.
      long twice = allocated(() -> codec.decode(value, null, 0).image().clone());
      assertTrue(twice > 2L * IMAGE, twice + " bytes");
      if (name.equals("json")) {
        ObjectMapper usual = new ObjectMapper();
        long tree = allocated(() -> usual.readTree(value).path("image").binaryValue());
        assertTrue(tree > 2L * IMAGE, tree + " bytes");
      }

      // From one chained operator to the next nothing is copied.
      TypeSerializer<Read<ImageTextPair>> serializer =
          Read.typeInfo(RecordType.PAIR).createSerializer(new SerializerConfigImpl());
      Read<ImageTextPair> read = Read.of(null, 0, null, value, pair);
      assertSame(read, serializer.copy(read));
    }
  }

  private static void assertOneArrayOf(long bytes, long allocated) {
    assertTrue(allocated >= bytes, allocated + " bytes for " + bytes);
    assertTrue(allocated <= bytes + SMALL, allocated + " bytes for " + bytes);
  }

  private static long allocated(Callable<?> work) throws Exception {
    var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    work.call();
    long before = threads.getCurrentThreadAllocatedBytes();
    work.call();
    return threads.getCurrentThreadAllocatedBytes() - before;
  }
}
