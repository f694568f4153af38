package io.whetstream.deploy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.fabric8.zjsonpatch.JsonPatch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What {@code kubectl kustomize} makes of a directory, for what our files use of it: resources,
 * components, and patches with a target, which are lists of JSON patch operations, objects laid
 * over (of custom resources: merged by key, lists replaced) or {@code $patch: delete}. Anything
 * else is refused. Where there is a kubectl, {@link ManifestsTest} compares the two.
 */
final class Kustomization {
  private static final Set<String> KNOWN =
      Set.of("apiVersion", "kind", "resources", "components", "patches");

  private Kustomization() {}

  static List<ObjectNode> render(Path directory) throws IOException {
    List<ObjectNode> objects = new ArrayList<>();
    apply(directory, objects);
    return objects;
  }

  private static void apply(Path directory, List<ObjectNode> objects) throws IOException {
    JsonNode file = Yaml.one(directory.resolve("kustomization.yaml"));
    for (Map.Entry<String, JsonNode> entry : file.properties()) {
      if (!KNOWN.contains(entry.getKey())) {
        throw new IOException(directory + ": '" + entry.getKey() + "' is not known here");
      }
    }
    for (JsonNode resource : file.path("resources")) {
      Path path = directory.resolve(resource.asText()).normalize();
      if (Files.isDirectory(path)) {
        objects.addAll(render(path));
      } else {
        for (JsonNode object : Yaml.all(path)) {
          objects.add((ObjectNode) object);
        }
      }
    }
    for (JsonNode component : file.path("components")) {
      apply(directory.resolve(component.asText()).normalize(), objects);
    }
    for (JsonNode patch : file.path("patches")) {
      patch(directory.resolve(patch.path("path").asText()), patch.path("target"), objects);
    }
  }

  private static void patch(Path file, JsonNode target, List<ObjectNode> objects)
      throws IOException {
    JsonNode patch = Yaml.one(file);
    List<ObjectNode> targets =
        objects.stream()
            .filter(object -> object.path("kind").equals(target.path("kind")))
            .filter(
                object ->
                    !target.has("name")
                        || object.path("metadata").path("name").equals(target.path("name")))
            .toList();
    if (targets.isEmpty()) {
      throw new IOException(file + ": there is nothing like " + target);
    }
    for (ObjectNode object : targets) {
      if (patch.isArray()) {
        JsonNode patched = JsonPatch.apply(patch, object);
        object.removeAll();
        object.setAll((ObjectNode) patched);
      } else if (patch.path("$patch").asText().equals("delete")) {
        objects.removeIf(each -> each == object);
      } else {
        ObjectNode laid = patch.deepCopy();
        // The patch's own name is only a name.
        laid.remove(List.of("apiVersion", "kind", "metadata"));
        merge(object, laid);
      }
    }
  }

  private static void merge(ObjectNode into, ObjectNode laid) {
    for (Map.Entry<String, JsonNode> entry : laid.properties()) {
      JsonNode old = into.get(entry.getKey());
      if (old instanceof ObjectNode object && entry.getValue() instanceof ObjectNode more) {
        merge(object, more);
      } else {
        into.set(entry.getKey(), entry.getValue().deepCopy());
      }
    }
  }
}
