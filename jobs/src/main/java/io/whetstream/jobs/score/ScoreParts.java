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
   * A record of {@code queries} with the image that another subtask has fetched or with the reason
   * why it has none, or null as long as neither is known.
   *
   * @param attempt names this run of the job, the same in all subtasks
   */
  default ControlRecord awaited(ControlRecord record, String attempt) {
    return record;
  }

  /** Tells the other subtasks of this run why a query has no image. */
  default void tellRefused(ControlRecord refused, String attempt) {}

  /**
   * The query in a record with a value, or null if it is switched off.
   *
   * @throws ImageNotAtHand if it names an image by URI that neither came with the record nor is
   *     kept
   */
  WatchedQuery query(ControlRecord record);

  /** The version announced, or null if it is of another adapter stream. */
  AdapterVersion announcement(ControlRecord record);

  /** The command in a record, or null if it has none. */
  Command command(ControlRecord record);
}
