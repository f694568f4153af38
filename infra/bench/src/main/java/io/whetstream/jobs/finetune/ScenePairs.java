package io.whetstream.jobs.finetune;

import io.whetstream.connectors.format.RecordCodec;
import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.format.RecordType;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneRenderer;
import io.whetstream.scenes.SceneStream;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Drawn scenes as pairs, numbered from 0, in Kafka. */
final class ScenePairs {
  private static final String ID = "scene-";

  private ScenePairs() {}

  static String id(long number) {
    return ID + number;
  }

  static long number(String id) {
    return Long.parseLong(id.substring(ID.length()));
  }

  /** Sends the first so many scenes of a stream and waits until the broker has them. */
  static void send(KafkaConnection kafka, String topic, SceneStream scenes, int count) {
    RecordCodec<ImageTextPair> codec = RecordFormat.json().codec(RecordType.PAIR, topic);
    try (KafkaProducer<byte[], byte[]> producer = kafka.producer(Topics.MAX_RECORD_BYTES)) {
      for (int number = 0; number < count; number++) {
        Scene scene = scenes.scene(number).scene();
        ImageTextPair pair =
            new ImageTextPair(
                id(number),
                null,
                null,
                Captioner.shortCaption(scene),
                Captioner.longCaption(scene),
                "bench",
                1_700_000_000_000L + number * 25L,
                SceneRenderer.png(SceneRenderer.render(scene)),
                null);
        producer.send(
            new ProducerRecord<>(
                topic, pair.id().getBytes(StandardCharsets.UTF_8), codec.encode(pair)));
      }
      producer.flush();
    }
  }
}
