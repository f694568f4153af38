package io.whetstream.jobs.finetune;

import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterWeights;
import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The adapter versions of a stream, and how far each has come:
 *
 * <pre>
 *   PASSED (the gate; tensors in state) -> WRITTEN (files confirmed) -> ANNOUNCED (in a transaction)
 *                                                                            -> SETTLED (committed)
 * </pre>
 *
 * <p>A version that is not announced yet may be replaced by newer ones, or dropped by a rollback.
 * After a restore, one that was announced in a transaction which may have been aborted is written
 * and announced again. Not thread-safe.
 */
final class AdapterLine {
  private static final Logger LOG = LoggerFactory.getLogger(AdapterLine.class);

  /** Candidates whose files are not confirmed, at most, because their tensors are in state. */
  static final int MOST_PASSED = 4;

  private static final int MOST_SETTLED = 1_000;

  /** How far a version has come. */
  enum Stage {
    PASSED,
    WRITTEN,
    ANNOUNCED,
    SETTLED
  }

  /** An adapter version. */
  record Version(long epoch, long n, String digest, long step) {
    private boolean follows(long otherEpoch, long otherN) {
      return epoch > otherEpoch || (epoch == otherEpoch && n > otherN);
    }
  }

  /** A version that the registry holds. */
  record Taken(long epoch, long n, String digest) {}

  /** An adapter that the line still needs, with its members as they are written. */
  private record Kept(AdapterArtifact artifact, SortedMap<String, byte[]> members) {
    static Kept of(AdapterArtifact artifact) {
      return new Kept(artifact, AdapterCodec.encode(artifact));
    }
  }

  /** A version on its way. */
  private static final class Candidate {
    private Version version;
    private Stage stage;

    /** Until it is announced. */
    private AdapterManifest manifest;

    /** Where it was written. */
    private String uri = "";

    /** Processing time; 0 if that is not known. */
    private long announcedAt;

    /** Checkpoint before whose barrier it was announced. */
    private long checkpoint = Long.MAX_VALUE;

    Candidate(Version version, Stage stage, AdapterManifest manifest) {
      this.version = version;
      this.stage = stage;
      this.manifest = manifest;
    }

    boolean waits() {
      return stage == Stage.PASSED || stage == Stage.WRITTEN;
    }
  }

  private long epoch;
  private long versions;

  /** Whether the registry has not been asked yet which epochs are taken. */
  private boolean provisional;

  private String published = "";
  private Version publishedVersion = new Version(0, 0, "", 0);
  private String preDrift = "";
  private long replaced;
  private final Map<String, Kept> kept = new LinkedHashMap<>();
  private final List<Candidate> candidates = new ArrayList<>();

  /** Starts an epoch above all that is known of here; the registry may know of later ones. */
  void startEpoch() {
    epoch++;
    versions = 0;
    provisional = true;
  }

  /**
   * Takes note of the versions of this stream that the registry holds, so that none is given twice:
   * not those of other runs, and not those of a run after the restored checkpoint.
   *
   * @param repeats whether what was done after a checkpoint is done again to the byte
   */
  void taken(List<Taken> all, boolean repeats) {
    if (provisional) {
      long highest = all.stream().mapToLong(Taken::epoch).max().orElse(0);
      if (highest >= epoch) {
        List<Candidate> own = candidates.stream().filter(each -> isOfEpoch(each, epoch)).toList();
        epoch = highest + 1;
        versions = 0;
        number(own);
      }
      provisional = false;
    } else if (!repeats) {
      long highest =
          all.stream()
              .filter(each -> each.epoch() == epoch)
              .mapToLong(Taken::n)
              .max()
              .orElse(versions);
      int first = 0;
      while (first < candidates.size() && !isTakenByAnother(candidates.get(first), highest, all)) {
        first++;
      }
      if (first < candidates.size()) {
        versions = highest;
        number(List.copyOf(candidates.subList(first, candidates.size())));
      }
      versions = Math.max(versions, highest);
    }
  }

  private static boolean isOfEpoch(Candidate candidate, long epoch) {
    return candidate.waits() && candidate.version.epoch() == epoch;
  }

