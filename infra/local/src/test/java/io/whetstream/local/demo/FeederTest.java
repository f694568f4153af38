package io.whetstream.local.demo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.connectors.kafka.KafkaConnection;
import io.whetstream.connectors.kafka.Topics;
import io.whetstream.kafka.EmbeddedKafka;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@Tag("cluster")
class FeederTest {
  @TempDir Path temp;

  @Test
  void waitsForTheJobsAndThenSendsAllTheSame() throws Exception {
    DemoOptions options = new DemoOptions(2, 1, 100, 1, 1, 2);
    Topics topics = new Topics("");
    try (EmbeddedKafka kafka = EmbeddedKafka.start(temp.resolve("kafka"), 0)) {
      KafkaConnection connection = KafkaConnection.of(kafka.bootstrapServers());
      try (Admin admin = connection.admin()) {
        topics.create(admin, 1, (short) 1);
      }
      AtomicLong done = new AtomicLong(-2_000);
      long waitedAt;
      try (Monitor monitor = new Monitor(connection, topics);
          Feeder feeder =
              new Feeder(
                  connection,
                  topics,
                  new DemoStream(options),
                  temp,
                  new DemoState(options, null, 0, 0, 0),
                  done::get,
                  monitor)) {
        feeder.run(2, ms -> feeder.paused());
        waitedAt = feeder.state().pairs();
        assertTrue(feeder.paused());
        assertTrue(waitedAt < options.pairs(), waitedAt + " sent to jobs that do nothing");
        done.set(0);
        feeder.run(2, ms -> false);
        assertEquals(waitedAt + options.pairs(), feeder.state().pairs());
      }
      assertEquals(waitedAt + options.pairs(), DemoState.load(temp, options, null).pairs());
    }
  }
}
