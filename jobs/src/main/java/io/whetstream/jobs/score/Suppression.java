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
 * counter. Pure logic in processing time, which nobody but the clock sets; the operator keeps its
 * {@link #toBytes bytes} in keyed state.
 *
 * <p>A group's first match is always raised, also in quarantine: there only its copies are thinned
 * out, to one of {@value #SAMPLE}, and the ids of the others are kept. Floods are counted by
 * groups, so that nobody silences a query by sending one match many times.
 *
 * <p>Every match is counted in exactly one place: an alert raised, the suppressed count of a later
 * alert or final count of its group, or what a quarantine withheld.
 */
final class Suppression {
  private static final int STATE_VERSION = 2;

  /** It was in event time and counted every match of a flood. */
  private static final int EVENT_TIME = 1;

  private static final long NEVER = Long.MIN_VALUE;

  /** Of what a quarantine withholds, one in so many goes out all the same. */
  static final int SAMPLE = 100;

  /** In quarantine, more than this many times the groups that began it are withheld too. */
  static final int QUARANTINE_GROUPS = 10;

  /**
   * How matches of a query are thinned out. Times in milliseconds of processing time.
   *
   * @param coolDown after an alert, further matches of its group are counted instead of raised;
   *     zero raises every match
   * @param finalCountAfter after the cool-down, wait this long for a further alert to carry the
   *     count before it is sent alone
   * @param imageBits images at most this many of 256 hash bits apart are one group
   * @param maxGroups groups remembered per query; the oldest gives its count early and is forgotten
   * @param floodWindow window in which groups are counted
   * @param floodMatches matches of more groups than this in a window put the query in quarantine
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
    /** Counted, to be told with a later alert of its group. */
    SUPPRESS,
    /** In quarantine, a copy that is let through. */
    SAMPLE,
    /** In quarantine, a copy of which the id is kept. */
    WITHHOLD
  }

  /**
   * @param quarantineBegins whether the query is in quarantine from this match on
   * @param suppressedBefore for {@link Verdict#RAISE}: matches of the group counted since its last
   *     alert
   * @param groupId number of the group within the query, or -1
   * @param timer processing time at which {@link #onTime} must be called, or {@link Long#MIN_VALUE}
   * @param forgotten the group that had to make room and still held a count, or null
   */
  record Decision(
      Verdict verdict,
      boolean quarantineBegins,
      long suppressedBefore,
      long groupId,
      long timer,
      FinalCount forgotten) {}

  /** Matches of a group that no further alert will carry. */
  record FinalCount(long groupId, long suppressed) {}

  /**
   * Result of a timer.
   *
   * @param counts groups that ended with a count
   * @param ended ids of all groups that ended
   * @param quarantineEnded whether the query is out of quarantine now
   * @param withheld matches withheld during that quarantine
   */
  record Elapsed(
      List<FinalCount> counts, List<Long> ended, boolean quarantineEnded, long withheld) {}

  private static final class Group {
    long id;
    ContentGroup hash;
    long coolDownEnd;
    long finalAt;
    long suppressed;

    /** The flood window in which it was counted last. */
    long window = NEVER;
  }

  private final List<Group> groups = new ArrayList<>();
  private long revision = NEVER;
  private long nextGroupId;
  private long windowStart = NEVER;
  private long windowGroups;
  private long quarantinedUntil = NEVER;
  private long thinnedOut;
  private long withheld;

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

  Decision onMatch(long now, ContentGroup hash, Settings settings) {
    Group near = nearest(hash, settings.imageBits());
    countGroup(now, near, settings);
    boolean begins = !inQuarantine() && windowGroups > settings.floodMatches();
    if (begins) {
      quarantinedUntil = now + settings.quarantine();
    }
    // Past its end a quarantine waits for no timer, which still reports what was withheld.
    boolean quarantined = inQuarantine() && now < quarantinedUntil;
    boolean coolingDown = near != null && now < near.coolDownEnd;
    if (quarantined
        && (coolingDown || windowGroups > QUARANTINE_GROUPS * settings.floodMatches())) {
      return thinOut(near, begins);
    }
    // Also a clock set back lies before the end of a cool-down that takes no time.
    if (coolingDown && settings.coolDown() > 0) {
      near.suppressed++;
      return new Decision(Verdict.SUPPRESS, begins, 0, near.id, NEVER, null);
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
      near.window = windowStart;
    } else {
      before = near.suppressed;
      near.suppressed = 0;
      groups.remove(near);
    }
    near.coolDownEnd = now + settings.coolDown();
    if (quarantined) {
      near.coolDownEnd = Math.max(near.coolDownEnd, quarantinedUntil);
    }
    near.finalAt = near.coolDownEnd + settings.finalCountAfter();
    groups.add(near);
    return new Decision(
        Verdict.RAISE,
        begins,
        before,
        near.id,
        begins ? Math.min(near.finalAt, quarantinedUntil) : near.finalAt,
        forgotten);
  }

  private void countGroup(long now, Group near, Settings settings) {
    long window = Math.floorDiv(now, settings.floodWindow()) * settings.floodWindow();
    if (window != windowStart) {
      windowStart = window;
      windowGroups = 0;
    }
    if (near == null || near.window != windowStart) {
      windowGroups++;
    }
    if (near != null) {
      near.window = windowStart;
    }
  }

  private Decision thinOut(Group near, boolean begins) {
    boolean sampled = ++thinnedOut % SAMPLE == 0;
    withheld += sampled ? 0 : 1;
    return new Decision(
        sampled ? Verdict.SAMPLE : Verdict.WITHHOLD,
        begins,
        0,
        near == null ? -1 : near.id,
        begins ? quarantinedUntil : NEVER,
        null);
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

  /** Ends what is due at processing time {@code now}. */
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
    long count = free ? withheld : 0;
    if (free) {
      quarantinedUntil = NEVER;
      thinnedOut = 0;
      withheld = 0;
      // The window that caused the quarantine must not cause the next one.
      windowGroups = 0;
    }
    return new Elapsed(counts, ended, free, count);
  }

  /**
   * When {@link #onTime} has something to do next, or else when the window ends in which something
   * was counted.
   */
  long nextDue(Settings settings) {
    long due = quarantinedUntil;
    for (Group group : groups) {
      due = due == NEVER ? group.finalAt : Math.min(due, group.finalAt);
    }
    return due == NEVER ? windowStart + settings.floodWindow() : due;
  }

  /** Ends everything, as when the query was changed. */
  Elapsed endAll() {
    return onTime(Long.MAX_VALUE);
  }

  /**
   * Whether there is nothing to be remembered: also no window that still counts, or a query whose
   * groups all end at once would be flooded unnoticed.
   */
  boolean isEmpty(long now, Settings settings) {
    boolean counts = windowGroups > 0 && now < windowStart + settings.floodWindow();
    return groups.isEmpty() && !inQuarantine() && !counts;
  }

  byte[] toBytes() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(64 + groups.size() * 106);
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      out.writeByte(STATE_VERSION);
      out.writeLong(revision);
      out.writeLong(nextGroupId);
      out.writeLong(windowStart);
      out.writeLong(windowGroups);
      out.writeLong(quarantinedUntil);
      out.writeLong(thinnedOut);
      out.writeLong(withheld);
      out.writeInt(groups.size());
      for (Group group : groups) {
        out.writeLong(group.id);
        group.hash.write(out);
        out.writeLong(group.coolDownEnd);
        out.writeLong(group.finalAt);
        out.writeLong(group.suppressed);
        out.writeLong(group.window);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  /**
   * Reads state, also that of the first version: its ends were in event time, which may be far
   * ahead or long ago, so that none lies further ahead now than if it had begun now.
   */
  static Suppression fromBytes(byte[] state, long now, Settings settings) {
    Suppression result = new Suppression();
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(state))) {
      int version = in.readByte();
      StateVersion.require("the suppressor's state", version, EVENT_TIME, STATE_VERSION);
      boolean eventTime = version == EVENT_TIME;
      result.revision = in.readLong();
      result.nextGroupId = in.readLong();
      result.windowStart = in.readLong();
      result.windowGroups = in.readLong();
      result.quarantinedUntil = in.readLong();
      if (!eventTime) {
        result.thinnedOut = in.readLong();
      }
      result.withheld = in.readLong();
      int count = in.readInt();
      for (int i = 0; i < count; i++) {
        Group group = new Group();
        group.id = in.readLong();
        group.hash = eventTime ? ContentGroup.readFirstVersion(in) : ContentGroup.read(in);
        group.coolDownEnd = in.readLong();
        group.finalAt = in.readLong();
        group.suppressed = in.readLong();
        group.window = eventTime ? NEVER : in.readLong();
        if (eventTime) {
          group.coolDownEnd = Math.min(group.coolDownEnd, now + settings.coolDown());
          group.finalAt = Math.min(group.finalAt, group.coolDownEnd + settings.finalCountAfter());
        }
        result.groups.add(group);
      }
      if (eventTime) {
        result.windowStart = NEVER;
        result.quarantinedUntil = Math.min(result.quarantinedUntil, now + settings.quarantine());
      }
      return result;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
