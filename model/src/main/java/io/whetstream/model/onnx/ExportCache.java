package io.whetstream.model.onnx;

import io.whetstream.model.FreshFiles;
import io.whetstream.model.adapter.AdapterManifest;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Exported graphs on disk. The name holds the exporter's version and a digest of base model and of
 * where its tensors lie, so a graph that does not belong is never found. A directory that cannot be
 * written costs the time of an export at each start, nothing else.
 */
final class ExportCache {
  private static final Logger LOG = LoggerFactory.getLogger(ExportCache.class);

  private final Path directory;
  private final OnnxExporter exporter;
  private final String key;

  ExportCache(Path directory, OnnxExporter exporter, String baseDigest, boolean int8) {
    this.directory = directory;
    this.exporter = exporter;
    String identity = baseDigest + exporter.layoutDigest();
    key =
        (int8 ? "int8" : "fp32")
            + "-v"
            + OnnxExporter.VERSION
            + "-"
            + AdapterManifest.digestOf(identity.getBytes(StandardCharsets.UTF_8)).substring(0, 24);
  }

  Path file(OnnxExporter.Graph graph) {
    return directory.resolve(graph.name().toLowerCase(Locale.ROOT) + "-" + key + ".onnx");
  }

  /** The stored graph, or a new one that is stored. */
  byte[] get(OnnxExporter.Graph graph) {
    try {
      return Files.readAllBytes(file(graph));
    } catch (IOException e) {
      return refresh(graph);
    }
  }

  /** A new graph, which replaces the stored one. */
  byte[] refresh(OnnxExporter.Graph graph) {
    byte[] bytes = exporter.export(graph);
    Path file = file(graph);
    try {
      Files.createDirectories(directory);
      FreshFiles.replace(file, bytes);
    } catch (IOException e) {
      LOG.info("The exported graph cannot be kept in {} ({}); going on without", directory, e);
    }
    return bytes;
  }
}
