package io.whetstream.jobs.score;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Which adapter is wanted, from announcements and control records in the order they were read. Pure
 * bookkeeping, the same at start-up and live.
 *
 * <p>A rollback wins over every announcement until it is resumed. After it, the adapter that was
 * gone back to stays until a version is announced that is newer than all before the resume, so that
 * what was rolled back is not taken up again: not by a running job, and, because the resume names
 * both, not by one that starts later.
 */
final class AdapterFeed {
  private static final int REMEMBERED = 64;

  private final List<AdapterVersion> announced = new ArrayList<>();
  private AdapterVersion newestSeen;
  private String pinned;
  private AdapterVersion floor;
  private AdapterVersion stays;

  /** The newest version that was announced or that a resume names, or null. */
  AdapterVersion newestSeen() {
    return newestSeen;
  }

  /**
   * Continues from a checkpoint: what served stays until something newer than all that was seen is
   * announced.
   *
   * @param newest the newest version seen then
   * @param served the version that served or was to serve next
   */
  void restore(AdapterVersion newest, AdapterVersion served) {
    see(newest);
    raiseFloor(newest, served);
  }

  private void see(AdapterVersion version) {
    if (version != null && version.isNewerThan(newestSeen)) {
      newestSeen = version;
    }
  }

  private void raiseFloor(AdapterVersion newest, AdapterVersion inUse) {
    // As high is enough: what an order names counts more than what happened to serve.
    if (inUse != null && (floor == null || (newest != null && !floor.isNewerThan(newest)))) {
      floor = newest;
      stays = inUse;
    }
  }

  /** The digest of the rollback in force, or null. */
  String pinned() {
    return pinned;
  }

  /** The adapter that should be in use, or null if nothing is known. */
  AdapterVersion wanted() {
    if (pinned != null) {
      return versionOf(pinned);
    }
    return announced.stream()
        .filter(version -> version.isNewerThan(floor))
        .max(Comparator.naturalOrder())
        .orElse(stays);
  }

  /** Takes note of an announcement. */
  void announced(AdapterVersion version) {
    announced.removeIf(known -> known.digest().equals(version.digest()));
    announced.add(version);
    if (announced.size() > REMEMBERED) {
      announced.remove(0);
    }
    see(version);
  }

  /** Takes note of an order. */
  void apply(ScoreParts.Command command) {
    if (command.rollback()) {
      pinned = command.digest();
      return;
    }
    // A resume that names no adapter means the one gone back to, if that was in force here, and
    // everything seen here.
    String inUse = command.digest() != null ? command.digest() : pinned;
    pinned = null;
    see(command.after());
    if (inUse != null) {
      raiseFloor(command.after() != null ? command.after() : newestSeen, versionOf(inUse));
    }
  }

  /** The announced version of a digest; for an unknown digest one that orders before all others. */
  private AdapterVersion versionOf(String digest) {
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
