package io.whetstream.jobs.score;

import io.whetstream.connectors.StoredFiles;
import io.whetstream.connectors.image.ImageFetcher;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.SimilarityQuery;
import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;

/**
 * Images of queries that name them by URI. An image is fetched once, when its query is registered,
 * and kept in {@code query-images} beside the adapters: every subtask and every later start watches
 * for the same picture, though the one at the URI may have changed or be gone by then. Thread-safe.
 */
final class QueryImages implements AutoCloseable {
  static final String REFUSED = ".refused";

  private final ImageFetcher fetcher;
  private final String directory;
  private final long maxBytes;

  /** Directories of queries of which something is kept; null before it is known. */
  private Set<String> known;

  QueryImages(ScoreConfig config) {
    fetcher = ImageFetcher.open(config.images().options());
    directory = config.registry().uri() + "/query-images";
    maxBytes = config.watchlist().maxQueryBytes().bytes();
  }

  /**
   * A query with its image at hand: its own, the one that is kept, or one fetched now.
   *
   * @throws BadInputException if its image must not or cannot be fetched; the message says why
   */
  SimilarityQuery withImage(SimilarityQuery query) {
    if (query.image() != null || query.imageUri() == null) {
      return query;
    }
    try {
      known(query.at().topic()).add(directory(query.id(), query.at().topic()).getName());
      SimilarityQuery kept = kept(query);
      if (kept != null) {
        return kept;
      }
      SimilarityQuery whole = fetcher.fetch(query);
      requireSmall(whole);
      StoredFiles.write(file(query), whole.image());
      return whole;
    } catch (IOException e) {
      throw failed(e);
    }
  }

  /** A query with the image that was fetched for it, or null if none is kept. */
  SimilarityQuery kept(SimilarityQuery query) {
    try {
      byte[] image = StoredFiles.read(file(query), Integer.MAX_VALUE);
      return image == null ? null : query.withImage(image, Digests.sha256(image));
    } catch (IOException e) {
      throw failed(e);
    }
  }

  /**
   * Lets all subtasks of a run know why a query has no image, in place of what an earlier run said:
   * however often a job starts, a revision has one refusal at most.
   *
   * @param attempt names the run
   */
  void refuse(SimilarityQuery query, String attempt, String reason) {
    try {
      StoredFiles.write(
          refusalFile(query), (attempt + '\n' + reason).getBytes(StandardCharsets.UTF_8));
    } catch (IOException e) {
      throw failed(e);
    }
  }

  /** Why a query has no image in this run, or null. */
  String refusal(SimilarityQuery query, String attempt) {
    try {
      byte[] file = StoredFiles.read(refusalFile(query), Integer.MAX_VALUE);
      String[] said = file == null ? null : new String(file, StandardCharsets.UTF_8).split("\n", 2);
      return said != null && said.length == 2 && said[0].equals(attempt) ? said[1] : null;
    } catch (IOException e) {
      throw failed(e);
    }
  }

  /** Beside the image, and forgotten with it. */
  private Path refusalFile(SimilarityQuery query) {
    Path image = file(query);
    return new Path(image.getParent(), image.getName() + REFUSED);
  }

  /**
   * Forgets what was kept for earlier revisions of a query.
   *
   * @param at the revision that takes their place, or the tombstone
   * @return whether a later revision is known already, so that this one need not be fetched
   */
  boolean supersede(String id, Coordinates at) {
    boolean later = false;
    try {
      Path all = directory(id, at.topic());
      // Most queries have no image by URI: nothing is asked of the file system for them.
      if (!known(at.topic()).contains(all.getName())) {
        return false;
      }
      for (FileStatus each : list(all)) {
        String[] name = each.getPath().getName().split("-", 3);
        if (name[0].equals(Integer.toString(at.partition()))) {
          long offset = Long.parseLong(name[1]);
          later |= offset > at.offset();
          if (offset < at.offset()) {
            all.getFileSystem().delete(each.getPath(), false);
          }
        }
      }
    } catch (IOException e) {
      throw failed(e);
    }
    return later;
  }

  private UncheckedIOException failed(IOException cause) {
    return new UncheckedIOException("images of queries cannot be kept in " + directory, cause);
  }

  private synchronized Set<String> known(String topic) throws IOException {
    if (known == null) {
      known = ConcurrentHashMap.newKeySet();
      for (FileStatus each : list(new Path(StoredFiles.path(directory), topic))) {
        known.add(each.getPath().getName());
      }
    }
    return known;
  }

  private static List<FileStatus> list(Path path) throws IOException {
    FileSystem files = path.getFileSystem();
    FileStatus[] found = files.exists(path) ? files.listStatus(path) : null;
    return found == null ? List.of() : List.of(found);
  }

  /** Refuses an image that is larger than queries' may be. */
  void requireSmall(SimilarityQuery query) {
    if (query.image() != null && query.image().length > maxBytes) {
      throw new BadInputException(
          "the query's image of "
              + query.image().length
              + " bytes is larger than watchlist.maxQueryBytes "
              + maxBytes);
    }
  }

  private Path directory(String id, String topic) {
    return new Path(
        StoredFiles.path(directory),
        topic + "/" + Digests.sha256(id.getBytes(StandardCharsets.UTF_8)));
  }

  /** Named by revision; by the query's time too, since a topic that is made anew counts anew. */
  private Path file(SimilarityQuery query) {
    String what = query.imageUri() + ' ' + query.createdAt();
    return new Path(
        directory(query.id(), query.at().topic()),
        query.at().partition()
            + "-"
            + query.at().offset()
            + "-"
            + Digests.sha256(what.getBytes(StandardCharsets.UTF_8)));
  }

  @Override
  public void close() {
    fetcher.close();
  }
}
