package io.whetstream.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.whetstream.bench.RealShape;
import io.whetstream.model.checkpoint.ModelConfig;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RealShapeTest {
  /** As the safetensors of the models on the hub count them. */
  private static final Map<RealShape, Long> PUBLISHED =
      Map.of(
          RealShape.SMOLVLM_256M, 256_484_928L,
          RealShape.SMOLVLM_500M, 507_482_304L,
          RealShape.QWEN2_VL_2B, 2_208_985_600L,
          RealShape.QWEN2_5_VL_3B, 3_754_622_976L,
          RealShape.LLAVA_1_5_7B, 7_063_427_072L);

  /** LLaVA reads the last layer but one, so the last and the norm behind it are left out. */
  private static final Map<RealShape, Long> UNREAD =
      Map.of(RealShape.LLAVA_1_5_7B, 12L * 1024 * 1024 + 13 * 1024 + 2 * 1024);

  @TempDir Path temp;

  @Test
  void eachHasTheParametersOfThePublishedModel() throws Exception {
    for (RealShape shape : RealShape.values()) {
      Path directory = temp.resolve(shape.toString());
      shape.writeConfiguration(directory);
      assertEquals(
          PUBLISHED.get(shape) - UNREAD.getOrDefault(shape, 0L),
          ModelConfig.read(directory.resolve("config.json")).architecture().parameters(),
          shape.toString());
    }
  }
}
