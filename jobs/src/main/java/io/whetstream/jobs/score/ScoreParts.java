package io.whetstream.jobs.score;

import io.whetstream.connectors.kafka.Topics;
import java.io.Serializable;
import java.time.Duration;
import java.util.List;
import java.util.Set;

/** How the matcher reaches model, registry and record formats. */
interface ScoreParts extends Serializable {

  /**
   * A control record.
   *
   * @param rollback whether it orders a rollback; else it resumes
   * @param digest the adapter to go back to, or the one that stays in use after a resume; null if a
   *     resume names none
   * @param after of a resume that names an adapter: the newest version announced before it; else
   *     null
   */
  record Command(boolean rollback, String digest, AdapterVersion after) {}

  Embedder embedder();

  LoadedAdapter.Loader loader(Embedder embedder);

  /** Keeps adapters from being pruned while this job may need them. May block. */
  void pin(Set<String> digests, Duration validFor);

  /** Versions in the registry, newest first, for when nothing announced can be used. */
  List<AdapterVersion> newestInRegistry();

  Topics topics();

  /**
   * A record of {@code queries} with its image fetched, if it names one by URI, or with the reason
   * why there is none. Blocks; called from several threads.
   */
  default ControlRecord withImage(ControlRecord record) {
    return record;
  }

  /**
   * The query in a record with a value, or null if it is switched off. An image by URI that did not
   * come with the record is fetched.
   */
  WatchedQuery query(ControlRecord record);

  /** The version announced, or null if it is of another adapter stream. */
  AdapterVersion announcement(ControlRecord record);

  /** The command in a record, or null if it has none. */
  Command command(ControlRecord record);
}
