package io.whetstream.console;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class BoardTest {
  private final Board board = new Board();

  private static ObjectNode step(long step) {
    return Board.object().put("job", "finetune").put("step", step);
  }

  @Test
  void stepsMadeAgainReplaceTheOnesBefore() {
    for (long i = 1; i <= 10; i++) {
      board.figures(step(i));
    }
    board.figures(step(7).put("again", true));
    JsonNode figures = board.snapshot().path("figures");
    assertEquals(7, figures.size());
    assertTrue(figures.get(6).path("again").asBoolean());
  }

  @Test
  void aLongRunIsThinnedAndKeepsBothEnds() {
    for (long i = 1; i <= 3L * Board.MOST_FIGURES; i++) {
      board.figures(step(i));
    }
    JsonNode figures = board.snapshot().path("figures");
    assertTrue(figures.size() <= Board.MOST_FIGURES, figures.size() + " kept");
    assertEquals(1, figures.get(0).path("step").asLong());
    assertEquals(3L * Board.MOST_FIGURES, figures.get(figures.size() - 1).path("step").asLong());
  }

  @Test
  void aDriftNoticedLiveAndInTheRegistryIsOne() {
    board.mark("drift", 105, "live", false);
    board.mark("drift", 101, "recall fell", true);
    board.mark("drift", 104, "live", false);
    JsonNode marks = board.snapshot().path("marks");
    assertEquals(1, marks.size());
    assertEquals(101, marks.get(0).path("step").asLong());
    board.mark("drift", 300, "another", false);
    assertEquals(2, board.snapshot().path("marks").size());
  }

  @Test
  void topicAndRegistryEachAddToAnAdapter() {
    board.adapter(Board.object().put("digest", "d").put("announcedAt", 5));
    board.adapter(Board.object().put("digest", "d").put("verdict", "passed"));
    JsonNode adapter = board.snapshot().path("adapters").get(0);
    assertEquals(5, adapter.path("announcedAt").asLong());
    assertEquals("passed", adapter.path("verdict").asText());
  }

  @Test
  void alertsAreBoundedAndCountOnce() {
    for (int i = 0; i < Board.MOST_ALERTS + 10; i++) {
      board.alert(Board.object().put("alertId", "a" + i), new Board.Sources(null, null));
      board.alert(Board.object().put("alertId", "a" + i), new Board.Sources(null, null));
    }
    assertEquals(Board.MOST_ALERTS, board.snapshot().path("alerts").size());
    assertNotNull(board.sources("a" + (Board.MOST_ALERTS + 9)));
    assertEquals(null, board.sources("a0"));
  }

  private static ObjectNode query(int i) {
    return Board.object().put("id", "q" + i).put("text", "Text " + i).put("createdAt", i / 3);
  }

  private static List<String> ids(JsonNode page) {
    List<String> ids = new ArrayList<>();
    page.path("queries").forEach(query -> ids.add(query.path("id").asText()));
    return ids;
  }

  @Test
  void ofManyQueriesAPageIsSentWithThoseOfTheAlertsAndTheRestIsAskedFor() {
    int many = 100_000;
    for (int i = 0; i < many; i++) {
      board.query("q" + i, query(i));
      board.status(Board.object().put("queryId", "q" + i).put("state", "ACCEPTED"));
    }
    board.alert(
        Board.object().put("alertId", "a").put("queryId", "q7"), new Board.Sources(null, null));
    JsonNode all = board.snapshot();
    assertEquals(many, all.path("queryCount").asInt());
    assertEquals(Board.QUERIES_PER_PAGE + 1, all.path("queries").size());
    assertEquals(Board.QUERIES_PER_PAGE + 1, all.path("statuses").size());
    assertTrue(ids(all).contains("q7"));
    List<String> seen = new ArrayList<>();
    JsonNode page = board.queries(Long.MAX_VALUE, "", "");
    while (true) {
      seen.addAll(ids(page));
      if (!page.path("more").asBoolean()) {
        break;
      }
      JsonNode last = page.path("queries").get(page.path("queries").size() - 1);
      page = board.queries(last.path("createdAt").asLong(), last.path("id").asText(), "");
    }
    assertEquals(many, seen.size());
    assertEquals(many, Set.copyOf(seen).size());
    assertEquals("q99999", seen.get(0));
    assertEquals(
        List.of("q4242"), ids(board.queries(Long.MAX_VALUE, "", "text 4242")).subList(10, 11));
    board.query("q4242", null);
    assertFalse(ids(board.queries(Long.MAX_VALUE, "", "q4242")).contains("q4242"));
  }

  @Test
  void aQueryChangedLaterIsListedOnce() {
    board.query("q", Board.object().put("id", "q").put("createdAt", 1));
    board.query("q", Board.object().put("id", "q").put("createdAt", 2));
    assertEquals(List.of("q"), ids(board.queries(Long.MAX_VALUE, "", "")));
  }

  @Test
  void aPageThatDoesNotKeepUpIsCutOffAndTheOthersAreNot() {
    Listeners.Listener slow = board.join();
    for (long i = 1; i <= 3_000; i++) {
      board.figures(step(i));
    }
    assertTrue(slow.lost());
    assertFalse(board.join().lost());
  }

  @Test
  void noRecordCanBreakOutOfItsEvent() {
    String event =
        Listeners.event("alert", Board.object().put("text", "a\n\nevent: all\ndata: {}\r\n"));
    assertEquals(2, event.strip().split("\n").length, event);
  }

  @Test
  void previewsHaveNoControlCharacters() {
    String preview =
        TopicFeed.preview("\u0000\u001b[31m<b>\u0007".getBytes(StandardCharsets.UTF_8));
    assertFalse(preview.chars().anyMatch(Character::isISOControl), preview);
    assertTrue(preview.contains("<b>"));
  }
}
