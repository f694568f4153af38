package io.whetstream.connectors.format;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.whetstream.connectors.Samples;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.StreamRecord;
import io.whetstream.connectors.types.Types;
import java.util.List;
import org.apache.flink.api.common.serialization.SerializerConfigImpl;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class RoundTripTest {
  static List<StreamRecord> samples() {
    return Samples.all();
  }

  @ParameterizedTest
  @MethodSource("samples")
  void jsonGivesBackWhatItTook(StreamRecord sample) {
    roundTrip(sample, RecordFormat.json());
  }

  @ParameterizedTest
  @MethodSource("samples")
  void avroGivesBackWhatItTook(StreamRecord sample) {
    roundTrip(sample, RecordFormat.avro());
  }

  @ParameterizedTest
  @MethodSource("samples")
  void flinkGivesBackWhatItTookWithoutKryo(StreamRecord sample) throws Exception {
    TypeInformation<StreamRecord> info = info(sample);
    SerializerConfigImpl config = new SerializerConfigImpl();
    config.setGenericTypes(false);
    TypeSerializer<StreamRecord> serializer = info.createSerializer(config);
    DataOutputSerializer out = new DataOutputSerializer(64);
    serializer.serialize(sample, out);
    DataInputDeserializer in = new DataInputDeserializer(out.getCopyOfBuffer());
    assertEquals(sample, serializer.duplicate().deserialize(in));
    assertEquals(0, in.available());
  }

  @SuppressWarnings({"unchecked", "rawtypes"})
  private static TypeInformation<StreamRecord> info(StreamRecord sample) {
    TypeInformation<StreamRecord> found = TypeInformation.of((Class) sample.getClass());
    assertEquals(Types.of(RecordType.forClass(sample.getClass())), found);
    return found;
  }

  @SuppressWarnings("unchecked")
  private static void roundTrip(StreamRecord sample, RecordFormat format) {
    RecordType<StreamRecord> type =
        (RecordType<StreamRecord>) RecordType.forClass(sample.getClass());
    RecordCodec<StreamRecord> codec = format.codec(type, null);
    Coordinates at = type.shape().coordinatesOf(sample);
    for (int i = 0; i < 2; i++) {
      assertEquals(sample, codec.decode(codec.encode(sample), at, 12345));
    }
  }
}
