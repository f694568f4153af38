package io.whetstream.connectors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.format.RecordFormat;
import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.SinkOptions;
import io.whetstream.connectors.kafka.SourceOptions;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.junit.jupiter.api.Test;

class SecretsTest {
  @Test
  void everyPropertyThatKafkaItselfCallsAPasswordIsMasked() {
    for (ConfigDef definition :
        java.util.List.of(ConsumerConfig.configDef(), ProducerConfig.configDef())) {
      definition
          .configKeys()
          .forEach(
              (name, key) -> {
                if (key.type == ConfigDef.Type.PASSWORD) {
                  assertTrue(Secrets.isSecret(name), name);
                }
              });
    }
    assertFalse(Secrets.isSecret("max.poll.records"));
    assertFalse(Secrets.isSecret("security.protocol"));
  }

  @Test
  void optionsPrintWithoutTheirSecrets() {
    KafkaConnection kafka =
        new KafkaConnection(
            "h:1",
            Map.of(
                "sasl.jaas.config", "org.X required username=\"u\" password=\"hunter2\";",
                "ssl.key.password", "hunter2",
                "client.id", "me"));
    RecordFormat format =
        RecordFormat.avroRegistry(
            "http://u:hunter2@r:8081", Map.of("basic.auth.user.info", "u:hunter2"));
    String printed =
        kafka
            + " "
            + SourceOptions.of(kafka, "t", format, "g")
            + " "
            + SinkOptions.exactlyOnce(kafka, "p");
    assertFalse(printed.contains("hunter2"), printed);
    assertTrue(printed.contains("client.id=me"));
    assertEquals(
        "s3://b/k?X-Amz-Signature=******&x=1", Secrets.maskUri("s3://b/k?X-Amz-Signature=abc&x=1"));
  }
}
