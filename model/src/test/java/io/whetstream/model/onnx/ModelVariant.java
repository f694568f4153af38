package io.whetstream.model.onnx;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.whetstream.model.checkpoint.DType;
import io.whetstream.model.checkpoint.FloatTensor;
import io.whetstream.model.checkpoint.SafeTensors;
import io.whetstream.model.checkpoint.SafeTensorsWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.Consumer;

/** Model directories made from another one: other storage, other options of the architecture. */
final class ModelVariant {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Map<String, FloatTensor> tensors = new TreeMap<>();
  private final ObjectNode config;
  private final Path source;
  private DType dtype = DType.F32;
  private int shards = 1;

  private ModelVariant(Path source, ObjectNode config) {
    this.source = source;
    this.config = config;
  }

  static ModelVariant of(Path model) {
    try (SafeTensors file = SafeTensors.open(model.resolve("model.safetensors"))) {
      ModelVariant variant =
          new ModelVariant(
              model, (ObjectNode) JSON.readTree(model.resolve("config.json").toFile()));
      file.tensors().keySet().forEach(name -> variant.tensors.put(name, file.tensor(name)));
      return variant;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  ModelVariant storedAs(DType type) {
    dtype = type;
    return this;
  }

  ModelVariant inShards(int count) {
    shards = count;
    return this;
  }

  ModelVariant text(Consumer<ObjectNode> edit) {
    edit.accept((ObjectNode) config.get("text_config"));
    return this;
  }

  ModelVariant vision(Consumer<ObjectNode> edit) {
    edit.accept((ObjectNode) config.get("vision_config"));
    return this;
  }

  ModelVariant top(Consumer<ObjectNode> edit) {
    edit.accept(config);
    return this;
  }

  /** Adds a random bias to each weight of a module of the decoder. */
  ModelVariant withBiases(String modules) {
    Random random = new Random(5);
    for (String name : tensors.keySet().toArray(String[]::new)) {
      if (name.matches("language_model\\.model\\.layers\\.\\d+\\.(" + modules + ")\\.weight")) {
        float[] bias = new float[(int) tensors.get(name).shape()[0]];
        for (int i = 0; i < bias.length; i++) {
          bias[i] = (float) random.nextGaussian() * 0.1f;
        }
        tensors.put(
            name.replace(".weight", ".bias"), new FloatTensor(new long[] {bias.length}, bias));
      }
    }
    return this;
  }

  /** The same weights with every value of one tensor changed a little. */
  ModelVariant disturbing(String name) {
    float[] values = tensors.get(name).data().clone();
    values[0] += 1;
    tensors.put(name, new FloatTensor(tensors.get(name).shape(), values));
    return this;
  }

  Path write(Path target) {
    try {
      Files.createDirectories(target);
      for (String name : new String[] {"tokenizer.json", "tokenizer_config.json"}) {
        if (Files.exists(source.resolve(name))) {
          Files.copy(source.resolve(name), target.resolve(name));
        }
      }
      JSON.writeValue(target.resolve("config.json").toFile(), config);
      SafeTensorsWriter[] writers = new SafeTensorsWriter[shards];
      ObjectNode map = JSON.createObjectNode();
      int next = 0;
      for (Map.Entry<String, FloatTensor> entry : tensors.entrySet()) {
        int shard = next++ % shards;
        writers[shard] = writers[shard] == null ? new SafeTensorsWriter() : writers[shard];
        writers[shard].add(
            entry.getKey(), dtype, entry.getValue().shape(), entry.getValue().data());
        map.put(entry.getKey(), file(shard));
      }
      for (int shard = 0; shard < shards; shard++) {
        writers[shard].write(target.resolve(file(shard)));
      }
      if (shards > 1) {
        JSON.writeValue(
            target.resolve("model.safetensors.index.json").toFile(),
            JSON.createObjectNode().set("weight_map", map));
      }
      return target;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private String file(int shard) {
    return shards == 1 ? "model.safetensors" : "model-" + shard + ".safetensors";
  }
}
