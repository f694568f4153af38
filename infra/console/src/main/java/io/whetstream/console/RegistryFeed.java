package io.whetstream.console;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.registry.AdapterRegistry;
import io.whetstream.connectors.registry.RegistryOptions;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterManifest;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Reads manifests from the registry onto the board. Thread-safe. */
final class RegistryFeed {
  private static final Logger LOG = LoggerFactory.getLogger(RegistryFeed.class);

  private final AdapterRegistry registry;
  private final Board board;
  private final Set<String> seen = new HashSet<>();
  private volatile Map<String, AdapterManifest> manifests = Map.of();

  RegistryFeed(String uri, Board board) {
    registry = AdapterRegistry.open(RegistryOptions.of(uri));
    this.board = board;
  }

  /** Looks for adapters that are new. */
  synchronized void look() {
    try {
      Map<String, AdapterManifest> found = new TreeMap<>();
      for (AdapterRegistry.Entry entry : registry.list()) {
        found.put(entry.digest(), entry.manifest());
        if (seen.add(entry.digest())) {
          show(entry.manifest());
        }
      }
      manifests = found;
      board.problem("registry", null);
    } catch (UncheckedIOException | BadInputException e) {
      LOG.warn("the registry cannot be read", e);
      board.problem("registry", "the registry cannot be read: " + e.getMessage());
    }
  }

  /** An adapter is announced after it is written, so one that is not known yet is looked for. */
  Optional<AdapterManifest> manifest(String digest) {
    if (!manifests.containsKey(digest)) {
      look();
    }
    return Optional.ofNullable(manifests.get(digest));
  }

  /** What is wrong with an adapter's files; empty if nothing. */
  List<String> verify(String digest) {
    return registry.verify(digest);
  }

  private void show(AdapterManifest m) {
    ObjectNode node = Board.object();
    node.put("digest", m.digest());
    node.put("stream", m.stream());
    if (m.version() != null) {
      node.put("epoch", m.version().epoch());
      node.put("n", m.version().n());
    }
    node.put("parent", m.parent());
    node.put("base", m.baseDigest());
    node.put("step", m.step());
    node.put("pairs", m.pairs());
    node.put("manifest", true);
    if (m.training().get("gate") != null) {
      node.put("verdict", m.training().get("gate").toString());
    }
    if (m.createdAt() != null) {
      try {
        node.put("createdAt", Instant.parse(m.createdAt()).toEpochMilli());
      } catch (DateTimeParseException e) {
        LOG.debug("adapter {} was made at {}", m.digest(), m.createdAt());
      }
    }
    ObjectNode metrics = node.putObject("metrics");
    m.metrics().forEach(metrics::put);
    board.adapter(node);
    for (AdapterManifest.DriftEvent event : m.driftEvents()) {
      board.mark(
          "drift",
          event.step(),
          String.format(
              java.util.Locale.ROOT,
              "%s fell from %.2f to %.2f",
              event.metric(),
              event.before(),
              event.after()),
          true);
    }
  }
}
