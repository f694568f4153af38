package io.whetstream.jobs.score;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Which adapter is wanted, from announcements and control records in the order they were read. Pure
 * bookkeeping, the same at start-up and live.
 *
 * <p>A rollback wins over every announcement until it is resumed. After it, only versions newer
 * than the newest seen before count, so that the adapter that was rolled back is not taken up
 * again.
 */
final class AdapterFeed {
  private final List<AdapterVersion> announced = new ArrayList<>();
  private static final int REMEMBERED = 64;

  private AdapterVersion newestSeen;
  private String pinned;

  AdapterVersion newestSeen() {
    return newestSeen;
  }

  /** Continues from a checkpoint. */
  void restore(AdapterVersion newest) {
    if (newest != null && (newestSeen == null || newest.isNewerThan(newestSeen))) {
      newestSeen = newest;
    }
  }

  /** The digest of the rollback in force, or null. */
  String pinned() {
    return pinned;
  }

  /**
   * Takes note of an announcement.
   *
   * @return whether it is the adapter to switch to
   */
  boolean announced(AdapterVersion version) {
    announced.removeIf(known -> known.digest().equals(version.digest()));
    announced.add(version);
    if (announced.size() > REMEMBERED) {
      announced.remove(0);
    }
    if (newestSeen != null && !version.isNewerThan(newestSeen)) {
      return false;
    }
    newestSeen = version;
    return pinned == null;
  }

  void rolledBack(String digest) {
    pinned = digest;
  }

  void resumed() {
    pinned = null;
  }

  /** The announced version of a digest; for an unknown digest one that orders before all others. */
  AdapterVersion versionOf(String digest) {
    return announced.stream()
        .filter(known -> known.digest().equals(digest))
        .findFirst()
        .orElse(new AdapterVersion(0, 0, digest));
  }

  /** Announced versions, newest first. */
  List<AdapterVersion> newestFirst() {
    return announced.stream().sorted(Comparator.reverseOrder()).toList();
  }
}
