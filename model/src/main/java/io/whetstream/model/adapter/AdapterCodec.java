package io.whetstream.model.adapter;

import io.whetstream.model.BadInputException;
import io.whetstream.model.FreshFiles;
import io.whetstream.model.checkpoint.FloatTensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Adapters as files. The members are {@code lora/} (Hugging Face PEFT's LoRA layout), {@code
 * prompt_image/} and {@code prompt_text/} (PEFT's prompt-tuning layout), each with {@code
 * adapter_config.json} and {@code adapter_model.safetensors}, and {@code manifest.json}; parts the
 * adapter does not have are absent. Equal artifacts have equal bytes.
 */
public final class AdapterCodec {
  /** The member that makes a directory an adapter; it is written last. */
  public static final String MANIFEST = "manifest.json";

  /** Where further manifests of the same tensors go, as {@code <manifest digest>.json}. */
  public static final String MANIFESTS = "manifests";

  private static final String LORA = "lora/";
  private static final String PROMPT_IMAGE = "prompt_image/";
  private static final String PROMPT_TEXT = "prompt_text/";

  /** What training scripts write beside a PEFT adapter when they train more than LoRA. */
  private static final List<String> OTHER_WEIGHTS =
      List.of("non_lora_trainables.bin", "non_lora_trainables.safetensors");

  private AdapterCodec() {}

  /** {@link #encode(AdapterArtifact, boolean)} with the newer key names. */
  public static SortedMap<String, byte[]> encode(AdapterArtifact artifact) {
    return encode(artifact, false);
  }

  /**
   * The members of an adapter by path. Whoever stores them writes {@link #MANIFEST} last.
   *
   * @param olderKeyNames whether LoRA keys are those of transformers before 4.52 ({@code
   *     base_model.model.language_model.model.layers.N…}), where the family had others then
   */
  public static SortedMap<String, byte[]> encode(AdapterArtifact artifact, boolean olderKeyNames) {
    AdapterWeights weights = artifact.weights();
    String baseName = artifact.manifest().baseName();
    SortedMap<String, byte[]> members = new TreeMap<>();
    if (weights.config().rank() > 0) {
      String root = root(artifact.manifest().decoderModule(), olderKeyNames);
      members.put(LORA + PeftLayout.CONFIG, PeftLayout.loraConfig(weights, baseName, root));
      members.put(LORA + PeftLayout.TENSORS, PeftLayout.loraTensors(weights, root));
    }
    prompt(members, PROMPT_IMAGE, weights.softImage(), baseName);
    prompt(members, PROMPT_TEXT, weights.softText(), baseName);
    members.put(MANIFEST, artifact.manifest().toBytes());
    return members;
  }

  /** A decoder under another name than the usual one has had no older name. */
  private static String root(String decoderModule, boolean older) {
    if (decoderModule != null) {
      return decoderModule;
    }
    return older ? LoraNames.OLDER_ROOT : LoraNames.USUAL_ROOT;
  }

  private static void prompt(
      SortedMap<String, byte[]> members, String folder, FloatTensor vectors, String baseName) {
    if (vectors.data().length > 0) {
      members.put(folder + PeftLayout.CONFIG, PeftLayout.promptConfig(vectors, baseName));
      members.put(folder + PeftLayout.TENSORS, PeftLayout.promptTensors(vectors));
    }
  }

  /** {@link #decode(Function, String)} of a source without a name. */
  public static AdapterArtifact decode(Function<String, byte[]> members) {
    return decode(members, "adapter");
  }

  /**
   * Reads an adapter from its members and checks everything: names, shapes, ranks, finite values,
   * agreement of configuration and manifest, and the digest.
   *
   * @param members the bytes of a member by path, null where there is none
   * @param where what to call the source in errors
   * @throws BadInputException naming member and tensor
   */
  public static AdapterArtifact decode(Function<String, byte[]> members, String where) {
    AdapterManifest manifest =
        AdapterManifest.parse(required(members, MANIFEST, where), where + "/" + MANIFEST);
    AdapterConfig config = manifest.config();
    SortedMap<String, FloatTensor> lora = lora(members, config, where);
    FloatTensor image = prompt(members, PROMPT_IMAGE, config.softImage(), where);
    FloatTensor text = prompt(members, PROMPT_TEXT, config.softText(), where);
    return located(
        where,
        () ->
            new AdapterArtifact(
                new AdapterWeights(config, lora, image, text, manifest.logitScale()), manifest));
  }