  private boolean isTakenByAnother(Candidate candidate, long highest, List<Taken> all) {
    Version version = candidate.version;
    return candidate.stage == Stage.PASSED
        && version.epoch() == epoch
        && version.n() <= highest
        && !all.contains(new Taken(epoch, version.n(), version.digest()));
  }

  /** Gives versions anew. */
  private void number(List<Candidate> some) {
    for (Candidate candidate : some) {
      Version old = candidate.version;
      versions++;
      candidate.version = new Version(epoch, versions, old.digest(), old.step());
      if (old.digest().equals(published)) {
        publishedVersion = candidate.version;
      }
      describe(
          candidate,
          candidate.manifest.withPlace(
              new AdapterManifest.Version(epoch, versions), candidate.manifest.parent()));
    }
  }

  private void describe(Candidate candidate, AdapterManifest manifest) {
    candidate.manifest = manifest;
    // Its files are to say so too.
    candidate.stage = Stage.PASSED;
    String digest = candidate.version.digest();
    kept.computeIfPresent(
        digest, (key, old) -> Kept.of(new AdapterArtifact(old.artifact().weights(), manifest)));
  }

  /** No version up to this one is given any more. */
  void raiseAbove(long otherEpoch, long otherN) {
    if (otherEpoch > epoch) {
      epoch = otherEpoch;
      versions = otherN;
    } else if (otherEpoch == epoch) {
      versions = Math.max(versions, otherN);
    }
  }

  /** The version of the next candidate. */
  AdapterManifest.Version next() {
    return new AdapterManifest.Version(epoch, versions + 1);
  }

  /**
   * Takes a candidate that passed the gate, as the adapter in use.
   *
   * @param artifact its manifest names {@link #next}
   * @param replaces whether the oldest of too many whose files are not confirmed gives way
   */
  void pass(AdapterArtifact artifact, boolean replaces) {
    AdapterManifest manifest = artifact.manifest();
    versions++;
    Version version = new Version(epoch, versions, artifact.digest(), manifest.step());
    keep(artifact);
    published = artifact.digest();
    publishedVersion = version;
    candidates.add(new Candidate(version, Stage.PASSED, manifest));
    while (replaces && passed() > MOST_PASSED) {
      replaceOldest();
    }
    forget();
  }

  /** The next one's lineage then leads past the one that nobody ever saw. */
  private void replaceOldest() {
    int at = 0;
    while (candidates.get(at).stage != Stage.PASSED) {
      at++;
    }
    Candidate oldest = candidates.remove(at);
    Candidate next = candidates.get(at);
    LOG.warn(
        "Adapter {} of step {} is given up: the registry does not take it, and {} newer ones wait",
        oldest.version.digest(),
        oldest.version.step(),
        passed());
    replaced++;
    describe(
        next,
        next.manifest.withPlace(
            new AdapterManifest.Version(next.version.epoch(), next.version.n()),
            oldest.manifest.parent()));
  }

  /** Goes on from an adapter that the stream has announced. */
  void adopt(AdapterArtifact artifact, long itsEpoch, long itsN) {
    keep(artifact);
    published = artifact.digest();
    publishedVersion = new Version(itsEpoch, itsN, published, artifact.manifest().step());
    epoch = Math.max(epoch, itsEpoch);
    forget();
  }

  /** Goes back to an adapter, or to none: what is not announced yet is dropped. */
  void backTo(AdapterArtifact artifact) {
    candidates.removeIf(Candidate::waits);
    if (artifact == null) {
      published = "";
    } else {
      keep(artifact);
      published = artifact.digest();
    }
    forget();
  }

  private void keep(AdapterArtifact artifact) {
    kept.put(artifact.digest(), Kept.of(artifact));
  }

  /** Drops tensors that nothing refers to any more. */
  private void forget() {
    kept.keySet()
        .removeIf(
            digest -> !digest.equals(published) && !digest.equals(preDrift) && !isPassed(digest));
    while (candidates.size() > MOST_SETTLED && candidates.get(0).stage == Stage.SETTLED) {
      candidates.remove(0);
    }
  }

  private boolean isPassed(String digest) {
    return candidates.stream()
        .anyMatch(each -> each.stage == Stage.PASSED && each.version.digest().equals(digest));
  }

