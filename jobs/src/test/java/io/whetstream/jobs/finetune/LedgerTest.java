package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import io.whetstream.jobs.finetune.Ledger.Fate;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class LedgerTest {
  private static List<String> ids(int count) {
    List<String> ids = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      ids.add("pair-" + i);
    }
    return ids;
  }

  @Test
  void theSumOfAllFatesIsThatOfTheAcceptedIdsInAnyOrder() {
    List<String> ids = ids(1_000);
    Collections.shuffle(ids, new Random(1));
    Ledger ledger = new Ledger();
    for (int i = 0; i < ids.size(); i++) {
      ledger.add(i % 7 == 0 ? Fate.HELD_OUT : Fate.PENDING, ids.get(i));
      if (i % 7 != 0 && i < 900) {
        ledger.move(Fate.PENDING, i % 31 == 0 ? Fate.SKIPPED : Fate.TRAINED, ids.get(i));
      }
      ledger.add(Fate.REPLAYED, ids.get(i));
    }
    assertEquals(Ledger.of(ids(1_000)), ledger.accepted());
    assertEquals(1_000, ledger.entry(Fate.REPLAYED).count());
  }

  @Test
  void aPairLostDoubledOrSwappedIsSeen() {
    List<String> ids = ids(100);
    Ledger.Entry right = Ledger.of(ids);
    assertNotEquals(right, Ledger.of(ids.subList(0, 99)));
    List<String> doubled = new ArrayList<>(ids);
    doubled.set(5, "pair-6");
    assertEquals(right.count(), Ledger.of(doubled).count());
    assertNotEquals(right.sum(), Ledger.of(doubled).sum());
  }

  @Test
  void itIsReadAsItWasWritten() throws IOException {
    Ledger ledger = new Ledger();
    ids(50).forEach(id -> ledger.add(Fate.TRAINED, id));
    ledger.add(Fate.SKIPPED, "odd");
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    ledger.write(new DataOutputStream(bytes));
    Ledger read = new Ledger();
    read.read(new DataInputStream(new ByteArrayInputStream(bytes.toByteArray())));
    assertEquals(ledger.entries(), read.entries());
  }
}
