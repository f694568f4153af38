package io.whetstream.console;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.records.Coordinates;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Objects;
import java.util.TreeSet;

/**
 * All that the page shows, bounded, as the JSON it is sent as. Whatever changes is told to the
 * listeners at once. Safe for use by any thread.
 */
final class Board {
  static final int MOST_ALERTS = 400;
  static final int MOST_DEAD_LETTERS = 200;
  static final int MOST_FIGURES = 4_000;
  static final int QUERIES_PER_PAGE = 200;
  private static final int MOST_MARKS = 500;
  private static final int MOST_FEEDBACK = 10_000;

  /**
   * A drift that the registry dates exactly is the one that was noticed live up to so much later.
   */
  private static final long SAME_DRIFT_STEPS = 12;

  private static final ObjectMapper JSON = new ObjectMapper();

  /** Where the item and the query of an alert lie. */
  record Sources(Coordinates item, Coordinates query) {}

  /** The order of queries: newest first. */
  private record Place(long createdAt, String id) implements Comparable<Place> {
    static Place of(ObjectNode query) {
      return new Place(query.path("createdAt").asLong(), query.path("id").asText());
    }

    @Override
    public int compareTo(Place other) {
      int byTime = Long.compare(other.createdAt, createdAt);
      return byTime != 0 ? byTime : id.compareTo(other.id);
    }
  }

  private final Listeners listeners = new Listeners();
  private final List<ObjectNode> figures = new ArrayList<>();
  private final List<ObjectNode> marks = new ArrayList<>();
  private final Map<String, ObjectNode> adapters = new LinkedHashMap<>();
  private final Map<String, ObjectNode> controls = new LinkedHashMap<>();
  private final Map<String, ObjectNode> alerts = new LinkedHashMap<>();
  private final Map<String, Sources> sources = new LinkedHashMap<>();
  private final Map<String, ObjectNode> feedback = new LinkedHashMap<>();
  private final Map<String, ObjectNode> queries = new LinkedHashMap<>();
  private final NavigableSet<Place> newestQueries = new TreeSet<>();
  private final Map<String, ObjectNode> statuses = new LinkedHashMap<>();
  private final List<ObjectNode> deadLetters = new ArrayList<>();
  private final Map<String, Long> totals = new LinkedHashMap<>();
  private final Map<String, String> problems = new LinkedHashMap<>();
  private ArrayNode jobs = JSON.createArrayNode();

  static ObjectNode object() {
    return JSON.createObjectNode();
  }

  static ArrayNode array() {
    return JSON.createArrayNode();
  }

  int listenerCount() {
    return listeners.count();
  }

  /** A page that is told everything there is, then what changes. */
  synchronized Listeners.Listener join() {
    Listeners.Listener listener = listeners.join();
    listener.tell(Listeners.event("all", snapshot()));
    return listener;
  }

  /** Everything, but of the queries the newest page and those of the alerts. */
  synchronized ObjectNode snapshot() {
    ObjectNode all = object();
    all.set("figures", list(figures));
    all.set("marks", list(marks));
    all.set("adapters", list(adapters.values()));
    all.set("controls", list(controls.values()));
    all.set("alerts", list(alerts.values()));
    all.set("feedback", list(feedback.values()));
    Map<String, ObjectNode> some = new LinkedHashMap<>();
    newestQueries.stream()
        .limit(QUERIES_PER_PAGE)
        .forEach(place -> some.put(place.id(), queries.get(place.id())));
    for (ObjectNode alert : alerts.values()) {
      String id = alert.path("queryId").asText();
      if (queries.containsKey(id)) {
        some.put(id, queries.get(id));
      }
    }
    put(all, some.values());
    all.put("queryCount", queries.size());
    all.set("deadLetters", list(deadLetters));
    all.set("totals", JSON.valueToTree(totals));
    all.set("problems", JSON.valueToTree(problems));
    all.set("jobs", jobs);
    return all;
  }

