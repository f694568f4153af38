package io.whetstream.model.adapter;

import io.whetstream.model.BadInputException;

/**
 * An adapter with its lineage.
 *
 * @param weights the tensors
 * @param manifest where they come from; names the digest, configuration and logit scale of exactly
 *     these weights
 */
public record AdapterArtifact(AdapterWeights weights, AdapterManifest manifest) {
  public AdapterArtifact {
    String digest = weights.digest();
    if (!digest.equals(manifest.digest())) {
      throw new BadInputException(
          "adapter: the manifest is of digest "
              + manifest.digest()
              + ", the tensors have "
              + digest
              + ": a file was changed or damaged");
    }
    if (!weights.config().equals(manifest.config())
        || Float.floatToIntBits(weights.logitScale())
            != Float.floatToIntBits(manifest.logitScale())) {
      throw new BadInputException(
          "adapter: the manifest's configuration or logit scale is not that of its weights");
    }
  }

  /** Digest of tensors and configuration: the identity of the adapter. */
  public String digest() {
    return manifest.digest();
  }
}
