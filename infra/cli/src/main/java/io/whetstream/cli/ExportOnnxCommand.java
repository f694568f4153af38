package io.whetstream.cli;

import io.whetstream.model.checkpoint.Checkpoint;
import io.whetstream.model.onnx.OnnxExporter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code whetstream export-onnx}: the graphs of a base model. */
@Command(
    name = "export-onnx",
    description =
        "Writes a model's image graph (FILE) and text graph (FILE with .text before its extension)."
            + " Weights stay in the safetensors files.")
final class ExportOnnxCommand implements Callable<Integer> {
  /** The result with {@code --json}. */
  record Result(String image, String text, String weightsFolder, String baseDigest, boolean int8) {}

  @Mixin private ModelOptions model;
  @Mixin private ResultOptions result;

  @Option(
      names = "--out",
      required = true,
      paramLabel = "FILE.onnx",
      description =
          "Image graph. References to weights are relative to the model directory: put the file"
              + " there, or tell ONNX Runtime the folder"
              + " (session.model_external_initializers_file_folder_path).")
  private Path out;

  @Option(names = "--int8", description = "Linear layers in 8-bit integers, symmetric per token.")
  private boolean int8;

  @Override
  public Integer call() {
    EmbedCommand.requireDirectoryOf(out);
    String name = out.getFileName().toString();
    int dot = name.lastIndexOf('.') < 0 ? name.length() : name.lastIndexOf('.');
    Path text = out.resolveSibling(name.substring(0, dot) + ".text" + name.substring(dot));
    try (Checkpoint checkpoint = Checkpoint.open(model.directory())) {
      OnnxExporter exporter = new OnnxExporter(checkpoint, int8);
      Files.write(out, exporter.export(OnnxExporter.Graph.IMAGE));
      Files.write(text, exporter.export(OnnxExporter.Graph.TEXT));
      result.print(
          new Result(
              out.toString(),
              text.toString(),
              exporter.weightsFolder().toString(),
              checkpoint.digest(),
              int8),
          "image graph in "
              + out
              + ", text graph in "
              + text
              + "; weights are read from "
              + exporter.weightsFolder());
    } catch (IOException e) {
      throw new UncheckedIOException(out + ": cannot be written", e);
    }
    return 0;
  }
}