  private void put(ObjectNode to, Collection<ObjectNode> some) {
    to.set("queries", list(some));
    to.set(
        "statuses",
        list(
            some.stream()
                .map(query -> statuses.get(query.path("id").asText()))
                .filter(Objects::nonNull)
                .toList()));
  }

  /**
   * A page of queries, newest first, with their answers.
   *
   * @param createdAt of the last query of the page before; {@link Long#MAX_VALUE} for the first
   * @param id of that query
   * @param find what the id or the text holds, whatever the case; empty for all
   */
  synchronized ObjectNode queries(long createdAt, String id, String find) {
    String wanted = find.toLowerCase(Locale.ROOT);
    List<ObjectNode> found = new ArrayList<>();
    boolean more = false;
    for (Place place : newestQueries.tailSet(new Place(createdAt, id), false)) {
      ObjectNode query = queries.get(place.id());
      boolean fits =
          wanted.isEmpty()
              || place.id().toLowerCase(Locale.ROOT).contains(wanted)
              || query.path("text").asText("").toLowerCase(Locale.ROOT).contains(wanted);
      if (fits && found.size() == QUERIES_PER_PAGE) {
        more = true;
        break;
      }
      if (fits) {
        found.add(query);
      }
    }
    ObjectNode page = object();
    put(page, found);
    page.put("more", more);
    return page;
  }

  /** Figures of one step of a job. The same step again replaces what was there. */
  synchronized void figures(ObjectNode sample) {
    String job = sample.path("job").asText();
    long step = sample.path("step").asLong();
    // A trainer that went back to a checkpoint makes these steps again.
    figures.removeIf(f -> f.path("job").asText().equals(job) && f.path("step").asLong() >= step);
    figures.add(sample);
    if (figures.size() > MOST_FIGURES) {
      for (int i = figures.size() / 2; i > 0; i -= 2) {
        figures.remove(i);
      }
    }
    listeners.tell("figures", sample);
  }

  /** The newest figures, or null. */
  synchronized JsonNode newestFigures() {
    return figures.isEmpty() ? null : figures.get(figures.size() - 1);
  }

  /** Something that happened at a step. */
  synchronized void mark(String kind, long step, String text, boolean exact) {
    if (kind.equals("drift") && exact) {
      marks.removeIf(
          m ->
              m.path("kind").asText().equals(kind)
                  && !m.path("exact").asBoolean()
                  && Math.abs(m.path("step").asLong() - step) <= SAME_DRIFT_STEPS);
    }
    boolean known =
        marks.stream()
            .anyMatch(
                m ->
                    m.path("kind").asText().equals(kind)
                        && (m.path("step").asLong() == step
                            || (kind.equals("drift")
                                && !exact
                                && Math.abs(m.path("step").asLong() - step) <= SAME_DRIFT_STEPS)));
    if (known) {
      return;
    }
    ObjectNode mark = object();
    mark.put("kind", kind);
    mark.put("step", step);
    mark.put("text", text);
    mark.put("exact", exact);
    mark.put("time", System.currentTimeMillis());
    marks.add(mark);
    if (marks.size() > MOST_MARKS) {
      marks.remove(0);
    }
    listeners.tell("marks", list(marks));
  }

  /** An adapter from the topic or the registry; what one of them knows is laid over the other. */
  synchronized void adapter(ObjectNode adapter) {
    String digest = adapter.path("digest").asText();
    ObjectNode known = adapters.get(digest);
    ObjectNode merged = known == null ? object() : known.deepCopy();
    merged.setAll(adapter);
    if (!merged.equals(known)) {
      adapters.put(digest, merged);
      listeners.tell("adapter", merged);
    }
  }

  synchronized boolean knowsAdapter(String digest) {
    return adapters.containsKey(digest);
  }

  /** The stream an adapter belongs to, or null. */
  synchronized String streamOf(String digest) {
    ObjectNode adapter = adapters.get(digest);
    return adapter == null ? null : adapter.path("stream").asText(null);
  }

  /** The newest order to a stream. */
  synchronized void control(ObjectNode control) {
    controls.put(control.path("stream").asText(), control);
    listeners.tell("control", control);
  }

