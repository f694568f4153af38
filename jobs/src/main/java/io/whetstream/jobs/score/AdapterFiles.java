package io.whetstream.jobs.score;

import io.whetstream.model.BadInputException;
import io.whetstream.model.adapter.AdapterArtifact;
import io.whetstream.model.adapter.AdapterCodec;
import io.whetstream.model.adapter.AdapterManifest;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;

/** Reads adapters from any Flink file system, everything verified. */
final class AdapterFiles {
  private AdapterFiles() {}

  /**
   * The adapter in a directory.
   *
   * @param digest the adapter must have
   * @param manifestDigest its manifest must have, or null for whatever stands beside the tensors
   * @throws BadInputException saying what is wrong with it
   */
  static AdapterArtifact read(String uri, String digest, String manifestDigest) {
    byte[] own = member(uri, AdapterCodec.MANIFEST);
    byte[] manifest =
        manifestDigest == null
                || own == null
                || AdapterManifest.digestOf(own).equals(manifestDigest)
            ? own
            : member(uri, AdapterCodec.MANIFESTS + "/" + manifestDigest + ".json");
    if (manifest == null) {
      throw new BadInputException(
          "there is no adapter at "
              + uri
              + (manifestDigest == null ? "" : " with a manifest of digest " + manifestDigest));
    }
    if (manifestDigest != null && !AdapterManifest.digestOf(manifest).equals(manifestDigest)) {
      throw new BadInputException(
          "adapter at " + uri + ": its manifest is not the announced one: it was changed");
    }
    AdapterArtifact artifact =
        AdapterCodec.decode(
            path -> path.equals(AdapterCodec.MANIFEST) ? manifest : member(uri, path), uri);
    if (!artifact.digest().equals(digest)) {
      throw new BadInputException(
          "adapter at " + uri + " is " + artifact.digest() + ", not the announced " + digest);
    }
    return artifact;
  }

  private static byte[] member(String uri, String path) {
    Path file = new Path(uri, path);
    try {
      FileSystem files = file.getFileSystem();
      try (FSDataInputStream in = files.open(file)) {
        return in.readAllBytes();
      }
    } catch (FileNotFoundException e) {
      return null;
    } catch (IOException e) {
      throw new UncheckedIOException("adapter file " + file + " cannot be read", e);
    }
  }
}
