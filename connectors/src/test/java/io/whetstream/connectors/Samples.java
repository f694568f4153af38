package io.whetstream.connectors;

import io.whetstream.connectors.records.AdapterAnnouncement;
import io.whetstream.connectors.records.AdapterControl;
import io.whetstream.connectors.records.Alert;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.Embedding;
import io.whetstream.connectors.records.Feedback;
import io.whetstream.connectors.records.ImageTextPair;
import io.whetstream.connectors.records.Item;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.connectors.records.QueryStatus;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.connectors.records.StreamRecord;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/** One full and one bare record of each kind. */
public final class Samples {
  /** Where the samples were read. */
  public static final Coordinates AT = new Coordinates("ünits", 3, 41);

  private Samples() {}

  public static byte[] bytes(long seed, int length) {
    byte[] bytes = new byte[length];
    new SplittableRandom(seed).nextBytes(bytes);
    return bytes;
  }

  public static List<StreamRecord> all() {
    String digest = "ab".repeat(32);
    return List.of(
        new ImageTextPair(
            "p1",
            "s3://b/k",
            digest,
            "a \"red\" 圆",
            "long\n\u0001 caption",
            "src",
            1_700_000_000_000L,
            bytes(1, 1000),
            AT),
        new ImageTextPair("p2", "https://h/i.png", null, null, "long", null, 5, null, AT),
        new ImageTextPair("p3", null, null, "short", null, null, -5, new byte[0], AT),
        new Item(
            "i1", "file:///a%20b", digest, "text 😀", "s", 1_700_000_000_001L, bytes(2, 1001), AT),
        new Item("i2", null, null, "t", null, 0, null, AT),
        new SimilarityQuery(
            "q1",
            "watch",
            "file:///x",
            digest,
            List.of(MatchKind.IMAGE_TEXT, MatchKind.TEXT_IMAGE),
            null,
            0.25,
            null,
            60_000L,
            false,
            7,
            bytes(3, 1002),
            AT),
        new SimilarityQuery(
            "q2", "watch", null, null, null, null, null, 1e-3, null, true, 7, null, AT),
        new AdapterAnnouncement(
            "main",
            1,
            2,
            digest,
            digest,
            digest,
            digest,
            "s3://b/a",
            10,
            640,
            Map.of("recall@1", 0.5, "loss", Double.NaN),
            9),
        new AdapterAnnouncement("main", 0, 0, digest, digest, null, digest, "u", 0, 0, Map.of(), 9),
        AdapterControl.rollback("main", digest, "bad \\ worse", 3),
        AdapterControl.resume("main", "", 3),
        AdapterControl.resume("main", digest, 2, 7, "fixed", 3),
        new Alert(
            "a1",
            "i1",
            new Coordinates("items", 0, Long.MAX_VALUE),
            digest,
            "q1",
            4,
            new Coordinates("queries", 0, 4),
            digest,
            digest,
            1,
            2,
            digest,
            List.of(
                new Alert.Score(MatchKind.IMAGE_TEXT, 0.75, 0.5),
                new Alert.Score(MatchKind.TEXT_TEXT, Math.nextUp(0.1), -1)),
            List.of(new Alert.Near("q2", MatchKind.IMAGE_IMAGE, 0.1)),
            12,
            true,
            false,
            8,
            9),
        new Alert(
            "a2", "i1", null, null, "q1", 4, null, null, digest, -1, -1, null, List.of(), List.of(),
            0, false, false, 8, 9),
        new Feedback("a1", Feedback.Verdict.REJECT, "me", "no", 77),
        new Feedback("a1", Feedback.Verdict.CONFIRM, null, null, 77),
        new QueryStatus(
            "q1",
            4,
            QueryStatus.State.ACCEPTED,
            "",
            List.of(new QueryStatus.Threshold(MatchKind.TEXT_TEXT, 0.25)),
            digest,
            0,
            0,
            6),
        new QueryStatus(
            "q1", 4, QueryStatus.State.QUARANTINED, "too much", List.of(), null, 5, 99, 6),
        new Embedding(
            "i1",
            new Coordinates("items", 1, 2),
            MatchKind.Side.IMAGE,
            digest,
            digest,
            3,
            new float[] {0.1f, -0f, Float.MIN_VALUE, 1}));
  }
}