  /** The adapter in use is the one before a change of the distribution. */
  void noteDrift() {
    preDrift = published;
    forget();
  }

  /** The files of a version are there; of one that is gone from the line that means nothing. */
  void written(Version version, String uri) {
    for (Candidate candidate : candidates) {
      if (candidate.version.equals(version) && candidate.stage == Stage.PASSED) {
        candidate.stage = Stage.WRITTEN;
        candidate.uri = uri;
      }
    }
    forget();
  }

  /** A version whose turn it is to be announced. */
  record Announceable(Version version, AdapterManifest manifest, String uri) {}

  /** The next one to announce, or null: all before it have been, and its files are there. */
  Announceable announceable() {
    for (Candidate candidate : candidates) {
      if (candidate.waits()) {
        return candidate.stage == Stage.PASSED
            ? null
            : new Announceable(candidate.version, candidate.manifest, candidate.uri);
      }
    }
    return null;
  }

  /**
   * The {@link #announceable} one has been emitted.
   *
   * @param now processing time: the transaction is not older than its first record
   * @param checkpoint whose barrier follows
   */
  void announced(long now, long checkpoint) {
    for (Candidate candidate : candidates) {
      if (candidate.stage == Stage.WRITTEN) {
        candidate.stage = Stage.ANNOUNCED;
        candidate.announcedAt = now;
        candidate.checkpoint = checkpoint;
        candidate.manifest = null;
        return;
      }
    }
  }

  /** A checkpoint is complete: what was announced before its barrier is committed. */
  void settle(long checkpoint) {
    for (Candidate candidate : candidates) {
      if (candidate.stage == Stage.ANNOUNCED && candidate.checkpoint <= checkpoint) {
        candidate.stage = Stage.SETTLED;
      }
    }
    forget();
  }

  /**
   * Restored state commits what was announced in it, unless the broker has aborted the transaction
   * meanwhile: then the adapter in use is announced again.
   *
   * @param timeout of transactions, milliseconds
   * @param snapshot when the state was written
   */
  void restored(long now, long timeout, long snapshot) {
    for (Candidate candidate : candidates) {
      if (candidate.stage != Stage.ANNOUNCED) {
        continue;
      }
      long since = candidate.announcedAt == 0 ? snapshot : candidate.announcedAt;
      boolean last = candidate == lastAnnounced();
      if (now - since > timeout && last && candidate.version.digest().equals(published)) {
        candidate.stage = Stage.PASSED;
        candidate.manifest = kept.get(published).artifact().manifest();
      } else {
        candidate.stage = Stage.SETTLED;
      }
    }
  }

  private Candidate lastAnnounced() {
    Candidate last = null;
    for (Candidate candidate : candidates) {
      last = candidate.waits() ? last : candidate;
    }
    return last;
  }

  /** Versions whose files are not confirmed, oldest first. */
  List<Version> unwritten() {
    return candidates.stream()
        .filter(each -> each.stage == Stage.PASSED)
        .map(each -> each.version)
        .toList();
  }

  /** Versions not announced yet, oldest first. */
  List<Version> waiting() {
    return candidates.stream().filter(Candidate::waits).map(each -> each.version).toList();
  }

  /** Versions announced, oldest first, at most the newest thousand. */
  List<Version> history() {
    return candidates.stream().filter(each -> !each.waits()).map(each -> each.version).toList();
  }

  /** How many candidates' files are not confirmed. */
  int passed() {
    return (int) candidates.stream().filter(each -> each.stage == Stage.PASSED).count();
  }

  /** Candidates given up because the registry did not take them. */
  long replaced() {
    return replaced;
  }

  long epoch() {
    return epoch;
  }

  /** Digest of the adapter in use; empty before the first. */
  String published() {
    return published;
  }

  /** Whether the adapter in use is of no later version than this one. */
  boolean isNotAfter(long otherEpoch, long otherN) {
    return !publishedVersion.follows(otherEpoch, otherN);
  }

  String preDrift() {
    return preDrift;
  }

  /** An adapter that the line keeps, or null. */
  AdapterArtifact artifact(String digest) {
    Kept adapter = kept.get(digest);
    return adapter == null ? null : adapter.artifact();
  }

