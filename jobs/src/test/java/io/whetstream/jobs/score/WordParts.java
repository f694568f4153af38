package io.whetstream.jobs.score;

import io.whetstream.connectors.kafka.Topics;
import io.whetstream.connectors.records.Coordinates;
import io.whetstream.connectors.records.MatchKind;
import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.Calibration;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Records of the matcher's own tests, plain text: queries {@code minScore|text}, announcements
 * {@code n}, control {@code rollback n}, {@code resume} or {@code resume n after}. Adapters
 * numbered from 1000 on are corrupt.
 */
final class WordParts implements ScoreParts {
  private static final long serialVersionUID = 1L;

  /** How many adapters cannot be read because of the store; in the process of the test. */
  static final AtomicInteger STORE_FAILURES = new AtomicInteger();

  private final String prefix;

  WordParts(String prefix) {
    this.prefix = prefix;
  }

  @Override
  public Embedder embedder() {
    return new WordEmbedder();
  }

  @Override
  public LoadedAdapter.Loader loader(Embedder embedder) {
    WordEmbedder words = (WordEmbedder) embedder;
    return wanted -> {
      if (wanted.n() >= 1000) {
        throw new BadInputException("adapter " + wanted.n() + " is corrupt");
      }
      if (STORE_FAILURES.getAndUpdate(n -> Math.max(0, n - 1)) > 0) {
        throw new UncheckedIOException(new IOException("the store does not answer"));
      }
      return new LoadedAdapter(wanted, words.handle(wanted.digest()), Calibration.NONE);
    };
  }

  @Override
  public List<AdapterVersion> newestInRegistry() {
    return List.of();
  }

  @Override
  public void pin(Set<String> digests, Duration validFor) {}

  @Override
  public Topics topics() {
    return new Topics(prefix);
  }

  private static String text(ControlRecord record) {
    return new String(record.value(), StandardCharsets.UTF_8);
  }

  @Override
  public WatchedQuery query(ControlRecord record) {
    String[] parts = text(record).split("\\|", 2);
    return new WatchedQuery(
        new String(record.key(), StandardCharsets.UTF_8),
        record.offset(),
        new Coordinates(record.topic(), record.partition(), record.offset()),
        parts[1],
        null,
        Set.of(MatchKind.TEXT_TEXT),
        List.of(),
        Double.valueOf(parts[0]),
        null,
        null);
  }

  @Override
  public AdapterVersion announcement(ControlRecord record) {
    return WordEmbedder.version(Long.parseLong(text(record)));
  }

  @Override
  public Command command(ControlRecord record) {
    String[] words = text(record).split(" ");
    if (words.length < 2) {
      return new Command(words[0].equals("rollback"), null, null);
    }
    return new Command(
        words[0].equals("rollback"),
        WordEmbedder.digest(Long.parseLong(words[1])),
        words.length < 3 ? null : WordEmbedder.version(Long.parseLong(words[2])));
  }
}
