package io.whetstream.jobs.table;

import com.fasterxml.jackson.databind.node.TextNode;
import io.whetstream.jobs.config.Nearest;
import io.whetstream.jobs.score.ScoreConfig;
import io.whetstream.jobs.score.ScoringModel;
import io.whetstream.model.BadInputException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.ValidationException;

/**
 * Which model: two of them that are equal are one in a process.
 *
 * @param config of base, registry, stream and Kafka
 * @param version {@link ScoringModel#LIVE}, {@link ScoringModel#BASE} or a digest
 */
record ModelSettings(ScoreConfig config, String version) implements Serializable {
  private static final Pattern DIGEST = Pattern.compile("[0-9a-f]{64}");

  /** What a version may be beside a digest. */
  private static final List<String> WORDS = List.of(ScoringModel.LIVE, ScoringModel.BASE);

  /**
   * Of a model's options.
   *
   * @param given as they were written, for Kafka's own properties
   * @throws ValidationException naming the option that is wrong or missing
   */
  static ModelSettings ofModel(Configuration options, Map<String, String> given) {
    String version = options.get(SqlOptions.VERSION);
    if (!WORDS.contains(version) && !DIGEST.matcher(version).matches()) {
      throw new ValidationException(
          "option 'version' = '"
              + version
              + "' is neither a digest (64 hexadecimal digits) nor one of live, base; did you mean"
              + " '"
              + Nearest.of(version, WORDS)
              + "'?");
    }
    boolean live = version.equals(ScoringModel.LIVE);
    if (!version.equals(ScoringModel.BASE)) {
      require(options, SqlOptions.REGISTRY, "version '" + version + "' reads adapters from it");
    }
    if (live) {
      require(
          options, SqlOptions.BOOTSTRAP_SERVERS, "version 'live' follows the topic adapters there");
    }
    return new ModelSettings(
        config(
            options,
            given,
            List.of(
                "name=" + quoted("sql-" + options.get(SqlOptions.STREAM) + "-" + version),
                "adapterStream=" + quoted(options.get(SqlOptions.STREAM)),
                "startWith=" + quoted(options.get(SqlOptions.START_WITH)))),
        version);
  }

  static void require(
      Configuration options, org.apache.flink.configuration.ConfigOption<?> option, String why) {
    if (options.getOptional(option).isEmpty()) {
      throw new ValidationException("option '" + option.key() + "' is missing: " + why);
    }
  }

  /** The options that models and search tables share, as the scoring job's configuration. */
  static ScoreConfig config(
      Configuration options, Map<String, String> given, List<String> further) {
    List<String> keys = new ArrayList<>(further);
    keys.add("base.model=" + quoted(options.get(SqlOptions.BASE)));
    keys.add("base.device=" + quoted(options.get(SqlOptions.DEVICE)));
    keys.add("base.threads=" + options.get(SqlOptions.THREADS));
    keys.add("match.batchSize=" + options.get(SqlOptions.BATCH_SIZE));
    keys.add("match.maxImagePixels=" + options.get(SqlOptions.MAX_IMAGE_PIXELS));
    keys.add("kafka.topicPrefix=" + quoted(options.get(SqlOptions.TOPIC_PREFIX)));
    keys.add("kafka.format=" + quoted(options.get(SqlOptions.FORMAT)));
    keys.add("kafka.schemaRegistry.url=" + quoted(options.get(SqlOptions.SCHEMA_REGISTRY)));
    options
        .getOptional(SqlOptions.REGISTRY)
        .ifPresent(uri -> keys.add("registry.uri=" + quoted(uri)));
    options
        .getOptional(SqlOptions.BOOTSTRAP_SERVERS)
        .ifPresent(servers -> keys.add("kafka.bootstrapServers=" + quoted(servers)));
    given.forEach(
        (key, value) -> {
          if (key.startsWith(SqlOptions.PROPERTIES)
              && !key.equals(SqlOptions.BOOTSTRAP_SERVERS.key())) {
            keys.add("kafka." + key + "=" + quoted(value));
          }
        });
    try {
      return ScoreConfig.loader().parse("", "options", keys);
    } catch (BadInputException e) {
      throw new ValidationException(e.getMessage(), e);
    }
  }

  private static String quoted(String value) {
    return TextNode.valueOf(value).toString();
  }
}
