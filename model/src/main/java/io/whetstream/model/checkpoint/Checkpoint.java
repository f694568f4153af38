package io.whetstream.model.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.whetstream.model.BadInputException;
import io.whetstream.model.CacheDirectory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A model directory of Hugging Face, open for reading: {@code config.json} and {@code
 * model.safetensors}, or the shards that {@code model.safetensors.index.json} names. All tensors
 * the configuration calls for are there, with the right shapes, once this is open.
 *
 * <p>Tensors go by canonical names whatever the layout of the file: {@code
 * vision_tower.vision_model.…}, {@code multi_modal_projector.…}, {@code
 * language_model.model.layers.N.…}, {@code language_model.lm_head.weight}. Safe for use by several
 * threads.
 */
public final class Checkpoint implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Checkpoint.class);
  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";
  private static final int HASHED_AT_ONCE = 1 << 20;
  private static final ObjectMapper JSON = new ObjectMapper();

  private record Place(SafeTensors file, TensorInfo info) {}

  private final Path directory;
  private final Map<String, SafeTensors> files;
  private final SortedMap<String, Place> places;
  private final ModelConfig config;

  /** Canonical names of the tensors that the configuration calls for. */
  private final Set<String> used = new HashSet<>();

  private String digest;

  private Checkpoint(
      Path directory,
      Map<String, SafeTensors> files,
      SortedMap<String, Place> places,
      ModelConfig config) {
    this.directory = directory;
    this.files = files;
    this.places = places;
    this.config = config;
  }

  /**
   * Opens a model directory.
   *
   * @throws BadInputException if anything is missing, damaged, of another shape than the
   *     configuration asks for, or of a model that is not supported; the message names file and
   *     tensor or key
   */
  public static Checkpoint open(Path directory) {
    if (!Files.isDirectory(directory)) {
      throw new BadInputException(directory + ": no such directory");
    }
    Path configFile = directory.resolve("config.json");
    requireUnquantised(ConfigKeys.of(configFile));
    ModelConfig config = ModelConfig.read(configFile);
    Map<String, SafeTensors> files = new LinkedHashMap<>();
    try {
      SortedMap<String, Place> places = places(directory, files, ModelFamily.of(config));
      boolean head = places.containsKey("language_model.lm_head.weight");
      config = config.tied(ModelFamily.of(config).tied(ConfigKeys.of(configFile), head));
      Checkpoint checkpoint = new Checkpoint(directory, files, places, config);
      config.architecture().tensors().forEach(checkpoint::require);
      files.values().forEach(Checkpoint::sayUnread);
      return checkpoint;
    } catch (RuntimeException e) {
      files.values().forEach(SafeTensors::close);
      throw e;
    }
  }

  private static void sayUnread(SafeTensors file) {
    if (!file.unread().isEmpty()) {
      LOG.warn(
          "{}: {} tensors are of types that are not read, and not used: {}",
          file.file(),
          file.unread().size(),
          file.unread().entrySet().stream().limit(8).toList());
    }
  }

  private static void requireUnquantised(ConfigKeys root) {
    for (ConfigKeys keys : List.of(root, root.object("text_config"))) {
      JsonNode quantised = keys.present("quantization_config");
      if (quantised.isObject() && !quantised.isEmpty()) {
        throw new BadInputException(
            root.file()
                + ": quantization_config: the weights are quantised ("
                + quantised.path("quant_method").asText("no method named")
                + "), which is not supported; use the model's weights as they were before that");
      }
    }
  }

  private static SortedMap<String, Place> places(
      Path directory, Map<String, SafeTensors> files, ModelFamily family) {
    SortedMap<String, Place> places = new TreeMap<>();
    if (Files.exists(directory.resolve(SINGLE))) {
      SafeTensors file = SafeTensors.open(directory.resolve(SINGLE));
      files.put(SINGLE, file);
      file.tensors().values().forEach(info -> put(places, file, info, family));
      return places;
    }
    Path index = directory.resolve(INDEX);
    if (!Files.exists(index)) {
      throw new BadInputException(
          directory
              + ": neither "
              + SINGLE
              + " nor "
              + INDEX
              + "; weights in other formats must be converted to safetensors first");
    }
    for (Map.Entry<String, JsonNode> entry : weightMap(index).properties()) {
      String shard = entry.getValue().asText();
      SafeTensors file = files.get(shard);
      if (file == null) {
        file = SafeTensors.open(shard(directory, index, entry.getKey(), shard));
        files.put(shard, file);
      }
      TensorInfo info = file.tensors().get(entry.getKey());
      if (info == null && file.unread().containsKey(entry.getKey())) {
        continue;
      }
      if (info == null) {
        throw new BadInputException(
            index + ": tensor " + entry.getKey() + " is not in " + shard + ", where it should be");
      }
      put(places, file, info, family);
    }
    return places;
  }

  private static JsonNode weightMap(Path index) {
    JsonNode map;
    try {
      map = JSON.readTree(Files.readAllBytes(index)).path("weight_map");
    } catch (IOException e) {
      String reason = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
      throw new BadInputException(index + ": not valid JSON: " + reason, e);
    }
    if (!map.isObject()) {
      throw new BadInputException(index + ": no weight_map");
    }
    return map;
  }

  private static Path shard(Path directory, Path index, String tensor, String name) {
    // Links are followed (the cache of the hub is made of them); names must stay in the directory.
    if (name.isEmpty() || !Path.of(name).equals(Path.of(name).getFileName()) || name.equals("..")) {
      throw new BadInputException(
          index + ": tensor " + tensor + " points to '" + name + "', outside the model directory");
    }
    Path file = directory.resolve(name);
    if (!Files.isRegularFile(file)) {
      throw new BadInputException(
          file + ": missing shard; " + index.getFileName() + " places tensor " + tensor + " there");
    }
    return file;
  }

  private static void put(
      SortedMap<String, Place> places, SafeTensors file, TensorInfo info, ModelFamily family) {
    String name = family.canonical(info.name());
    Place before = places.put(name, new Place(file, info));
    if (before != null) {
      throw new BadInputException(
          file.file() + ": " + info.name() + " and " + before.info().name() + " are both " + name);
    }
  }

  private void require(String name, long[] shape) {
    used.add(name);
    Place place = places.get(name);
    if (place == null) {
      for (SafeTensors file : files.values()) {
        file.unread()
            .forEach(
                (given, dtype) -> {
                  if (ModelFamily.of(config).canonical(given).equals(name)) {
                    throw new BadInputException(
                        file.file()
                            + ": tensor "
                            + given
                            + " is "
                            + dtype
                            + ", which is not supported (supported: F32, F16, BF16, F64); use the"
                            + " model's weights as they were before quantisation");
                  }
                });
      }
      throw new BadInputException(
          directory
              + ": no tensor "
              + name
              + ", which config.json calls for (shape "
              + Arrays.toString(shape)
              + ")");
    }
    TensorInfo info = place.info();
    if (!info.dtype().isFloat() || !Arrays.equals(info.shape(), shape)) {
      throw new BadInputException(
          place.file().file()
              + ": tensor "
              + info.name()
              + " is "
              + info.dtype()
              + Arrays.toString(info.shape())
              + "; config.json calls for floating-point "
              + Arrays.toString(shape));
    }
  }

  /** The model directory. */
  public Path directory() {
    return directory;
  }

  /** The configuration. */
  public ModelConfig config() {
    return config;
  }

  /** The largest {@code attention_dropout} of tower and decoder: it means something in training. */
  public double attentionDropout() {
    ConfigKeys root = ConfigKeys.of(directory.resolve("config.json"));
    return Math.max(
        root.object("text_config").present("attention_dropout").asDouble(0),
        root.object("vision_config").present("attention_dropout").asDouble(0));
  }

  /** All canonical names, in order. */
  public Set<String> names() {
    return Collections.unmodifiableSet(places.keySet());
  }

  /** Whether there is a tensor of this canonical name. */
  public boolean has(String name) {
    return places.containsKey(name);
  }

  /** Where a tensor lies; its {@code name()} is the one in the file. */
  public TensorInfo info(String name) {
    return place(name).info();
  }

  /** The file a tensor lies in. */
  public SafeTensors fileOf(String name) {
    return place(name).file();
  }

  /**
   * Hands over a tensor's elements in order as they are stored, little-endian, as many at a time as
   * fit; nothing of any size is held.
   *
   * @param room a direct buffer of a multiple of 8 bytes; {@code use} gets it filled, and it is
   *     filled again when that returns
   */
  public void read(String name, ByteBuffer room, Consumer<ByteBuffer> use) {
    Place place = place(name);
    place.file().forEachPiece(place.info(), room, use);
  }

  /** A tensor's elements, converted to 32 bit. */
  public float[] floats(String name) {
    Place place = place(name);
    return place.file().floats(place.info().name());
  }

  private Place place(String name) {
    Place place = places.get(name);
    if (place == null) {
      throw new BadInputException(directory + ": no tensor " + name);
    }
    return place;
  }

  /**
   * Identity of the model: SHA-256, in hexadecimal, over canonical names in order, element types,
   * shapes, bytes, and the {@link CanonicalForm} of the configuration with its defaults filled in.
   * How the tensors are spread over files and how the file calls them does not matter. Reads all
   * weights on the first call, once for files that stay as they are: the digest of a large model is
   * kept in the {@link CacheDirectory}.
   *
   * @throws BadInputException if a tensor that is used holds a value that is not finite
   */
  public String digest() {
    return digest(new KeptDigests(CacheDirectory.path()));
  }

  synchronized String digest(KeptDigests kept) {
    if (digest == null) {
      String form = CanonicalForm.of(config);
      Optional<Path> place =
          kept.place(files.values().stream().map(SafeTensors::file).toList(), form);
      digest = place.flatMap(KeptDigests::read).orElse(null);
      if (digest == null) {
        digest = hash(form);
        place.ifPresent(file -> KeptDigests.write(file, digest));
      }
    }
    return digest;
  }

  /**
   * {@link #digest}, computed from all weights whatever is kept, which it replaces.
   *
   * @throws BadInputException if a tensor that is used holds a value that is not finite
   */
  public String verify() {
    return verify(new KeptDigests(CacheDirectory.path()));
  }

  synchronized String verify(KeptDigests kept) {
    String form = CanonicalForm.of(config);
    Optional<Path> place =
        kept.place(files.values().stream().map(SafeTensors::file).toList(), form);
    digest = hash(form);
    place.ifPresent(file -> KeptDigests.write(file, digest));
    return digest;
  }

  private String hash(String form) {
    try {
      MessageDigest sha = MessageDigest.getInstance("SHA-256");
      ByteBuffer room = ByteBuffer.allocateDirect(HASHED_AT_ONCE);
      places.forEach(
          (name, place) -> {
            TensorInfo info = place.info();
            String line = name + ' ' + info.dtype() + Arrays.toString(info.shape()) + '\n';
            sha.update(line.getBytes(StandardCharsets.UTF_8));
            boolean checked = used.contains(name);
            place
                .file()
                .forEachPiece(
                    info,
                    room,
                    bytes -> {
                      if (checked) {
                        requireFinite(place, bytes.duplicate().order(bytes.order()));
                      }
                      sha.update(bytes);
                    });
          });
      sha.update(form.getBytes(StandardCharsets.UTF_8));
      return HexFormat.of().formatHex(sha.digest());
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private static void requireFinite(Place place, ByteBuffer bytes) {
    if (!Floats.allFinite(place.info().dtype(), bytes)) {
      throw new BadInputException(
          place.file().file()
              + ": tensor "
              + place.info().name()
              + " holds values that are not finite (NaN or infinity), so every vector would; the"
              + " file is damaged, or was saved from a run that had diverged");
    }
  }

  @Override
  public void close() {
    files.values().forEach(SafeTensors::close);
  }
}
