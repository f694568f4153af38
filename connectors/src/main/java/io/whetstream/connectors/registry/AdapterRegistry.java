package io.whetstream.connectors.registry;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.connectors.StoredFiles;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterManifest;
import io.whetstream.model.adapter.AdapterManifest.Version;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.regex.Pattern;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;

/**
 * Adapters on any Flink file system, one directory each, named by the adapter's digest:
 *
 * <pre>
 *   adapters/&lt;digest&gt;/lora/…, prompt_image/…, prompt_text/…
 *   adapters/&lt;digest&gt;/manifest.json               written last; without a valid one there is no adapter
 *   adapters/&lt;digest&gt;/manifests/&lt;digest of it&gt;.json   further manifests of the same tensors
 *   pins/&lt;owner&gt;.json                             what a running job must not lose
 * </pre>
 *
 * Writing is idempotent: an adapter that is there is verified, and repaired if it is damaged; its
 * manifest is never rewritten. Reading checks all digests. On a local disk a directory appears in
 * one step, forced to the disk; elsewhere the manifest that comes last makes it appear.
 *
 * <p>A store that does not answer is an {@link UncheckedIOException} (worth another attempt), an
 * adapter that is damaged or absent a {@link BadInputException} (not worth one). Thread-safe.
 */
public final class AdapterRegistry {
  private static final String ADAPTERS = "adapters";
  private static final String PINS = "pins";
  private static final long MAX_MEMBER_BYTES = 8L << 30;
  private static final long MAX_MANIFEST_BYTES = 64L << 20;
  private static final Pattern DIGEST = Pattern.compile("[0-9a-f]{64}");
  private static final Pattern OWNER = Pattern.compile("[A-Za-z0-9._-]{1,120}");
  private static final ObjectMapper JSON = new ObjectMapper();

  /**
   * Where an adapter was stored.
   *
   * @param uri its directory
   * @param manifestDigest of the manifest that was given
   */
  public record Stored(String uri, String digest, String manifestDigest) {}

  /**
   * An adapter in a listing. Its manifest is valid; its tensors are checked by {@link #verify}.
   *
   * @param uri its directory
   * @param manifestDigest of this manifest
   * @param modified when it was stored, milliseconds since 1970
   */
  public record Entry(String uri, AdapterManifest manifest, String manifestDigest, long modified) {
    public String digest() {
      return manifest.digest();
    }
  }

  /**
   * What a running job must not lose.
   *
   * @param owner the job
   * @param until milliseconds since 1970; afterwards the pin does not count
   */
  public record Pin(String owner, Set<String> digests, long until) {}

  /**
   * What pruning must leave.
   *
   * @param minAge whatever is younger stays; at least the retention of checkpoints and savepoints
   * @param keepLast so many of the highest versions of each stream stay
   * @param keep digests that stay in any case, for example the one of a standing rollback
   */
  public record PruneRules(Duration minAge, int keepLast, Set<String> keep) {
    public PruneRules {
      if (minAge.isNegative() || keepLast < 1) {
        throw new BadInputException(
            "pruning needs minAge >= 0 and keepLast >= 1, not " + minAge + " and " + keepLast);
      }
      keep = Set.copyOf(keep);
    }
  }

  /**
   * What pruning did, or would do.
   *
   * @param removed digests
   * @param kept why each other one stays, by digest
   */
  public record Pruned(List<String> removed, SortedMap<String, String> kept) {}

  private final Path root;
  private final java.nio.file.Path localRoot;
  private final LocalCache cache;
  private final Map<String, Entry> known = new ConcurrentHashMap<>();

  private AdapterRegistry(Path root, java.nio.file.Path localRoot, LocalCache cache) {
    this.root = root;
    this.localRoot = localRoot;
    this.cache = cache;
  }

  /** Opens a registry; nothing is created before something is written. */
  public static AdapterRegistry open(RegistryOptions options) {
    Path root = StoredFiles.path(options.uri());
    try {
      java.nio.file.Path local = StoredFiles.local(root);
      return new AdapterRegistry(
          root, local, local == null ? LocalCache.open(options, root.toString()) : null);
    } catch (IOException e) {
      throw new UncheckedIOException("registry " + root + " cannot be reached", e);
    }
  }