  /** The newest order to a stream, or null. */
  synchronized JsonNode control(String stream) {
    return controls.get(stream);
  }

  /** The highest version that was announced in a stream, or null. */
  synchronized JsonNode newestAnnounced(String stream) {
    return adapters.values().stream()
        .filter(a -> a.has("announcedAt") && a.path("stream").asText().equals(stream))
        .max(
            Comparator.comparingLong((ObjectNode a) -> a.path("epoch").asLong())
                .thenComparingLong(a -> a.path("n").asLong()))
        .orElse(null);
  }

  synchronized void alert(ObjectNode alert, Sources from) {
    String id = alert.path("alertId").asText();
    if (alerts.containsKey(id)) {
      return;
    }
    alerts.put(id, alert);
    sources.put(id, from);
    if (alerts.size() > MOST_ALERTS) {
      String oldest = alerts.keySet().iterator().next();
      alerts.remove(oldest);
      sources.remove(oldest);
    }
    ObjectNode query = queries.get(alert.path("queryId").asText());
    if (query != null) {
      // It may not be on a page that is shown.
      listeners.tell("query", query);
    }
    listeners.tell("alert", alert);
  }

  /** More was found out about an alert: its item has been read. */
  synchronized void alertItem(String id, ObjectNode item) {
    ObjectNode alert = alerts.get(id);
    if (alert != null) {
      ObjectNode changed = alert.deepCopy();
      changed.set("item", item);
      alerts.put(id, changed);
      listeners.tell("alert", changed);
    }
  }

  /** Where the parts of an alert lie; null if the alert is not shown. */
  synchronized Sources sources(String alertId) {
    return sources.get(alertId);
  }

  synchronized void feedback(ObjectNode verdict) {
    String id = verdict.path("alertId").asText();
    feedback.remove(id);
    feedback.put(id, verdict);
    if (feedback.size() > MOST_FEEDBACK) {
      feedback.remove(feedback.keySet().iterator().next());
    }
    listeners.tell("feedback", verdict);
  }

  synchronized void query(String id, ObjectNode query) {
    ObjectNode former = query == null ? queries.remove(id) : queries.put(id, query);
    if (former != null) {
      newestQueries.remove(Place.of(former));
    }
    if (query == null) {
      statuses.remove(id);
      listeners.tell("queryRemoved", object().put("id", id));
    } else {
      newestQueries.add(Place.of(query));
      listeners.tell("query", query);
    }
    if ((former == null) != (query == null)) {
      listeners.tell("queryCount", JSON.valueToTree(queries.size()));
    }
  }

  /** The query of that id, or null. */
  synchronized JsonNode query(String id) {
    return queries.get(id);
  }

  synchronized void status(ObjectNode status) {
    statuses.put(status.path("queryId").asText(), status);
    listeners.tell("status", status);
  }

  synchronized void deadLetter(ObjectNode letter) {
    deadLetters.add(letter);
    if (deadLetters.size() > MOST_DEAD_LETTERS) {
      deadLetters.remove(0);
    }
    listeners.tell("deadLetter", letter);
  }

  /** How many records of a sort there were in all, also those that are not shown. */
  synchronized void count(String what, long more) {
    totals.merge(what, more, Long::sum);
    listeners.tell("totals", JSON.valueToTree(totals));
  }

  synchronized void jobs(ArrayNode now) {
    if (!now.equals(jobs)) {
      jobs = now;
      listeners.tell("jobs", jobs);
    }
  }

  /** Says what a part cannot do now, or with null that it can again. */
  synchronized void problem(String part, String text) {
    String before = text == null ? problems.remove(part) : problems.put(part, text);
    if (text == null ? before != null : !text.equals(before)) {
      listeners.tell("problems", JSON.valueToTree(problems));
    }
  }

  private static ArrayNode list(Iterable<ObjectNode> nodes) {
    ArrayNode list = array();
    nodes.forEach(list::add);
    return list;
  }
}
