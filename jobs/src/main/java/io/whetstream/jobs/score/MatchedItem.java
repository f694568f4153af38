package io.whetstream.jobs.score;

import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.types.Read;
import java.nio.charset.StandardCharsets;

/**
 * An item that matches a query, before suppression.
 *
 * @param alert what is raised if it is not suppressed
 * @param group near-duplicate group of the content that matched
 * @param coolDownMillis the query's own cool-down, or -1
 */
public record MatchedItem(Alert alert, ContentGroup group, long coolDownMillis) {

  /**
   * What is raised for a match.
   *
   * @param content of the item
   * @param version the adapter that both sides were embedded with
   * @param now processing time, epoch milliseconds
   */
  static MatchedItem of(
      ItemContent content, MatchEngine.Match match, AdapterVersion version, long now) {
    Read<Item> read = content.read();
    Item item = read.value();
    WatchedQuery query = match.query();
    Alert alert =
        new Alert(
            alertId(read.at(), query.id(), query.revision(), version.digest()),
            item.id(),
            read.at(),
            content.digest(),
            query.id(),
            query.revision(),
            query.at(),
            match.queryDigest(),
            version.digest(),
            version.epoch(),
            version.n(),
            content.baseDigest(),
            match.scores().stream()
                .map(s -> new Alert.Score(s.kind(), s.score(), s.threshold()))
                .toList(),
            match.nearest().stream()
                .map(n -> new Alert.Near(n.queryId(), n.kind(), n.score()))
                .toList(),
            0,
            false,
            match.bridged(),
            item.eventTime(),
            now);
    return new MatchedItem(
        alert,
        content.group(match.scores().get(0).kind().itemSide()),
        query.coolDownMillis() == null ? -1 : query.coolDownMillis());
  }

  String queryId() {
    return alert.queryId();
  }

  /** The id of an alert: the same for the same item, query revision and adapter, always. */
  static String alertId(Coordinates item, String queryId, long revision, String digest) {
    String identity =
        String.join(
            "\n",
            item.topic(),
            Integer.toString(item.partition()),
            Long.toString(item.offset()),
            queryId,
            Long.toString(revision),
            digest);
    return Digests.sha256(identity.getBytes(StandardCharsets.UTF_8)).substring(0, 32);
  }

  /** The alert with the count of what was suppressed before it. */
  Alert raised(long suppressed) {
    return with(alert.alertId(), suppressed, false);
  }

  /** The count of what was suppressed after it, with an id of its own. */
  Alert finalCount(long suppressed) {
    return with(alert.alertId() + "-final", suppressed, true);
  }

  private Alert with(String id, long suppressed, boolean finalCount) {
    return new Alert(
        id,
        alert.itemId(),
        alert.itemAt(),
        alert.itemDigest(),
        alert.queryId(),
        alert.queryRevision(),
        alert.queryAt(),
        alert.queryDigest(),
        alert.adapterDigest(),
        alert.adapterEpoch(),
        alert.adapterN(),
        alert.baseDigest(),
        alert.scores(),
        alert.nearest(),
        suppressed,
        finalCount,
        alert.bridged(),
        alert.eventTime(),
        alert.processingTime());
  }
}
