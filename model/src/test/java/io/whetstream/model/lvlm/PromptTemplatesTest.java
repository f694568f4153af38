package io.whetstream.model.lvlm;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PromptTemplatesTest {
  @ParameterizedTest
  @ValueSource(strings = {"<video>", "<|vision_start|><|video_pad|><|vision_end|>"})
  void placeholdersOfVideosAreRefused(String video) {
    for (boolean image : new boolean[] {true, false}) {
      BadInputException e =
          assertThrows(
              BadInputException.class,
              () ->
                  new PromptTemplates(
                      "<image>" + (image ? video : ""), "<text>" + (image ? "" : video)));
      assertTrue(e.getMessage().contains("videos are not supported"), e.getMessage());
    }
  }
}
