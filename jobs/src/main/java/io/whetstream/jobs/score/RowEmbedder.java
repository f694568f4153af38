package io.whetstream.jobs.score;

import io.whetstream.connectors.records.MatchKind.Side;
import io.whetstream.jobs.score.WatchlistTable.AdapterVectors;
import io.whetstream.jobs.score.WatchlistTable.Content;
import io.whetstream.model.BadInputException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Gives rows of the {@link WatchlistTable} their vectors under an adapter: from before a restart,
 * or by embedding their contents. Thread-safe as far as the embedder is.
 */
final class RowEmbedder {
  private static final Logger LOGGER = LoggerFactory.getLogger(RowEmbedder.class);

  private final Embedder embedder;
  private final WatchlistTable table;
  private final VectorSpill spill;

  /**
   * @param spill vectors from before a restart, or null
   */
  RowEmbedder(Embedder embedder, WatchlistTable table, VectorSpill spill) {
    this.embedder = embedder;
    this.table = table;
    this.spill = spill;
  }

  /**
   * Embeds rows together. If that fails none of them keeps its claim.
   *
   * @param claimed rows that nobody else works on
   * @throws BadInputException if one of them cannot be embedded
   */
  void embed(AdapterVectors vectors, Side side, List<Integer> claimed) {
    List<Integer> absent = new ArrayList<>();
    List<Content> contents = new ArrayList<>();
    try {
      for (int row : claimed) {
        Content content = table.content(side, row);
        float[] kept =
            spill == null ? null : spill.get(vectors.version().digest(), side, content.digest());
        if (kept == null) {
          absent.add(row);
          contents.add(content);
        } else {
          vectors.slabs(side).put(row, kept);
        }
      }
      if (absent.isEmpty()) {
        return;
      }
      float[][] embedded = embed(vectors.adapter(), side, contents);
      for (int i = 0; i < embedded.length; i++) {
        vectors.slabs(side).put(absent.get(i), embedded[i]);
        if (spill != null) {
          spill.put(vectors.version().digest(), side, contents.get(i).digest(), embedded[i]);
        }
      }
    } catch (RuntimeException e) {
      vectors.slabs(side).unclaim(claimed);
      throw e;
    }
  }

  private float[][] embed(Embedder.Adapter adapter, Side side, List<Content> contents) {
    float[][] embedded =
        side == Side.TEXT
            ? embedder.texts(adapter, contents.stream().map(Content::text).toList())
            : embedder.images(
                adapter,
                contents.stream()
                    .map(c -> embedder.image(c.image(), "query image " + c.digest()))
                    .toList());
    for (float[] vector : embedded) {
      requireFinite(vector);
    }
    return embedded;
  }

  /**
   * Why rows have no vector.
   *
   * @param bad by row, what is wrong with its content
   * @param notNow rows whose content may be embedded another time
   */
  record Failures(Map<Integer, String> bad, Set<Integer> notNow) {}

  /** Embeds rows together, or one by one if that fails. */
  Failures embedEach(AdapterVectors vectors, Side side, List<Integer> claimed) {
    Failures failures = new Failures(new HashMap<>(), new HashSet<>());
    try {
      embed(vectors, side, claimed);
    } catch (RuntimeException together) {
      for (int row : claimed) {
        try {
          embed(vectors, side, List.of(row));
        } catch (BadInputException e) {
          failures.bad().put(row, Reasons.of(e));
        } catch (RuntimeException e) {
          LOGGER.warn("a query is embedded again later: {}", Reasons.of(e));
          failures.notNow().add(row);
        }
      }
    }
    return failures;
  }

  /**
   * @throws BadInputException if a value is not finite
   */
  static void requireFinite(float[] vector) {
    float sum = 0;
    for (float value : vector) {
      sum += Math.abs(value);
    }
    if (!Float.isFinite(sum)) {
      throw new BadInputException("the embedding is not finite");
    }
  }
}
