package io.whetstream.console;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads the figures and the health of the jobs from Flink's REST interface, which every Flink
 * cluster has. Flink itself gathers metrics only as often as its {@code
 * metrics.fetcher.update-interval} says (10 s unless set), so a console on a cluster sees some
 * steps and not others. One call at a time.
 */
final class FlinkFeed {
  private static final Logger LOG = LoggerFactory.getLogger(FlinkFeed.class);
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration PATIENCE = Duration.ofSeconds(5);
  private static final long NAMES_NANOS = Duration.ofSeconds(20).toNanos();
  private static final int MOST_NAMES = 60;
  private static final int MOST_JOBS = 20;

  /** Name on the board by the end of the metric's name in Flink. */
  private static final Map<String, String> FIGURES = new LinkedHashMap<>();

  static {
    FIGURES.put(".trainer.step", "step");
    FIGURES.put(".trainer.paused", "paused");
    FIGURES.put(".trainer.heldOutPairs", "heldOutPairs");
    FIGURES.put(".recall.training", "training");
    FIGURES.put(".recall.published", "published");
    FIGURES.put(".recall.preDrift", "preDrift");
    FIGURES.put(".recall.base", "base");
    FIGURES.put(".lossContrastive", "lossContrastive");
    FIGURES.put(".lossNextToken", "lossNextToken");
    FIGURES.put(".logitScale", "logitScale");
    FIGURES.put(".learningRate", "learningRate");
    FIGURES.put(".gradientNorm", "gradientNorm");
    FIGURES.put(".pairsPerSecond", "pairsPerSecond");
    FIGURES.put(".waitingForDataShare", "waitingForData");
    FIGURES.put(".ledger.trained", "trained");
    FIGURES.put(".ledger.held_out", "heldOut");
    FIGURES.put(".ledger.skipped", "skipped");
    FIGURES.put(".ledger.replayed", "replayed");
    FIGURES.put(".ledger.pending", "pending");
    FIGURES.put(".gate.candidate", "gateCandidate");
    FIGURES.put(".gate.published", "gatePublished");
    FIGURES.put(".gate.passed", "gatePassed");
    FIGURES.put(".gate.refused", "gateRefused");
    FIGURES.put(".gate.returns", "gateReturns");
    FIGURES.put(".driftEvents", "driftEvents");
    FIGURES.put(".skippedSteps", "skippedSteps");
    FIGURES.put(".itemsScored", "itemsScored");
    FIGURES.put(".badItems", "badItems");
    FIGURES.put(".adapterFlips", "adapterFlips");
    FIGURES.put(".lastFlipMicros", "lastFlipMicros");
    FIGURES.put(".watchlistQueries", "watchlistQueries");
    FIGURES.put(".alertsRaised", "alertsRaised");
    FIGURES.put(".matchesSuppressed", "matchesSuppressed");
    FIGURES.put(".adaptersRefused", "adaptersRefused");
    FIGURES.put(".queriesRefused", "queriesRefused");
    FIGURES.put(".pendingRecords", "waitingInKafka");
  }

  /** Counted once however many subtasks say it. */
  private static final Set<String> LARGEST = Set.of("watchlistQueries", "lastFlipMicros");

  /** Metrics of a vertex that we read. */
  private static final class Vertex {
    private List<String> names = List.of();
    private long asked;
  }

  private final URI root;
  private final Board board;
  private final HttpClient http =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(PATIENCE).build();
  private final Map<String, Vertex> vertices = new HashMap<>();
  private final Map<String, ObjectNode> last = new HashMap<>();

  FlinkFeed(URI root, Board board) {
    String text = root.toString();
    this.root = URI.create(text.endsWith("/") ? text : text + "/");
    this.board = board;
  }

  /** Reads everything once. */
  void look() throws InterruptedException {
    try {
      ArrayNode jobs = Board.array();
      Set<String> alive = new HashSet<>();
      List<JsonNode> found = new ArrayList<>();
      get("jobs/overview").path("jobs").forEach(found::add);
      found.sort(
          java.util.Comparator.comparingLong((JsonNode j) -> -j.path("start-time").asLong()));
      for (JsonNode job : found.subList(0, Math.min(MOST_JOBS, found.size()))) {
        jobs.add(job(job, alive));
      }
      vertices.keySet().retainAll(alive);
      board.jobs(jobs);
      board.problem("flink", null);
    } catch (IOException e) {
      LOG.debug("Flink does not answer", e);
      board.problem("flink", "Flink at " + root + " does not answer: " + reason(e));
    }
  }

  private static String reason(IOException e) {
    return e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
  }