  /** The registry's directory. */
  public String uri() {
    return root.toString();
  }

  /** The directory of an adapter, whether it is there or not. */
  public String uriOf(String digest) {
    return directory(digest).toString();
  }

  private Path directory(String digest) {
    if (!DIGEST.matcher(digest).matches()) {
      throw new BadInputException(
          "'" + digest + "' is no adapter digest: 64 hexadecimal digits are needed");
    }
    return new Path(new Path(root, ADAPTERS), digest);
  }

  // ---- writing

  /**
   * Stores an adapter. When it returns, the adapter can be read by everyone; called again with the
   * same adapter it changes nothing.
   */
  public Stored write(AdapterArtifact artifact) {
    Path directory = directory(artifact.digest());
    try {
      if (localRoot != null) {
        AdapterCodec.write(java.nio.file.Path.of(directory.getPath()), artifact);
      } else {
        put(directory, artifact);
      }
    } catch (IOException e) {
      throw new UncheckedIOException("adapter " + directory + " cannot be written", e);
    }
    return new Stored(
        directory.toString(), artifact.digest(), artifact.manifest().manifestDigest());
  }

  private static void put(Path directory, AdapterArtifact artifact) throws IOException {
    SortedMap<String, byte[]> members = AdapterCodec.encode(artifact);
    byte[] manifest = members.get(AdapterCodec.MANIFEST);
    byte[] present = member(directory, AdapterCodec.MANIFEST, MAX_MANIFEST_BYTES);
    boolean valid = present != null && isManifestOf(present, artifact.digest());
    if (!valid || !isIntact(directory)) {
      for (Map.Entry<String, byte[]> member : members.entrySet()) {
        if (!member.getKey().equals(AdapterCodec.MANIFEST)) {
          StoredFiles.write(new Path(directory, member.getKey()), member.getValue());
        }
      }
    }
    if (!valid) {
      StoredFiles.write(new Path(directory, AdapterCodec.MANIFEST), manifest);
    } else if (!Arrays.equals(present, manifest)) {
      Path further = furtherManifest(directory, AdapterManifest.digestOf(manifest));
      if (!Arrays.equals(StoredFiles.read(further, MAX_MANIFEST_BYTES), manifest)) {
        StoredFiles.write(further, manifest);
      }
    }
  }

  private static boolean isManifestOf(byte[] bytes, String digest) {
    try {
      return AdapterManifest.parse(bytes, "manifest").digest().equals(digest);
    } catch (BadInputException e) {
      // A manifest that cannot be read is none; the writer replaces it.
      return false;
    }
  }

  private static boolean isIntact(Path directory) throws IOException {
    try {
      decode(directory, null);
      return true;
    } catch (BadInputException e) {
      return false;
    }
  }

  private static Path furtherManifest(Path directory, String manifestDigest) {
    return new Path(new Path(directory, AdapterCodec.MANIFESTS), manifestDigest + ".json");
  }

  // ---- reading

  /** Whether a digest has a valid manifest. */
  public boolean contains(String digest) {
    Path directory = directory(digest);
    try {
      byte[] manifest = member(directory, AdapterCodec.MANIFEST, MAX_MANIFEST_BYTES);
      return manifest != null && isManifestOf(manifest, digest);
    } catch (IOException e) {
      throw new UncheckedIOException("registry " + root + " cannot be read", e);
    }
  }

  /** Reads and verifies an adapter with its first manifest. */
  public AdapterArtifact read(String digest) {
    return read(digest, null);
  }

