package io.whetstream.jobs.score;

import io.whetstream.jobs.StateVersion;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * What is remembered of one query's matches: near-duplicate groups in cool-down and the flood
 * counter. Pure logic in event time; the operator keeps its {@link #toBytes bytes} in keyed state.
 *
 * <p>Every match is counted in exactly one place: an alert raised, the suppressed count of a later
 * alert or final count of its group, or the count of a quarantine.
 */
final class Suppression {
  private static final int STATE_VERSION = 1;
  private static final long NEVER = Long.MIN_VALUE;

  /**
   * How matches of a query are thinned out. Times in milliseconds of event time.
   *
   * @param coolDown after an alert, further matches of its group are counted instead of raised;
   *     zero raises every match
   * @param finalCountAfter after the cool-down, wait this long for a further alert to carry the
   *     count before it is sent alone
   * @param imageBits images at most this many of 192 hash bits apart are one group
   * @param maxGroups groups remembered per query; the oldest gives its count early and is forgotten
   * @param floodWindow window in which matches are counted
   * @param floodMatches more matches than this in a window put the query in quarantine
   * @param quarantine duration of a quarantine
   */
  record Settings(
      long coolDown,
      long finalCountAfter,
      int imageBits,
      int maxGroups,
      long floodWindow,
      long floodMatches,
      long quarantine) {}

  /** What to do with a match. */
  enum Verdict {
    RAISE,
    SUPPRESS,
    QUARANTINE_BEGINS,
    QUARANTINED
  }

  /**
   * @param suppressedBefore for {@link Verdict#RAISE}: matches of the group counted since its last
   *     alert
   * @param groupId number of the group within the query
   * @param timer event time at which {@link #onTime} must be called, or {@link Long#MIN_VALUE}
   * @param forgotten the group that had to make room and still held a count, or null
   */
  record Decision(
      Verdict verdict, long suppressedBefore, long groupId, long timer, FinalCount forgotten) {}

  /** Matches of a group that no further alert will carry. */
  record FinalCount(long groupId, long suppressed) {}

  /**
   * Result of a timer.
   *
   * @param counts groups that ended with a count
   * @param ended ids of all groups that ended
   * @param quarantineEnded whether the query is out of quarantine now
   * @param quarantined matches counted during that quarantine
   */
  record Elapsed(
      List<FinalCount> counts, List<Long> ended, boolean quarantineEnded, long quarantined) {}

  private static final class Group {
    long id;
    ContentGroup hash;
    long coolDownEnd;
    long finalAt;
    long suppressed;
  }

  private final List<Group> groups = new ArrayList<>();
  private long revision = NEVER;
  private long nextGroupId;
  private long windowStart = NEVER;
  private long windowMatches;
  private long quarantinedUntil = NEVER;
  private long quarantined;

  long revision() {
    return revision;
  }

  void revision(long value) {
    revision = value;
  }

  boolean inQuarantine() {
    return quarantinedUntil != NEVER;
  }

  long quarantinedUntil() {
    return quarantinedUntil;
  }

  Decision onMatch(long eventTime, ContentGroup hash, Settings settings) {
    if (inQuarantine()) {
      if (eventTime < quarantinedUntil) {
        quarantined++;
        return new Decision(Verdict.QUARANTINED, 0, -1, NEVER, null);
      }
      // The watermark has not ended the quarantine yet, but this match lies after it: it waits for
      // no timer. The timer still reports what was counted.
    }
    if (windowStart == NEVER || eventTime >= windowStart + settings.floodWindow()) {
      windowStart = Math.floorDiv(eventTime, settings.floodWindow()) * settings.floodWindow();
      windowMatches = 0;
    }
    windowMatches++;
    if (!inQuarantine() && windowMatches > settings.floodMatches()) {
      quarantinedUntil = eventTime + settings.quarantine();
      quarantined = 1;
      return new Decision(Verdict.QUARANTINE_BEGINS, 0, -1, quarantinedUntil, null);
    }
    Group near = nearest(hash, settings.imageBits());
    // A late match lies before the end of any cool-down, also of one that takes no time.
    if (near != null && settings.coolDown() > 0 && eventTime < near.coolDownEnd) {
      near.suppressed++;
      return new Decision(Verdict.SUPPRESS, 0, near.id, NEVER, null);
    }
    FinalCount forgotten = null;
    long before = 0;
    if (near == null) {
      if (groups.size() >= settings.maxGroups()) {
        Group oldest = groups.remove(0);
        forgotten = new FinalCount(oldest.id, oldest.suppressed);
      }
      near = new Group();
      near.id = nextGroupId++;
      near.hash = hash;
    } else {
      before = near.suppressed;
      near.suppressed = 0;
      groups.remove(near);
    }
    near.coolDownEnd = eventTime + settings.coolDown();
    near.finalAt = near.coolDownEnd + settings.finalCountAfter();
    groups.add(near);
    return new Decision(Verdict.RAISE, before, near.id, near.finalAt, forgotten);
  }

  private Group nearest(ContentGroup hash, int imageBits) {
    Group best = null;
    int distance = Integer.MAX_VALUE;
    for (Group group : groups) {
      if (group.hash.isNear(hash, imageBits) && group.hash.distance(hash) < distance) {
        best = group;
        distance = group.hash.distance(hash);
      }
    }
    return best;
  }

  /** Ends what is due at event time {@code now}. */
  Elapsed onTime(long now) {
    List<FinalCount> counts = new ArrayList<>();
    List<Long> ended = new ArrayList<>();
    for (Iterator<Group> all = groups.iterator(); all.hasNext(); ) {
      Group group = all.next();
      if (group.finalAt <= now) {
        all.remove();
        ended.add(group.id);
        if (group.suppressed > 0) {
          counts.add(new FinalCount(group.id, group.suppressed));
        }
      }
    }
    boolean free = inQuarantine() && quarantinedUntil <= now;
    long count = free ? quarantined : 0;
    if (free) {
      quarantinedUntil = NEVER;
      quarantined = 0;
      // The window that caused the quarantine must not cause the next one.
      windowMatches = 0;
    }
    return new Elapsed(counts, ended, free, count);
  }

  /** Ends everything, as when the query was changed. */
  Elapsed endAll() {
    return onTime(Long.MAX_VALUE);
  }

  boolean isEmpty() {
    return groups.isEmpty() && !inQuarantine();
  }

  byte[] toBytes() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(64 + groups.size() * 57);
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      out.writeByte(STATE_VERSION);
      out.writeLong(revision);
      out.writeLong(nextGroupId);
      out.writeLong(windowStart);
      out.writeLong(windowMatches);
      out.writeLong(quarantinedUntil);
      out.writeLong(quarantined);
      out.writeInt(groups.size());
      for (Group group : groups) {
        out.writeLong(group.id);
        out.writeBoolean(group.hash.image());
        out.writeLong(group.hash.red());
        out.writeLong(group.hash.green());
        out.writeLong(group.hash.blue());
        out.writeLong(group.coolDownEnd);
        out.writeLong(group.finalAt);
        out.writeLong(group.suppressed);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  static Suppression fromBytes(byte[] state) {
    Suppression result = new Suppression();
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(state))) {
      StateVersion.require("the suppressor's state", in.readByte(), STATE_VERSION, STATE_VERSION);
      result.revision = in.readLong();
      result.nextGroupId = in.readLong();
      result.windowStart = in.readLong();
      result.windowMatches = in.readLong();
      result.quarantinedUntil = in.readLong();
      result.quarantined = in.readLong();
      int count = in.readInt();
      for (int i = 0; i < count; i++) {
        Group group = new Group();
        group.id = in.readLong();
        group.hash =
            new ContentGroup(in.readBoolean(), in.readLong(), in.readLong(), in.readLong());
        group.coolDownEnd = in.readLong();
        group.finalAt = in.readLong();
        group.suppressed = in.readLong();
        result.groups.add(group);
      }
      return result;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
