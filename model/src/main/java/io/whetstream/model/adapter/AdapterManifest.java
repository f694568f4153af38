package io.whetstream.model.adapter;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * Where an adapter comes from and what was measured of it. One set of tensors may have several
 * manifests (for instance after a replay); each has a digest of its own.
 *
 * @param schemaVersion version of this record; readers refuse a newer one
 * @param digest digest of the adapter's tensors and configuration
 * @param baseDigest digest of the base model it was trained on; null when unknown, which only a
 *     bare PEFT directory may be
 * @param baseName what the base model was called, for people; may be null
 * @param decoderModule what transformers calls the base's decoder, by which PEFT names LoRA; null
 *     for {@code model.language_model}
 * @param stream name of the adapter stream; null for an adapter made offline
 * @param version (epoch, n) within the stream; null for an adapter made offline
 * @param parent digest of the adapter that training went on from; null for the first
 * @param step optimizer steps made
 * @param pairs pairs trained as new
 * @param offsets highest offset trained, by {@code topic-partition}; not a contiguous range
 * @param config configuration of the adapter
 * @param logitScale natural logarithm of the contrastive multiplier
 * @param training training configuration, by name
 * @param metrics what the gate measured, by name
 * @param calibration thresholds by false-positive rate
 * @param driftEvents changes of the stream seen so far, oldest first
 * @param createdAt ISO-8601 instant, or null where runs must be repeatable to the byte
 * @param createdBy name and version of the program that made it; may be null
 */
