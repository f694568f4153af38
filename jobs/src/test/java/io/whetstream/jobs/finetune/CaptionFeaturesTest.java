package io.whetstream.jobs.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.scenes.Captioner;
import io.whetstream.scenes.Scene;
import io.whetstream.scenes.SceneGenerator;
import io.whetstream.scenes.SceneLook;
import java.util.List;
import org.junit.jupiter.api.Test;

class CaptionFeaturesTest {
  private static double cosine(String one, String other) {
    byte[] a = CaptionFeatures.of(one);
    byte[] b = CaptionFeatures.of(other);
    double dot = 0;
    for (int i = 0; i < a.length; i++) {
      dot += a[i] * b[i];
    }
    return dot / ((double) Sketch.norm(a) * Sketch.norm(b));
  }

  @Test
  void caseAndSpacesDoNotCount() {
    assertArrayEquals(CaptionFeatures.of("a red  circle"), CaptionFeatures.of(" A Red\tcircle\n"));
  }

  @Test
  void theMoreOfTheSameWordsTheNearer() {
    String caption = "a red circle above a blue square";
    double swapped = cosine(caption, "a blue square above a red circle");
    double replaced = cosine(caption, "a red circle above a blue star");
    double unrelated = cosine(caption, "two dogs on the lawn");
    assertTrue(swapped > replaced, swapped + " and " + replaced);
    assertTrue(replaced > unrelated + 0.3, replaced + " and " + unrelated);
  }

  @Test
  void noSpacesBetweenWordsAreNeeded() {
    // A red circle is on a blue square, and the other way round; two dogs run on the meadow.
    String caption = "\u7ea2\u8272\u7684\u5706\u5728\u84dd\u8272\u7684\u65b9\u5757\u4e0a";
    double swapped =
        cosine(caption, "\u84dd\u8272\u7684\u65b9\u5757\u5728\u7ea2\u8272\u7684\u5706\u4e0a");
    double unrelated = cosine(caption, "\u4e24\u53ea\u72d7\u5728\u8349\u5730\u4e0a\u5954\u8dd1");
    assertTrue(swapped > unrelated + 0.3, swapped + " and " + unrelated);
  }

  @Test
  void scenesOneEditApartAreNearerThanOthers() {
    SceneGenerator scenes = new SceneGenerator(3, SceneLook.STANDARD);
    double siblings = 0;
    double others = 0;
    int count = 40;
    for (int i = 0; i < count; i++) {
      List<Scene> group = scenes.hardGroup(i);
      String caption = Captioner.shortCaption(group.get(0));
      siblings += cosine(caption, Captioner.shortCaption(group.get(1))) / count;
      others += cosine(caption, Captioner.shortCaption(scenes.scene(1_000 + i))) / count;
    }
    assertTrue(siblings > others + 0.3, siblings + " and " + others);
  }

  @Test
  void nothingHasNoFeaturesAndLongCaptionsDoNotOverflow() {
    for (String none : new String[] {null, "", " \n"}) {
      assertEquals(0, CaptionFeatures.of(none).length);
    }
    byte[] features = CaptionFeatures.of("aaaa".repeat(1_000));
    int largest = 0;
    for (byte value : features) {
      largest = Math.max(largest, Math.abs(value));
    }
    assertEquals(Byte.MAX_VALUE, largest);
  }
}
