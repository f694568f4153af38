package io.whetstream.connectors.records;

import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.connectors.types.Types;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.apache.flink.api.common.typeinfo.TypeInfo;

/**
 * Something to watch for. Topic {@code queries}, compacted, keyed by {@code id}; a tombstone
 * removes it. Its revision is the offset at which it lies.
 *
 * @param id chosen by the user
 * @param text to watch for, or null
 * @param imageUri where an image to watch for is, or null
 * @param imageDigest of the encoded image, or null before it is known
 * @param kinds comparisons to make, never empty; left out on the wire, all that the query's sides
 *     allow
 * @param unlike texts that an item must be less like than {@code text}: what scores higher with one
 *     of them matches in no kind that compares the query's text. At most {@value #MOST_UNLIKE},
 *     never null; they need a {@code text}
 * @param minScore cosine in [-1, 1] from which an item matches, or null
 * @param maxFalsePositiveRate P(score &gt;= threshold) per comparison of one kind among
 *     non-matching ones, in (0, 0.5], or null
 * @param maxAlertsPerDay so many matches a day at most, over the whole job and before copies are
 *     suppressed, as long as the items are not about what is watched for; above 0, or null; exactly
 *     one of the three is given
 * @param coolDownMillis no second alert for the same near-duplicate group within this time, or null
 *     for the job's setting
 * @param enabled false keeps the query without matching it
 * @param createdAt when it was written
 * @param image encoded image to watch for, or null
 * @param at where it was read, or null
 */
@TypeInfo(Types.OfRecord.class)
public record SimilarityQuery(
    String id,
    String text,
    String imageUri,
    String imageDigest,
    List<MatchKind> kinds,
    List<String> unlike,
    Double minScore,
    Double maxFalsePositiveRate,
    Double maxAlertsPerDay,
    Long coolDownMillis,
    boolean enabled,
    long createdAt,
    byte[] image,
    Coordinates at)
    implements ImageRecord<SimilarityQuery> {
  /** Most texts of {@code unlike}. */
  public static final int MOST_UNLIKE = 16;

  public SimilarityQuery {
    Require.present("id", id);
    text = Require.blankToNull(text);
    imageUri = Require.blankToNull(imageUri);
    boolean hasImage = Require.hasImage(image, imageUri);
    boolean hasText = text != null;
    Require.that(
        hasText || hasImage, "query '" + id + "' is empty: give text, image (base64) or imageUri");
    if (kinds == null || kinds.isEmpty()) {
      kinds =
          Arrays.stream(MatchKind.values())
              .filter(kind -> kind.querySide() == Side.TEXT ? hasText : hasImage)
              .toList();
    } else {
      kinds = kinds.stream().distinct().toList();
    }
    for (MatchKind kind : kinds) {
      Require.that(
          kind.querySide() == Side.TEXT ? hasText : hasImage,
          "query '"
              + id
              + "': kind "
              + kind.label()
              + " compares the query's "
              + (kind.querySide() == Side.TEXT ? "text" : "image")
              + ", which it does not have");
    }
    unlike = unlike == null ? List.of() : unlike.stream().distinct().toList();
    Require.that(
        unlike.isEmpty() || hasText,
        "query '" + id + "': unlike is compared with the query's text, which it does not have");
    Require.that(
        unlike.size() <= MOST_UNLIKE,
        "query '" + id + "': " + unlike.size() + " texts in unlike, at most " + MOST_UNLIKE);
    for (String other : unlike) {
      Require.that(
          !other.isBlank() && !other.equals(text),
          "query '" + id + "': unlike holds a text that is blank or the query's own");
    }
    Require.that(
        Stream.of(minScore, maxFalsePositiveRate, maxAlertsPerDay).filter(Objects::nonNull).count()
            == 1,
        "query '"
            + id
            + "': give exactly one of minScore, maxFalsePositiveRate and maxAlertsPerDay");
    Require.that(
        minScore == null || (minScore >= -1 && minScore <= 1),
        "query '" + id + "': minScore must be a cosine from -1 to 1, not " + minScore);
    Require.that(
        maxFalsePositiveRate == null || (maxFalsePositiveRate > 0 && maxFalsePositiveRate <= 0.5),
        "query '"
            + id
            + "': maxFalsePositiveRate must be above 0 and at most 0.5, not "
            + maxFalsePositiveRate);
    Require.that(
        maxAlertsPerDay == null || (maxAlertsPerDay > 0 && Double.isFinite(maxAlertsPerDay)),
        "query '" + id + "': maxAlertsPerDay must be above 0, not " + maxAlertsPerDay);
    Require.that(
        coolDownMillis == null || coolDownMillis >= 0,
        "query '" + id + "': coolDownMillis must not be negative, but is " + coolDownMillis);
  }

  /** One without a budget. */
  public SimilarityQuery(
      String id,
      String text,
      String imageUri,
      String imageDigest,
      List<MatchKind> kinds,
      List<String> unlike,
      Double minScore,
      Double maxFalsePositiveRate,
      Long coolDownMillis,
      boolean enabled,
      long createdAt,
      byte[] image,
      Coordinates at) {
    this(
        id,
        text,
        imageUri,
        imageDigest,
        kinds,
        unlike,
        minScore,
        maxFalsePositiveRate,
        null,
        coolDownMillis,
        enabled,
        createdAt,
        image,
        at);
  }

  @Override
  public String key() {
    return id;
  }

  @Override
  public long timeMillis() {
    return createdAt;
  }

  /** The same query with its image at hand. */
  @Override
  public SimilarityQuery withImage(byte[] bytes, String digest) {
    return new SimilarityQuery(
        id,
        text,
        imageUri,
        digest,
        kinds,
        unlike,
        minScore,
        maxFalsePositiveRate,
        maxAlertsPerDay,
        coolDownMillis,
        enabled,
        createdAt,
        bytes,
        at);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof SimilarityQuery that
        && id.equals(that.id)
        && Objects.equals(text, that.text)
        && Objects.equals(imageUri, that.imageUri)
        && Objects.equals(imageDigest, that.imageDigest)
        && kinds.equals(that.kinds)
        && unlike.equals(that.unlike)
        && Objects.equals(minScore, that.minScore)
        && Objects.equals(maxFalsePositiveRate, that.maxFalsePositiveRate)
        && Objects.equals(maxAlertsPerDay, that.maxAlertsPerDay)
        && Objects.equals(coolDownMillis, that.coolDownMillis)
        && enabled == that.enabled
        && createdAt == that.createdAt
        && Arrays.equals(image, that.image)
        && Objects.equals(at, that.at);
  }

  @Override
  public int hashCode() {
    return Objects.hash(id, text, createdAt, Arrays.hashCode(image), at);
  }
}
