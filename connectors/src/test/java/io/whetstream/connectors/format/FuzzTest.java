package io.whetstream.connectors.format;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import io.whetstream.connectors.LoopbackRegistry;
import io.whetstream.connectors.Samples;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Whatever bytes come: a record or a {@link BadInputException}, and no more memory than fits. */
class FuzzTest {
  private static final int CASES = 150_000;

  /** Beyond a small multiple of the value: what codecs and parsers need however small it is. */
  private static final long ALLOWANCE = 4 << 20;

  @Test
  void noBytesMakeADecoderFailOtherwiseOrAllocateWithoutBound() throws IOException {
    try (LoopbackRegistry registry = new LoopbackRegistry()) {
      fuzz(
          List.of(
              RecordFormat.json(),
              RecordFormat.json(Map.of("id", "$.id", "text", "$.list[2].text")),
              RecordFormat.avro(),
              registry.format()));
    }
  }

  private static void fuzz(List<RecordFormat> formats) {
    SplittableRandom random = new SplittableRandom(20261121);
    List<RecordCodec<?>> codecs = new ArrayList<>();
    List<byte[]> seeds = new ArrayList<>();
    List<Integer> codecOf = new ArrayList<>();
    for (StreamRecord sample : Samples.all()) {
      for (RecordFormat format : formats) {
        if (format.fields().isEmpty() || sample instanceof Item) {
          codecOf.add(codecs.size());
          seeds.add(add(codecs, format, sample));
        }
      }
    }
    var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    int accepted = 0;
    for (int i = 0; i < CASES; i++) {
      int pick = random.nextInt(seeds.size());
      byte[] value =
          i % 5 == 0
              ? noise(random)
              : mutate(random, seeds.get(pick), seeds.get(random.nextInt(seeds.size())));
      long before = threads.getCurrentThreadAllocatedBytes();
      try {
        codecs.get(codecOf.get(pick)).decode(value, null, 0);
        accepted++;
      } catch (BadInputException e) {
        if (e.getMessage() == null || e.getMessage().length() > 20_000) {
          fail("unreadable reason for " + HexFormat.of().formatHex(value), e);
        }
      } catch (Throwable e) {
        fail("case " + i + ": " + HexFormat.of().formatHex(value), e);
      }
      long allocated = threads.getCurrentThreadAllocatedBytes() - before;
      if (allocated > ALLOWANCE + 64L * value.length) {
        fail("case " + i + " allocated " + allocated + ": " + HexFormat.of().formatHex(value));
      }
    }
    // Mutations that leave a valid record show that the cases reach deep enough.
    assertTrue(accepted > CASES / 100, accepted + " accepted");
    assertTrue(accepted < CASES / 2, accepted + " accepted");
  }

  private static <T extends StreamRecord> byte[] add(
      List<RecordCodec<?>> codecs, RecordFormat format, T sample) {
    @SuppressWarnings("unchecked")
    RecordCodec<T> codec = format.codec(RecordType.forClass((Class<T>) sample.getClass()), "fuzz");
    codecs.add(codec);
    return codec.encode(sample);
  }

  private static byte[] noise(SplittableRandom random) {
    byte[] bytes = new byte[random.nextInt(1, 300)];
    random.nextBytes(bytes);
    return bytes;
  }

  private static byte[] mutate(SplittableRandom random, byte[] seed, byte[] other) {
    byte[] bytes = seed.clone();
    int times = 1 + random.nextInt(4);
    for (int k = 0; k < times && bytes.length > 0; k++) {
      int at = random.nextInt(bytes.length);
      switch (random.nextInt(7)) {
        case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
        case 1 -> bytes[at] = (byte) random.nextInt(256);
        case 2 -> bytes = Arrays.copyOf(bytes, at);
        case 3 -> bytes = splice(bytes, at, other, random);
        case 4 -> {
          // Lengths and counts of Avro: as large as ten bytes say.
          int end = Math.min(bytes.length, at + 1 + random.nextInt(10));
          Arrays.fill(bytes, at, end, (byte) 0xFF);
          bytes[end - 1] = (byte) random.nextInt(128);
        }
        case 5 -> bytes[at] = (byte) "{}[]\",:\\0123456789eE+-.tfnu".charAt(random.nextInt(26));
        default -> {
          // Nesting.
          byte[] deep = new byte[bytes.length + 200];
          System.arraycopy(bytes, 0, deep, 0, at);
          Arrays.fill(deep, at, at + 200, (byte) (random.nextBoolean() ? '[' : '{'));
          System.arraycopy(bytes, at, deep, at + 200, bytes.length - at);
          bytes = deep;
        }
      }
    }
    return bytes;
  }

  private static byte[] splice(byte[] bytes, int at, byte[] other, SplittableRandom random) {
    int from = random.nextInt(Math.max(1, other.length));
    int length = Math.min(other.length - from, random.nextInt(1, 64));
    byte[] joined = new byte[bytes.length + length];
    System.arraycopy(bytes, 0, joined, 0, at);
    System.arraycopy(other, from, joined, at, length);
    System.arraycopy(bytes, at, joined, at + length, bytes.length - at);
    return joined;
  }
}