  private ObjectNode job(JsonNode overview, Set<String> alive)
      throws IOException, InterruptedException {
    String id = overview.path("jid").asText();
    String state = overview.path("state").asText();
    ObjectNode node = Board.object();
    node.put("id", id);
    node.put("name", overview.path("name").asText());
    node.put("state", state);
    node.put("start", overview.path("start-time").asLong());
    if (!state.equals("RUNNING") && !state.equals("RESTARTING") && !state.equals("FAILING")) {
      return node;
    }
    Map<String, Double> figures = new LinkedHashMap<>();
    ArrayNode parts = node.putArray("vertices");
    for (JsonNode vertex : get("jobs/" + id).path("vertices")) {
      String vertexId = vertex.path("id").asText();
      alive.add(id + vertexId);
      parts
          .addObject()
          .put("name", shortName(vertex.path("name").asText()))
          .put("parallelism", vertex.path("parallelism").asInt())
          .put("state", vertex.path("status").asText());
      read(id, vertexId, figures);
    }
    JsonNode checkpoints = get("jobs/" + id + "/checkpoints");
    JsonNode counts = checkpoints.path("counts");
    ObjectNode checkpoint = node.putObject("checkpoints");
    checkpoint.put("completed", counts.path("completed").asLong());
    checkpoint.put("failed", counts.path("failed").asLong());
    checkpoint.put("restored", counts.path("restored").asLong());
    JsonNode latest = checkpoints.path("latest").path("completed");
    if (latest.isObject()) {
      checkpoint.put("at", latest.path("latest_ack_timestamp").asLong());
      checkpoint.put("millis", latest.path("end_to_end_duration").asLong());
      checkpoint.put("bytes", latest.path("state_size").asLong());
    }
    ObjectNode shown = node.putObject("figures");
    figures.forEach(
        (name, value) -> {
          if (Double.isFinite(value)) {
            shown.put(name, value);
          }
        });
    if (figures.containsKey("step")) {
      sample(overview.path("name").asText(), shown);
    }
    return node;
  }

  /** "Source: pairs -> deduplicate pairs -> Writer": chains are long. */
  private static String shortName(String name) {
    return name.length() <= 60 ? name : name.substring(0, 59) + "…";
  }

  private void read(String job, String vertex, Map<String, Double> figures)
      throws IOException, InterruptedException {
    Vertex known = vertices.computeIfAbsent(job + vertex, key -> new Vertex());
    String path = "jobs/" + job + "/vertices/" + vertex + "/subtasks/metrics";
    long now = System.nanoTime();
    if (known.asked == 0 || known.names.isEmpty() || now - known.asked > NAMES_NANOS) {
      known.asked = now;
      List<String> names = new ArrayList<>();
      for (JsonNode metric : get(path)) {
        String id = metric.path("id").asText();
        if (boardName(id) != null && names.size() < MOST_NAMES) {
          names.add(id);
        }
      }
      known.names = names;
    }
    if (known.names.isEmpty()) {
      return;
    }
    String wanted =
        String.join(
            ",",
            known.names.stream()
                .map(name -> URLEncoder.encode(name, StandardCharsets.UTF_8))
                .toList());
    for (JsonNode metric : get(path + "?agg=sum,max&get=" + wanted)) {
      String name = boardName(metric.path("id").asText());
      if (name != null) {
        double value = metric.path(LARGEST.contains(name) ? "max" : "sum").asDouble(Double.NaN);
        figures.merge(name, value, LARGEST.contains(name) ? Math::max : Double::sum);
      }
    }
  }

  private static String boardName(String metric) {
    for (Map.Entry<String, String> figure : FIGURES.entrySet()) {
      if (metric.endsWith(figure.getKey())) {
        return figure.getValue();
      }
    }
    return null;
  }

  /** Puts a step that is new on the board, with what the gate and the drift monitor did. */
  private void sample(String job, ObjectNode figures) {
    ObjectNode before = last.get(job);
    long step = figures.path("step").asLong();
    if (!figures.has("training") || (before != null && before.path("step").asLong() == step)) {
      return;
    }
    ObjectNode sample = figures.deepCopy();
    sample.put("job", job);
    sample.put("step", step);
    sample.put("time", System.currentTimeMillis());
    last.put(job, sample);
    board.figures(sample);
    if (before == null || before.path("step").asLong() > step) {
      return;
    }
    if (grown("gateRefused", before, sample)) {
      board.mark(
          "refused",
          step,
          String.format(
              Locale.ROOT,
              "kept out: held-out recall %.3f against %.3f in use",
              sample.path("gateCandidate").asDouble(Double.NaN),
              sample.path("gatePublished").asDouble(Double.NaN)),
          false);
    }
    if (grown("gateReturns", before, sample)) {
      board.mark("return", step, "training went back to the adapter in use", false);
    }
    if (grown("driftEvents", before, sample)) {
      board.mark("drift", step, "the stream has changed", false);
    }
  }

  private static boolean grown(String name, ObjectNode before, ObjectNode now) {
    return now.path(name).asLong() > before.path(name).asLong();
  }

  private JsonNode get(String path) throws IOException, InterruptedException {
    HttpRequest request =
        HttpRequest.newBuilder(root.resolve(path)).timeout(PATIENCE).GET().build();
    HttpResponse<byte[]> response = http.send(request, HttpResponse.BodyHandlers.ofByteArray());
    if (response.statusCode() != 200) {
      throw new IOException(path + " is answered with " + response.statusCode());
    }
    return JSON.readTree(response.body());
  }
}