  private static SortedMap<String, FloatTensor> lora(
      Function<String, byte[]> members, AdapterConfig config, String where) {
    if (config.rank() == 0) {
      return new TreeMap<>();
    }
    String file = LORA + PeftLayout.CONFIG;
    PeftLayout.requireAgrees(required(members, file, where), config, where + "/" + file);
    file = LORA + PeftLayout.TENSORS;
    return PeftLayout.readLora(required(members, file, where), where + "/" + file);
  }

  private static FloatTensor prompt(
      Function<String, byte[]> members, String folder, int count, String where) {
    String file = folder + PeftLayout.TENSORS;
    return count == 0
        ? null
        : PeftLayout.readPrompt(required(members, file, where), where + "/" + file);
  }

  private static byte[] required(Function<String, byte[]> members, String path, String where) {
    byte[] bytes = members.apply(path);
    if (bytes == null) {
      throw new BadInputException(where + ": no " + path + "; this is not a complete adapter");
    }
    return bytes;
  }

  private interface Attempt<T> {
    T run();
  }

  private static <T> T located(String where, Attempt<T> attempt) {
    try {
      return attempt.run();
    } catch (BadInputException e) {
      throw new BadInputException(where + ": " + e.getMessage(), e);
    }
  }

  /**
   * Reads an adapter directory: one with a manifest, or a bare PEFT LoRA directory (see {@link
   * #readPeft}).
   *
   * @throws BadInputException when it is neither, or damaged
   */
  public static AdapterArtifact read(Path directory) {
    if (!Files.isDirectory(directory)) {
      throw new BadInputException(directory + ": no such adapter directory");
    }
    if (!Files.exists(directory.resolve(MANIFEST))
        && Files.exists(directory.resolve(PeftLayout.CONFIG))) {
      return readPeft(directory);
    }
    return decode(path -> bytes(directory.resolve(path)), directory.toString());
  }

  /**
   * Reads a directory written by Hugging Face PEFT for LoRA. Its manifest is made up: base model
   * unknown, no lineage, a logit scale of ln(1/0.02).
   */
  public static AdapterArtifact readPeft(Path directory) {
    Function<String, byte[]> members = path -> bytes(directory.resolve(path));
    String where = directory.toString();
    for (String other : OTHER_WEIGHTS) {
      if (Files.exists(directory.resolve(other))) {
        throw new BadInputException(
            directory.resolve(other)
                + ": weights that were trained beside LoRA; an adapter is never applied in part, so"
                + " merge them into the base, or train LoRA alone");
      }
    }
    AdapterConfig config =
        PeftLayout.readLoraConfig(
            required(members, PeftLayout.CONFIG, where), where + "/" + PeftLayout.CONFIG);
    byte[] tensors = required(members, PeftLayout.TENSORS, where);
    String file = where + "/" + PeftLayout.TENSORS;
    SortedMap<String, FloatTensor> lora = PeftLayout.readLora(tensors, file);
    return located(
        where,
        () -> {
          AdapterWeights weights =
              new AdapterWeights(config, lora, null, null, (float) Math.log(1 / 0.02));
          return new AdapterArtifact(
              weights,
              AdapterManifest.builder(weights, null)
                  .decoderModule(PeftLayout.decoderModule(tensors, file))
                  .build());
        });
  }

