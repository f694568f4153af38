package io.whetstream.model.onnx;

import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.checkpoint.TensorInfo;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;

/**
 * Where a checkpoint's tensors lie, for references from a graph. ONNX Runtime wants the files below
 * one folder, without links out of it; a directory of the hub's cache is all links into another, so
 * links are resolved and the folder is the nearest one that holds all files.
 */
final class WeightFiles {
  private final Checkpoint checkpoint;
  private final Path folder;
  private final Map<Path, String> locations = new HashMap<>();

  WeightFiles(Checkpoint checkpoint) {
    this.checkpoint = checkpoint;
    Path common = null;
    for (String name : checkpoint.names()) {
      Path real = real(checkpoint.fileOf(name).file());
      common = common == null ? real.getParent() : common;
      while (!real.startsWith(common)) {
        common = common.getParent();
      }
    }
    folder = common;
  }

  private static Path real(Path file) {
    try {
      return file.toRealPath();
    } catch (IOException e) {
      throw new UncheckedIOException(file + ": cannot be found any more", e);
    }
  }

  /** The folder that locations are relative to. */
  Path folder() {
    return folder;
  }

  /** The file that holds a tensor, relative to {@link #folder}. */
  String location(String name) {
    return locations.computeIfAbsent(
        checkpoint.fileOf(name).file(),
        file -> folder.relativize(real(file)).toString().replace('\\', '/'));
  }

  /** Identity of the places, in hex: the same model spread otherwise over files has another. */
  String layoutDigest() {
    try {
      MessageDigest sha = MessageDigest.getInstance("SHA-256");
      for (String name : checkpoint.names()) {
        TensorInfo info = checkpoint.info(name);
        String line = name + '|' + location(name) + '|' + info.begin() + '|' + info.end() + '\n';
        sha.update(line.getBytes(StandardCharsets.UTF_8));
      }
      return HexFormat.of().formatHex(sha.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