@JsonInclude(JsonInclude.Include.NON_NULL)
@JsonPropertyOrder({
  "schemaVersion",
  "digest",
  "baseDigest",
  "baseName",
  "decoderModule",
  "stream",
  "version",
  "parent",
  "step",
  "pairs",
  "offsets",
  "config",
  "logitScale",
  "training",
  "metrics",
  "calibration",
  "driftEvents",
  "createdAt",
  "createdBy"
})
public record AdapterManifest(
    int schemaVersion,
    String digest,
    String baseDigest,
    String baseName,
    String decoderModule,
    String stream,
    Version version,
    String parent,
    long step,
    long pairs,
    SortedMap<String, Long> offsets,
    AdapterConfig config,
    float logitScale,
    SortedMap<String, Object> training,
    SortedMap<String, Double> metrics,
    Calibration calibration,
    List<DriftEvent> driftEvents,
    String createdAt,
    String createdBy) {

  /** The version of this record that is written. */
  public static final int SCHEMA_VERSION = 1;

  private static final Pattern HEX = Pattern.compile("[0-9a-f]{64}");
  private static final ObjectMapper JSON =
      JsonMapper.builder()
          .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  /**
   * A version within a stream. A restore by hand starts a new epoch, so no version names two
   * adapters.
   */
  @JsonPropertyOrder({"epoch", "n"})
  public record Version(long epoch, long n) implements Comparable<Version> {
    @Override
    public int compareTo(Version other) {
      int byEpoch = Long.compare(epoch, other.epoch);
      return byEpoch != 0 ? byEpoch : Long.compare(n, other.n);
    }

    @Override
    public String toString() {
      return epoch + "." + n;
    }
  }

  /**
   * A change of the stream that was noticed.
   *
   * @param step step at which it was noticed
   * @param pairs pairs trained by then
   * @param metric what changed
   * @param before its value before
   * @param after its value when noticed
   * @param response what was done
   */
  @JsonInclude(JsonInclude.Include.NON_NULL)
  @JsonPropertyOrder({"step", "pairs", "metric", "before", "after", "response"})
  public record DriftEvent(
      long step, long pairs, String metric, double before, double after, String response) {}

  public AdapterManifest {
    if (schemaVersion < 1 || schemaVersion > SCHEMA_VERSION) {
      throw new BadInputException(
          "adapter manifest has schemaVersion "
              + schemaVersion
              + "; this program reads 1 to "
              + SCHEMA_VERSION);
    }
    requireDigest("digest", digest);
    if (baseDigest != null) {
      requireDigest("baseDigest", baseDigest);
    }
    if (parent != null) {
      requireDigest("parent", parent);
    }
    if (config == null) {
      throw new BadInputException("adapter manifest has no config");
    }
    if (!Float.isFinite(logitScale)) {
      throw new BadInputException("adapter manifest: logitScale is not finite: " + logitScale);
    }
    offsets = sorted(offsets);
    training = sorted(training);
    metrics = sorted(metrics);
    calibration = calibration == null ? Calibration.NONE : calibration;
    driftEvents = driftEvents == null ? List.of() : List.copyOf(driftEvents);
  }

  private static <V> SortedMap<String, V> sorted(SortedMap<String, V> map) {
    return Collections.unmodifiableSortedMap(map == null ? new TreeMap<>() : new TreeMap<>(map));
  }

  private static void requireDigest(String field, String value) {
    if (value == null || !HEX.matcher(value).matches()) {
      throw new BadInputException(
          "adapter manifest: " + field + " must be 64 hexadecimal digits, not " + value);
    }
  }

  /** The same at another place in the lineage. */
  public AdapterManifest withPlace(Version otherVersion, String otherParent) {
    return new AdapterManifest(
        schemaVersion,
        digest,
        baseDigest,
        baseName,
        decoderModule,
        stream,
        otherVersion,
        otherParent,
        step,
        pairs,
        offsets,
        config,
        logitScale,
        training,
        metrics,
        calibration,
        driftEvents,
        createdAt,
        createdBy);
  }

  /** A builder whose digest, configuration and logit scale are those of the weights. */
  public static Builder builder(AdapterWeights weights, String baseDigest) {
    return new Builder(weights, baseDigest);
  }

  /** The manifest as JSON: equal manifests have equal bytes. */
  public byte[] toBytes() {
    return (JsonLayout.of(this) + "\n").getBytes(StandardCharsets.UTF_8);
  }

  /** Sha-256, in hex, of {@link #toBytes}. */
  public String manifestDigest() {
    return digestOf(toBytes());
  }

  /** Sha-256, in hex, of a manifest's bytes as they were read. */
  public static String digestOf(byte[] manifest) {
    return HexFormat.of().formatHex(AdapterWeights.sha256().digest(manifest));
  }

  /**
   * Reads a manifest.
   *
   * @param where what to call the source in errors
   * @throws BadInputException when it is no manifest of a known version
   */
  public static AdapterManifest parse(byte[] json, String where) {
    try {
      JsonNode tree = JSON.readTree(json);
      if (tree == null || !tree.isObject() || !tree.path("schemaVersion").isInt()) {
        throw new BadInputException(where + " is not an adapter manifest (no schemaVersion)");
      }
      return JSON.treeToValue(tree, AdapterManifest.class);
    } catch (JsonProcessingException e) {
      if (e.getCause() instanceof BadInputException bad) {
        throw new BadInputException(where + ": " + bad.getMessage(), bad);
      }
      throw new BadInputException(
          where + " is not an adapter manifest: " + e.getOriginalMessage(), e);
    } catch (IOException e) {
      throw new BadInputException(where + " cannot be read: " + e.getMessage(), e);
    }
  }

  /** Fills a manifest; what is not set stays null, empty or 0. */
  public static final class Builder {
    private final String digest;
    private final AdapterConfig config;
    private final float logitScale;
    private final String baseDigest;
    private String baseName;
    private String decoderModule;
    private String stream;
    private Version version;
    private String parent;
    private long step;
    private long pairs;
    private SortedMap<String, Long> offsets;
    private SortedMap<String, Object> training;
    private SortedMap<String, Double> metrics;
    private Calibration calibration;
    private List<DriftEvent> driftEvents;
    private String createdAt;
    private String createdBy;

    private Builder(AdapterWeights weights, String baseDigest) {
      digest = weights.digest();
      config = weights.config();
      logitScale = weights.logitScale();
      this.baseDigest = baseDigest;
    }

    public Builder baseName(String value) {
      baseName = value;
      return this;
    }

    /** What transformers calls the base's decoder: {@code ModelConfig.decoderModule()}. */
    public Builder decoderModule(String value) {
      decoderModule = LoraNames.USUAL_ROOT.equals(value) ? null : value;
      return this;
    }

    public Builder stream(String value) {
      stream = value;
      return this;
    }

    public Builder version(Version value) {
      version = value;
      return this;
    }

    public Builder parent(String value) {
      parent = value;
      return this;
    }

    public Builder step(long value) {
      step = value;
      return this;
    }

    public Builder pairs(long value) {
      pairs = value;
      return this;
    }

    public Builder offsets(SortedMap<String, Long> value) {
      offsets = value;
      return this;
    }

    public Builder training(SortedMap<String, Object> value) {
      training = value;
      return this;
    }

    public Builder metrics(SortedMap<String, Double> value) {
      metrics = value;
      return this;
    }

    public Builder calibration(Calibration value) {
      calibration = value;
      return this;
    }

    public Builder driftEvents(List<DriftEvent> value) {
      driftEvents = value;
      return this;
    }

    public Builder createdAt(String value) {
      createdAt = value;
      return this;
    }

    public Builder createdBy(String value) {
      createdBy = value;
      return this;
    }

    public AdapterManifest build() {
      return new AdapterManifest(
          SCHEMA_VERSION,
          digest,
          baseDigest,
          baseName,
          decoderModule,
          stream,
          version,
          parent,
          step,
          pairs,
          offsets,
          config,
          logitScale,
          training,
          metrics,
          calibration,
          driftEvents,
          createdAt,
          createdBy);
    }
  }
}
