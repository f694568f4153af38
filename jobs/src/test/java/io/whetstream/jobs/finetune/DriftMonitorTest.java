package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.jobs.finetune.FineTuneConfig.Response;
import io.whetstream.model.adapter.AdapterManifest.DriftEvent;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class DriftMonitorTest {
  private static FineTuneConfig.Drift settings(Response response) {
    return new FineTuneConfig.Drift(true, 0.002, response, 3, 0.5, 20);
  }

  /** A batch whose pictures lie about a direction. */
  private static List<MinedPair> batch(Random random, int direction) {
    List<MinedPair> pairs = new ArrayList<>();
    for (int i = 0; i < 32; i++) {
      float[] vector = Pairs.unit(random, 16);
      vector[direction] += 0.7f;
      pairs.add(Pairs.pair("p" + random.nextLong(), 0, 0, vector));
    }
    return pairs;
  }

  @Test
  void otherPicturesAreFoundByTheirEmbeddings() {
    Random random = new Random(1);
    DriftMonitor monitor = new DriftMonitor(settings(Response.REPORT), 64);
    for (int step = 1; step <= 100; step++) {
      assertNull(monitor.observe(step, 0, Double.NaN, batch(random, 0)));
    }
    DriftEvent event = null;
    long step = 100;
    while (event == null && step < 160) {
      event = monitor.observe(++step, 0, Double.NaN, batch(random, 5));
    }
    assertNotNull(event);
    assertEquals("embedding", event.metric());
    assertEquals(List.of(event), monitor.events());
    assertEquals(1, monitor.rateFactor(step), "a report changes nothing");
  }

  @Test
  void aRiseOfRecallIsLearningAndNoEvent() {
    DriftMonitor monitor = new DriftMonitor(settings(Response.ADAPT), 64);
    for (int step = 1; step <= 200; step++) {
      assertNull(monitor.observe(step, 0, Math.min(1, step / 100.0), List.of()));
    }
  }

  @Test
  void aFallOfRecallIsAnsweredForAWhile() {
    DriftMonitor monitor = new DriftMonitor(settings(Response.ADAPT), 64);
    long step = 0;
    while (step < 60) {
      assertNull(monitor.observe(++step, 0, 0.9, List.of()));
    }
    while (monitor.events().isEmpty()) {
      monitor.observe(++step, 0, 0.3, List.of());
    }
    assertTrue(step < 100);
    assertEquals(3, monitor.rateFactor(step));
    assertEquals(0.5, monitor.replayFactor(step + 19));
    assertEquals(1, monitor.rateFactor(step + 20));
  }

  @Test
  void whatTheResponseItselfDoesIsNoOtherChange() {
    DriftMonitor monitor = new DriftMonitor(settings(Response.ADAPT), 64);
    long step = 0;
    while (step < 60) {
      assertNull(monitor.observe(++step, 0, 0.9, List.of()));
    }
    while (monitor.events().isEmpty()) {
      monitor.observe(++step, 0, 0.6, List.of());
    }
    // A raised rate at first makes things worse; after it there is a level of its own.
    while (monitor.rateFactor(step + 1) > 1) {
      assertNull(monitor.observe(++step, 0, step % 2 == 0 ? 0.1 : 0.3, List.of()));
    }
    for (int i = 0; i < 100; i++) {
      assertNull(monitor.observe(++step, 0, 0.5, List.of()));
    }
    // It has not stopped watching.
    for (int i = 0; i < 40; i++) {
      monitor.observe(++step, 0, 0.1, List.of());
    }
    assertEquals(2, monitor.events().size());
  }

  @Test
  void itIsReadAsItWasWritten() throws IOException {
    Random random = new Random(2);
    DriftMonitor first = new DriftMonitor(settings(Response.ADAPT), 64);
    for (int step = 1; step <= 80; step++) {
      first.observe(step, 0, step < 60 ? 0.8 : 0.2, batch(random, 0));
    }
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    first.write(new DataOutputStream(bytes));
    DriftMonitor second = new DriftMonitor(settings(Response.ADAPT), 64);
    second.read(
        ContinualTrainer.STATE_VERSION,
        new DataInputStream(new ByteArrayInputStream(bytes.toByteArray())));
    assertEquals(first.events(), second.events());
    for (int step = 81; step <= 160; step++) {
      List<MinedPair> pairs = batch(random, step < 120 ? 0 : 4);
      assertEquals(first.observe(step, 0, 0.5, pairs), second.observe(step, 0, 0.5, pairs));
    }
    assertEquals(first.events(), second.events());
  }
}