  /**
   * Reads and verifies an adapter.
   *
   * @param manifestDigest the manifest an announcement named, or null for the first
   * @throws BadInputException when there is no such adapter or manifest, or either is damaged
   */
  public AdapterArtifact read(String digest, String manifestDigest) {
    Path directory = directory(digest);
    try {
      AdapterArtifact artifact;
      if (cache == null) {
        artifact = decode(directory, manifestDigest);
      } else {
        // Which manifest is the first only the registry knows, and whether the adapter is there
        // still.
        byte[] first = member(directory, AdapterCodec.MANIFEST, MAX_MANIFEST_BYTES);
        if (first == null) {
          throw new BadInputException(directory + ": no such adapter in the registry");
        }
        String wanted = manifestDigest == null ? AdapterManifest.digestOf(first) : manifestDigest;
        artifact = cache.read(digest, wanted);
        if (artifact == null) {
          artifact = decode(directory, manifestDigest);
          requireDigest(artifact, digest, directory);
          cache.store(artifact);
        }
      }
      requireDigest(artifact, digest, directory);
      return artifact;
    } catch (IOException e) {
      throw new UncheckedIOException("adapter " + directory + " cannot be read", e);
    }
  }

  private static void requireDigest(AdapterArtifact artifact, String digest, Path directory) {
    if (!artifact.digest().equals(digest)) {
      throw new BadInputException(
          directory + " holds adapter " + artifact.digest() + ", not " + digest);
    }
  }

  /**
   * A directory on this machine that holds the verified adapter, for readers that map files into
   * memory. A copy in the cache may be removed once {@code cacheBytes} of others were read.
   */
  public java.nio.file.Path localDirectory(String digest) {
    read(digest);
    return cache == null
        ? java.nio.file.Path.of(directory(digest).getPath())
        : cache.directory(digest);
  }