  private static byte[] bytes(Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (NoSuchFileException e) {
      return null;
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
  }

  /**
   * Writes an adapter directory so that a reader sees all of it or nothing: a temporary directory
   * beside it, forced to disk, then renamed. A target that already holds this adapter counts as
   * success once verified; its manifest is never rewritten, another manifest of the same tensors is
   * added under {@link #MANIFESTS}. A target without a valid manifest does not count as an adapter
   * and is completed, manifest last.
   *
   * @throws BadInputException when the target holds another adapter
   */
  public static void write(Path directory, AdapterArtifact artifact) {
    write(directory, artifact, false);
  }

  /** {@link #write(Path, AdapterArtifact)} with a choice of LoRA key names. */
  public static void write(Path directory, AdapterArtifact artifact, boolean olderKeyNames) {
    Path target = directory.toAbsolutePath();
    Map<String, byte[]> members = encode(artifact, olderKeyNames);
    try {
      Files.createDirectories(target.getParent());
      if (Files.exists(target)) {
        complete(target, artifact, members);
        return;
      }
      Path part = FreshFiles.directory(target.getParent(), target.getFileName().toString());
      try {
        for (Map.Entry<String, byte[]> member : members.entrySet()) {
          if (!member.getKey().equals(MANIFEST)) {
            force(part.resolve(member.getKey()), member.getValue());
          }
        }
        force(part.resolve(MANIFEST), members.get(MANIFEST));
        Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
        forceDirectory(target.getParent());
      } catch (FileSystemException e) {
        // Another writer was first. Which subclass is thrown then differs between file systems.
        if (!Files.isDirectory(target)) {
          throw e;
        }
        complete(target, artifact, members);
      } finally {
        delete(part);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(target + ": the adapter cannot be written", e);
    }
  }

  private static void complete(Path target, AdapterArtifact artifact, Map<String, byte[]> members)
      throws IOException {
    AdapterManifest present = null;
    byte[] manifest = bytes(target.resolve(MANIFEST));
    if (manifest != null) {
      try {
        present = AdapterManifest.parse(manifest, target + "/" + MANIFEST);
      } catch (BadInputException e) {
        // Not a valid manifest: the directory does not exist as an adapter.
        present = null;
      }
    }
    if (present != null && !present.digest().equals(artifact.digest())) {
      throw new BadInputException(
          target
              + " already holds adapter "
              + present.digest()
              + "; choose another directory for "
              + artifact.digest());
    }
    if (present == null || !intact(target)) {
      for (Map.Entry<String, byte[]> member : members.entrySet()) {
        if (!member.getKey().equals(MANIFEST)) {
          replace(target.resolve(member.getKey()), member.getValue());
        }
      }
    }
    if (present == null) {
      replace(target.resolve(MANIFEST), members.get(MANIFEST));
    } else if (!Arrays.equals(manifest, members.get(MANIFEST))) {
      Path further =
          target
              .resolve(MANIFESTS)
              .resolve(AdapterManifest.digestOf(members.get(MANIFEST)) + ".json");
      if (!Arrays.equals(bytes(further), members.get(MANIFEST))) {
        replace(further, members.get(MANIFEST));
      }
    }
  }

  private static boolean intact(Path directory) {
    try {
      read(directory);
      return true;
    } catch (BadInputException e) {
      return false;
    }
  }

  private static void replace(Path file, byte[] bytes) throws IOException {
    Files.createDirectories(file.getParent());
    Path part = FreshFiles.file(file.getParent(), file.getFileName().toString());
    try {
      force(part, bytes);
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      forceDirectory(file.getParent());
    } finally {
      Files.deleteIfExists(part);
    }
  }

  private static void force(Path file, byte[] bytes) throws IOException {
    Files.createDirectories(file.getParent());
    try (FileChannel channel =
        FileChannel.open(
            file,
            StandardOpenOption.CREATE,
            StandardOpenOption.TRUNCATE_EXISTING,
            StandardOpenOption.WRITE)) {
      ByteBuffer buffer = ByteBuffer.wrap(bytes);
      while (buffer.hasRemaining()) {
        channel.write(buffer);
      }
      channel.force(true);
    }
    forceDirectory(file.getParent());
  }

  private static void forceDirectory(Path directory) throws IOException {
    try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
      channel.force(true);
    }
  }

  private static void delete(Path directory) throws IOException {
    if (!Files.exists(directory)) {
      return;
    }
    List<Path> found;
    try (Stream<Path> walk = Files.walk(directory)) {
      found = walk.sorted(Comparator.reverseOrder()).toList();
    }
    for (Path path : found) {
      Files.delete(path);
    }
  }
}
