package io.whetstream.jobs.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class ConfigLoaderTest {
  record Inner(int globalBatch, Duration pause, ByteSize memory, boolean on) {
    Inner {
      Checks.atLeast("inner.globalBatch", globalBatch, 2);
    }
  }

  record Outer(String name, Inner inner, KafkaSettings kafka) {}

  private final ConfigLoader<Outer> loader =
      new ConfigLoader<>(
          new Outer(
              "outer",
              new Inner(64, Duration.ofSeconds(90), ByteSize.ofMega(16), false),
              KafkaSettings.defaults()));

  private Outer parse(String yaml, String... overrides) {
    return loader.parse(yaml, "job.yaml", List.of(overrides));
  }

  private String refusal(String yaml, String... overrides) {
    return assertThrows(BadInputException.class, () -> parse(yaml, overrides)).getMessage();
  }

  @Test
  void whatTheFileDoesNotNameKeepsItsDefault() {
    assertEquals(64, parse("").inner().globalBatch());
    Outer outer = parse("inner:\n  pause: 250ms\n  memory: 3 gb\nkafka:\n");
    assertEquals(64, outer.inner().globalBatch());
    assertEquals(Duration.ofMillis(250), outer.inner().pause());
    assertEquals(3L << 30, outer.inner().memory().bytes());
    assertEquals(KafkaSettings.defaults(), outer.kafka());
  }

  @Test
  void anUnknownKeyNamesTheNearestKnownOne() {
    assertTrue(
        refusal("inner:\n  globalBacth: 2\n").contains("nearest known key is 'inner.globalBatch'"));
    assertTrue(refusal("nmae: x\n").contains("nearest known key is 'name'"));
    assertTrue(refusal("", "inner.puase=3s").contains("nearest known key is 'inner.pause'"));
  }

  @Test
  void overridesAreLaidOnTopInOrderAndReachIntoMaps() {
    Outer outer =
        parse(
            "inner: {globalBatch: 8}\n",
            "inner.globalBatch=16",
            "inner.globalBatch=32",
            "name=",
            "kafka.properties.security.protocol=SASL_SSL");
    assertEquals(32, outer.inner().globalBatch());
    assertEquals("", outer.name());
    assertEquals(Map.of("security.protocol", "SASL_SSL"), outer.kafka().properties());
  }

  @Test
  void aWrongValueIsRefusedWithItsKey() {
    assertTrue(
        refusal("inner: {globalBatch: 1}\n").contains("inner.globalBatch must be at least 2"));
    assertTrue(refusal("inner: {globalBatch: many}\n").contains("inner.globalBatch"));
    assertTrue(refusal("inner: {globalBatch: 2.5}\n").contains("inner.globalBatch"));
    assertTrue(
        refusal("inner: {pause: 5 moons}\n").contains("inner.pause: '5 moons' is not a duration"));
    assertTrue(refusal("inner: {memory: lots}\n").contains("inner.memory: 'lots' is not a size"));
    assertTrue(refusal("inner: {on: }\n").contains("inner.on has no value"));
    assertTrue(refusal("inner: 7\n").contains("inner must be a section"));
    assertTrue(refusal("kafka: {format: xml}\n").contains("kafka.format must be json, avro or"));
    assertTrue(refusal("a: [\n").contains("not valid YAML"));
    assertTrue(refusal("", "inner").contains("must be key=value"));
    assertTrue(refusal("", "name.first=x").contains("is a value, not a section"));
  }

  @Test
  void aMissingFileIsNamed() {
    String message =
        assertThrows(BadInputException.class, () -> loader.load(Path.of("no-such.yaml"), List.of()))
            .getMessage();
    assertTrue(message.contains("no-such.yaml does not exist"), message);
  }

  @Test
  void theEffectiveConfigurationCanBeReadBackAndHidesSecrets() {
    Outer outer =
        parse(
            "inner: {pause: 2h}\n",
            "kafka.properties.sasl.jaas.config=user:hunter2",
            "kafka.properties.ssl.truststore.password=hunter2",
            "kafka.properties.security.protocol=SASL_SSL");
    String text = ConfigLoader.render(outer);
    assertFalse(text.contains("hunter2"), text);
    assertTrue(text.contains("SASL_SSL"), text);
    assertEquals(outer.inner(), parse(text).inner());
  }
}