  private static AdapterArtifact decode(Path directory, String manifestDigest) throws IOException {
    try {
      return AdapterCodec.decode(members(directory, manifestDigest), directory.toString());
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  private static Function<String, byte[]> members(Path directory, String manifestDigest) {
    return name -> {
      try {
        return name.equals(AdapterCodec.MANIFEST)
            ? manifest(directory, manifestDigest)
            : member(directory, name, MAX_MEMBER_BYTES);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    };
  }

  private static byte[] manifest(Path directory, String manifestDigest) throws IOException {
    byte[] first = member(directory, AdapterCodec.MANIFEST, MAX_MANIFEST_BYTES);
    if (first == null
        || manifestDigest == null
        || AdapterManifest.digestOf(first).equals(manifestDigest)) {
      return first;
    }
    byte[] further =
        DIGEST.matcher(manifestDigest).matches()
            ? StoredFiles.read(furtherManifest(directory, manifestDigest), MAX_MANIFEST_BYTES)
            : null;
    if (further == null || !AdapterManifest.digestOf(further).equals(manifestDigest)) {
      throw new BadInputException(
          directory + " has no manifest of digest " + manifestDigest + ", or it is damaged");
    }
    return further;
  }

  private static byte[] member(Path directory, String name, long maxBytes) throws IOException {
    return StoredFiles.read(new Path(directory, name), maxBytes);
  }

  /**
   * What is wrong with an adapter.
   *
   * @return empty if all its files and manifests are as they were written
   */
  public List<String> verify(String digest) {
    Path directory = directory(digest);
    List<String> problems = new ArrayList<>();
    try {
      if (!exists(directory)) {
        return List.of(directory + " does not exist");
      }
      try {
        requireDigest(decode(directory, null), digest, directory);
      } catch (BadInputException e) {
        problems.add(e.getMessage());
      }
      for (FileStatus file : list(new Path(directory, AdapterCodec.MANIFESTS))) {
        byte[] bytes = StoredFiles.read(file.getPath(), MAX_MANIFEST_BYTES);
        String name = file.getPath().getName().replaceAll("\\.json$", "");
        if (bytes == null
            || !AdapterManifest.digestOf(bytes).equals(name)
            || !isManifestOf(bytes, digest)) {
          problems.add(file.getPath() + " is damaged");
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException("registry " + root + " cannot be read", e);
    }
    return problems;
  }

  // ---- listing

  /**
   * Every manifest of every adapter, by version (those without one first), equal versions by
   * digest. Directories without a valid manifest are left out.
   */
  public List<Entry> list() {
    List<Entry> entries = new ArrayList<>();
    try {
      for (FileStatus directory : list(new Path(root, ADAPTERS))) {
        String digest = directory.getPath().getName();
        if (DIGEST.matcher(digest).matches()) {
          addEntries(directory.getPath(), digest, entries);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException("registry " + root + " cannot be read", e);
    }
    entries.sort(
        Comparator.comparing(
                (Entry entry) -> entry.manifest().version(),
                Comparator.nullsFirst(Comparator.<Version>naturalOrder()))
            .thenComparing(Entry::digest)
            .thenComparing(Entry::manifestDigest));
    return entries;
  }

  private void addEntries(Path directory, String digest, List<Entry> entries) throws IOException {
    Entry first = entry(directory, new Path(directory, AdapterCodec.MANIFEST), digest);
    if (first == null) {
      return;
    }
    entries.add(first);
    for (FileStatus further : list(new Path(directory, AdapterCodec.MANIFESTS))) {
      Entry entry = entry(directory, further.getPath(), digest);
      if (entry != null) {
        entries.add(entry);
      }
    }
  }

  private Entry entry(Path directory, Path file, String digest) throws IOException {
    FileStatus status;
    try {
      status = file.getFileSystem().getFileStatus(file);
    } catch (FileNotFoundException e) {
      return null;
    }
    // A manifest is never rewritten, so one that was read is known for good, unless its file is
    // new.
    String key = file + "@" + status.getModificationTime();
    Entry seen = known.get(key);
    if (seen != null) {
      return seen;
    }
    byte[] bytes = StoredFiles.read(file, MAX_MANIFEST_BYTES);
    if (bytes == null || !isManifestOf(bytes, digest)) {
      return null;
    }
    Entry entry =
        new Entry(
            directory.toString(),
            AdapterManifest.parse(bytes, file.toString()),
            AdapterManifest.digestOf(bytes),
            status.getModificationTime());
    known.put(key, entry);
    return entry;
  }

  private static List<FileStatus> list(Path directory) throws IOException {
    try {
      FileStatus[] found = directory.getFileSystem().listStatus(directory);
      return found == null ? List.of() : Arrays.asList(found);
    } catch (FileNotFoundException e) {
      return List.of();
    }
  }

  private static boolean exists(Path path) throws IOException {
    return path.getFileSystem().exists(path);
  }

  // ---- pins

  /**
   * Keeps adapters from being pruned. A job renews its pin while it runs; the new one replaces the
   * old one.
   *
   * @param owner names the job; letters, digits, {@code . _ -}
   * @param validFor how long it counts if it is not renewed
   */
  public void pin(String owner, Collection<String> digests, Duration validFor) {
    digests.forEach(this::directory);
    ObjectNode pin = JSON.createObjectNode();
    pin.put("owner", owner);
    pin.put("until", Instant.now().plus(validFor).toEpochMilli());
    new TreeSet<>(digests).forEach(pin.withArray("digests")::add);
    try {
      StoredFiles.write(pinFile(owner), pin.toString().getBytes(StandardCharsets.UTF_8));
    } catch (IOException e) {
      throw new UncheckedIOException("the pin of " + owner + " cannot be written", e);
    }
  }

  /** Removes a job's pin, if there is one. */
  public void unpin(String owner) {
    try {
      Path file = pinFile(owner);
      file.getFileSystem().delete(file, false);
    } catch (FileNotFoundException e) {
      return;
    } catch (IOException e) {
      throw new UncheckedIOException("the pin of " + owner + " cannot be removed", e);
    }
  }

  private Path pinFile(String owner) {
    if (!OWNER.matcher(owner).matches()) {
      throw new BadInputException(
          "'" + owner + "' cannot own a pin: use letters, digits, '.', '_', '-'");
    }
    return new Path(new Path(root, PINS), owner + ".json");
  }

  /**
   * All pins, those that ran out too.
   *
   * @throws BadInputException when one cannot be read; nothing is pruned then
   */
  public List<Pin> pins() {
    List<Pin> pins = new ArrayList<>();
    try {
      for (FileStatus file : list(new Path(root, PINS))) {
        if (!file.getPath().getName().endsWith(".json")) {
          continue;
        }
        byte[] bytes = StoredFiles.read(file.getPath(), MAX_MANIFEST_BYTES);
        if (bytes == null) {
          continue;
        }
        pins.add(parsePin(bytes, file.getPath()));
      }
    } catch (IOException e) {
      throw new UncheckedIOException("registry " + root + " cannot be read", e);
    }
    pins.sort(Comparator.comparing(Pin::owner));
    return pins;
  }

  private static Pin parsePin(byte[] bytes, Path file) {
    try {
      JsonNode pin = JSON.readTree(bytes);
      Set<String> digests = new LinkedHashSet<>();
      pin.path("digests").forEach(digest -> digests.add(digest.asText()));
      if (!pin.path("until").isIntegralNumber() || !pin.path("digests").isArray()) {
        throw new BadInputException(file + " is no pin; remove it if nobody needs it");
      }
      return new Pin(pin.path("owner").asText(), digests, pin.path("until").asLong());
    } catch (IOException e) {
      throw new BadInputException(file + " is no pin; remove it if nobody needs it", e);
    }
  }

  // ---- pruning

  /**
   * Removes adapters that no rule keeps, and what is left of writes that never ended. The manifest
   * goes first, so that a reader never finds half an adapter.
   *
   * @param dryRun only say what would be removed
   */
  public Pruned prune(PruneRules rules, boolean dryRun) {
    long now = Instant.now().toEpochMilli();
    SortedMap<String, String> kept = new TreeMap<>();
    List<String> removed = new ArrayList<>();
    Map<String, String> reasons = new HashMap<>();
    for (Pin pin : pins()) {
      if (pin.until() > now) {
        pin.digests().forEach(digest -> reasons.put(digest, "pinned by " + pin.owner()));
      }
    }
    rules.keep().forEach(digest -> reasons.put(digest, "in use"));
    lastOfEachStream(rules.keepLast())
        .forEach(digest -> reasons.put(digest, "among the last " + rules.keepLast()));
    try {
      for (FileStatus status : list(new Path(root, ADAPTERS))) {
        Path directory = status.getPath();
        String digest = directory.getName();
        List<FileStatus> files = allFiles(directory);
        long newest =
            files.stream().mapToLong(FileStatus::getModificationTime).max().orElse(Long.MIN_VALUE);
        String reason =
            newest > now - rules.minAge().toMillis()
                ? "younger than " + rules.minAge()
                : reasons.get(digest);
        if (reason != null) {
          kept.put(digest, reason);
          continue;
        }
        if (!dryRun) {
          remove(directory, files);
        }
        removed.add(digest);
      }
    } catch (IOException e) {
      throw new UncheckedIOException("registry " + root + " cannot be pruned", e);
    }
    return new Pruned(removed, kept);
  }

  private Set<String> lastOfEachStream(int count) {
    Map<String, List<Entry>> streams = new TreeMap<>();
    for (Entry entry : list()) {
      if (entry.manifest().version() != null) {
        streams
            .computeIfAbsent(String.valueOf(entry.manifest().stream()), k -> new ArrayList<>())
            .add(entry);
      }
    }
    Set<String> last = new LinkedHashSet<>();
    for (List<Entry> entries : streams.values()) {
      entries
          .subList(Math.max(0, entries.size() - count), entries.size())
          .forEach(entry -> last.add(entry.digest()));
    }
    return last;
  }

  private static List<FileStatus> allFiles(Path directory) throws IOException {
    List<FileStatus> files = new ArrayList<>();
    for (FileStatus status : list(directory)) {
      if (status.isDir()) {
        files.addAll(allFiles(status.getPath()));
      } else {
        files.add(status);
      }
    }
    return files;
  }

  private static void remove(Path directory, List<FileStatus> files) throws IOException {
    FileSystem system = directory.getFileSystem();
    Path manifest = new Path(directory, AdapterCodec.MANIFEST);
    if (files.stream().anyMatch(file -> file.getPath().equals(manifest))) {
      system.delete(manifest, false);
    }
    system.delete(directory, true);
  }
}