  /** Weights of an adapter that the line keeps; null for none. */
  AdapterWeights weights(String digest) {
    return digest.isEmpty() ? null : kept.get(digest).artifact().weights();
  }

  void write(DataOutput out) throws IOException {
    out.writeLong(epoch);
    out.writeLong(versions);
    out.writeBoolean(provisional);
    out.writeLong(replaced);
    out.writeUTF(published);
    writeVersion(out, publishedVersion);
    out.writeUTF(preDrift);
    out.writeInt(kept.size());
    for (Kept adapter : kept.values()) {
      out.writeInt(adapter.members().size());
      for (Map.Entry<String, byte[]> member : adapter.members().entrySet()) {
        out.writeUTF(member.getKey());
        writeBytes(out, member.getValue());
      }
    }
    out.writeInt(candidates.size());
    for (Candidate candidate : candidates) {
      writeVersion(out, candidate.version);
      out.writeByte(candidate.stage.ordinal());
      out.writeLong(candidate.announcedAt);
      out.writeLong(candidate.checkpoint);
      out.writeUTF(candidate.uri);
      writeBytes(out, candidate.waits() ? candidate.manifest.toBytes() : new byte[0]);
    }
  }

  void read(DataInput in) throws IOException {
    epoch = in.readLong();
    versions = in.readLong();
    provisional = in.readBoolean();
    replaced = in.readLong();
    published = in.readUTF();
    publishedVersion = readVersion(in);
    preDrift = in.readUTF();
    readKept(in);
    int count = in.readInt();
    for (int i = 0; i < count; i++) {
      Candidate candidate = new Candidate(readVersion(in), Stage.values()[in.readByte()], null);
      candidate.announcedAt = in.readLong();
      candidate.checkpoint = in.readLong();
      candidate.uri = in.readUTF();
      byte[] manifest = readBytes(in);
      if (candidate.waits()) {
        candidate.manifest = AdapterManifest.parse(manifest, "the trainer's state");
      }
      candidates.add(candidate);
    }
  }

  /** Reads what releases before version 3 of the state wrote, behind epoch and version. */
  void readBefore3(DataInput in, long itsEpoch, long itsVersions) throws IOException {
    epoch = itsEpoch;
    versions = itsVersions;
    published = in.readUTF();
    preDrift = in.readUTF();
    readKept(in);
    List<Candidate> waiting = new ArrayList<>();
    int count = in.readInt();
    for (int i = 0; i < count; i++) {
      Version version = readVersion(in);
      AdapterManifest manifest = kept.get(version.digest()).artifact().manifest();
      waiting.add(new Candidate(version, Stage.PASSED, manifest));
    }
    count = in.readInt();
    for (int i = 0; i < count; i++) {
      // Which of them are committed is not known; the last counts.
      candidates.add(new Candidate(readVersion(in), Stage.ANNOUNCED, null));
    }
    candidates.addAll(waiting);
    for (Candidate candidate : candidates) {
      if (candidate.version.digest().equals(published)) {
        publishedVersion = candidate.version;
      }
    }
  }

  private void readKept(DataInput in) throws IOException {
    int adapters = in.readInt();
    for (int i = 0; i < adapters; i++) {
      SortedMap<String, byte[]> members = new TreeMap<>();
      int count = in.readInt();
      for (int m = 0; m < count; m++) {
        members.put(in.readUTF(), readBytes(in));
      }
      AdapterArtifact artifact = AdapterCodec.decode(members::get);
      kept.put(artifact.digest(), new Kept(artifact, members));
    }
  }

  private static void writeVersion(DataOutput out, Version version) throws IOException {
    out.writeLong(version.epoch());
    out.writeLong(version.n());
    out.writeUTF(version.digest());
    out.writeLong(version.step());
  }

  private static Version readVersion(DataInput in) throws IOException {
    return new Version(in.readLong(), in.readLong(), in.readUTF(), in.readLong());
  }

  private static void writeBytes(DataOutput out, byte[] bytes) throws IOException {
    out.writeInt(bytes.length);
    out.write(bytes);
  }

  private static byte[] readBytes(DataInput in) throws IOException {
    byte[] bytes = new byte[in.readInt()];
    in.readFully(bytes);
    return bytes;
  }
}
