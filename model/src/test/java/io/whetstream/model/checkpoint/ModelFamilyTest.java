package io.whetstream.model.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.whetstream.model.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Configurations as the published models of each family have them. */
class ModelFamilyTest {
  private static final ModelFamily QWEN2 = new Qwen2VlFamily();
  private static final ModelFamily QWEN25 = new Qwen25VlFamily();
  private static final ModelFamily QWEN3 = new Qwen3VlFamily();
  private static final ModelFamily SMOLVLM =
      new Idefics3Family("SmolVLMForConditionalGeneration", "smolvlm");
  private static final ModelFamily NEXT = new LlavaNextFamily();
  private static final ModelFamily ONEVISION = new LlavaOnevisionFamily();

  @TempDir Path scratch;

  private ConfigKeys keys(String json) {
    try {
      return ConfigKeys.of(
          Files.writeString(scratch.resolve("config.json"), json.replace('\'', '"')));
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private ModelConfig read(ModelFamily family, String json) {
    return family.config(keys(json));
  }

  @Test
  void qwen2VlHasItsDecoderAtTheTop() {
    ModelConfig config =
        read(
            QWEN2,
            """
            {'hidden_size':1536,'intermediate_size':8960,'num_hidden_layers':28,
             'num_attention_heads':12,'num_key_value_heads':2,'rms_norm_eps':1e-06,
             'max_position_embeddings':32768,'rope_theta':1000000.0,'sliding_window':32768,
             'use_sliding_window':false,'tie_word_embeddings':true,'vocab_size':151936,
             'vision_config':{'depth':32,'embed_dim':1280,'mlp_ratio':4,'num_heads':16,
               'in_chans':3,'hidden_size':1536,'patch_size':14,'spatial_merge_size':2,
               'spatial_patch_size':14,'temporal_patch_size':2},
             'rope_scaling':{'type':'mrope','mrope_section':[16,24,24]}}
            """);
    assertEquals(
        new VisionConfig(
            "qwen2_vl",
            1280,
            5120,
            32,
            16,
            0,
            14,
            1e-6,
            "quick_gelu",
            new DynamicVision(2, 0, List.of(), List.of(), 0)),
        config.vision());
    assertEquals(128, config.text().headDim());
    assertEquals(new MultimodalRope(List.of(16, 24, 24), false), config.text().multimodalRope());
    assertTrue(config.text().attentionBias());
    assertFalse(config.text().outputBias());
    assertFalse(config.text().headNorms());
    assertNull(config.text().ropeScaling());
    assertTrue(config.tiedEmbeddings());
    assertEquals(151655, config.imageTokenId());
  }

  @Test
  void qwen25VlSeesWindows() {
    ModelConfig config =
        read(
            QWEN25,
            """
            {'text_config':{'model_type':'qwen2_5_vl_text','hidden_size':2048,
               'num_attention_heads':16,'num_key_value_heads':2,
               'rope_parameters':{'mrope_section':[16,24,24],'rope_theta':500000}},
             'vision_config':{'depth':32,'hidden_size':1280,'out_hidden_size':2048}}
            """);
    assertEquals(
        new DynamicVision(2, 112, List.of(7, 15, 23, 31), List.of(), 0), config.vision().dynamic());
    assertEquals(500000, config.text().ropeTheta());
    assertEquals("silu", config.vision().activation());
  }

  @Test
  void qwen3VlNormalisesHeadsAndStacksFeatures() {
    ModelConfig config =
        read(
            QWEN3,
            "{'text_config':{'hidden_size':2048,'num_attention_heads':16,'num_key_value_heads':8}}");
    assertEquals(
        new DynamicVision(2, 0, List.of(), List.of(8, 16, 24), 48), config.vision().dynamic());
    assertTrue(config.text().headNorms());
    assertFalse(config.text().attentionBias());
    assertEquals(128, config.text().headDim());
    assertEquals(new MultimodalRope(List.of(24, 20, 20), true), config.text().multimodalRope());
  }

  @Test
  void smolVlmTakesFewerFeaturesThanPatches() {
    ModelConfig config =
        read(
            SMOLVLM,
            """
            {'scale_factor':4,'tie_word_embeddings':true,'image_token_id':49190,
             'text_config':{'hidden_size':576,'num_attention_heads':9,'num_key_value_heads':3,
               'vocab_size':49280,'tie_word_embeddings':false,'rope_theta':100000},
             'vision_config':{'hidden_size':768,'num_attention_heads':12,'image_size':512,
               'patch_size':16}}
            """);
    assertEquals(64, config.imageTokens());
    assertEquals(4, config.shuffle());
    assertTrue(config.tiedEmbeddings());
  }

  @Test
  void llavaNextAndOneVisionHaveCanvases() {
    ModelConfig next =
        read(
            NEXT,
            """
            {'text_config':{'model_type':'mistral','sliding_window':null,'vocab_size':32064,
             'intermediate_size':14336,'num_key_value_heads':8,'max_position_embeddings':32768},
             'image_grid_pinpoints':[[336,672],[672,336]]}
            """);
    assertEquals(new Canvases(List.of(List.of(336, 672), List.of(672, 336)), 0), next.canvases());
    assertEquals(576, next.imageTokens());
    assertFalse(next.text().attentionBias());
    ModelConfig onevision =
        read(
            ONEVISION,
            "{'text_config':{'hidden_size':896,'num_attention_heads':14,'num_key_value_heads':2}}");
    assertEquals(36, onevision.canvases().sizes().size());
    assertEquals(9, onevision.canvases().maxSquares());
    assertEquals(729, onevision.imageTokens());
    assertEquals(26, onevision.visionLayersUsed());
    assertTrue(onevision.text().attentionBias());
    assertFalse(onevision.text().outputBias());
  }

  @Test
  void axesTakeTurnsOnlyInQwen3() {
    assertArrayEquals(
        new int[] {0, 0, 1, 1, 1, 2, 2, 2}, new MultimodalRope(List.of(2, 3, 3), false).axes());
    assertArrayEquals(
        new int[] {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0},
        new MultimodalRope(List.of(6, 3, 3), true).axes());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "next | {'text_config':{'model_type':'mistral'}} | sliding_window",
        "next | {'text_config':{'model_type':'gemma'}} | mistral",
        "next | {'image_token_index':5,'image_grid_pinpoints':[[336,500]]} | image_grid_pinpoints",
        "onevision | {'text_config':{'use_sliding_window':true}} | sliding_window",
        "onevision | {'text_config':{'layer_types':['sliding_attention']}} | layer_types",
        "onevision | {'vision_aspect_ratio':'anyres'} | anyres_max_N",
        "next | {'text_config':{'model_type':'mixtral'}} | mixtral",
        "next | {'vision_config':{'hidden_act':'mish'}} | mish",
        "onevision | {'text_config':{'model_type':'qwen2_moe'}} | qwen2_moe",
        "onevision | {'text_config':{'hidden_act':'relu2'}} | relu2",
        "qwen2 | {'use_sliding_window':true,'sliding_window':1024} | sliding_window",
        "qwen25 | {'text_config':{'use_sliding_window':true}} | sliding_window",
        "qwen25 | {'text_config':{'layer_types':['sliding_attention']}} | layer_types",
        "qwen25 | {'text_config':{'hidden_act':'gelu_fast'}} | gelu_fast",
        "qwen25 | {'vision_config':{'hidden_act':'softplus'}} | softplus",
        "smolvlm | {'text_config':{'hidden_act':'swish_glu'}} | swish_glu",
        "smolvlm | {'text_config':{'model_type':'mixtral'}} | mixtral",
        "smolvlm | {'text_config':{'vocab_size':200000},'scale_factor':5} | scale_factor",
        "qwen2 | {'rope_scaling':{'mrope_section':[1,2,3]}} | mrope_section",
        "qwen3 | {'text_config':{'model_type':'qwen3_vl_moe_text'}} | qwen3_vl_moe_text",
        "qwen3 | {'vision_config':{'deepstack_visual_indexes':[27]}} | deepstack_visual_indexes",
        "qwen3 | {'vision_config':{'temporal_patch_size':1}} | temporal_patch_size",
        "qwen3 | {'vision_config':{'hidden_act':'mish'}} | mish",
      })
  void variantsThatAreNotComputedAreRefusedByName(String family, String json, String word) {
    ModelFamily reader =
        switch (family) {
          case "next" -> NEXT;
          case "onevision" -> ONEVISION;
          case "smolvlm" -> SMOLVLM;
          case "qwen2" -> QWEN2;
          case "qwen25" -> QWEN25;
          default -> QWEN3;
        };
    BadInputException e = assertThrows(BadInputException.class, () -> read(reader, json));
    assertTrue(e.getMessage().contains(word), e.getMessage());
    assertTrue(e.getMessage().contains("config.json"), e.getMessage());
  }

  /** Videos, mixtures of experts and others: by the class that config.json names. */
  @ParameterizedTest
  @CsvSource({
    "Qwen3VLMoeForConditionalGeneration, qwen3_vl_moe",
    "Qwen2_5OmniForConditionalGeneration, qwen2_5_omni",
    "LlavaNextVideoForConditionalGeneration, llava_next_video",
    "VideoLlavaForConditionalGeneration, video_llava",
    "Idefics2ForConditionalGeneration, idefics2",
  })
  void otherArchitecturesAreRefusedWithWhatIsSupported(String architecture, String type)
      throws IOException {
    Path file = scratch.resolve("config.json");
    Files.writeString(
        file, "{\"architectures\":[\"" + architecture + "\"],\"model_type\":\"" + type + "\"}");
    BadInputException e = assertThrows(BadInputException.class, () -> ModelConfig.read(file));
    assertTrue(e.getMessage().contains(architecture), e.getMessage());
    for (ModelFamily family : ModelFamily.ALL) {
      assertTrue(e.getMessage().contains(family.architecture()), e.getMessage());
    }
  }

  @ParameterizedTest
  @CsvSource({
    "qwen2, model.layers.0.mlp.up_proj.weight, language_model.model.layers.0.mlp.up_proj.weight",
    "qwen2, model.language_model.norm.weight, language_model.model.norm.weight",
    "qwen2, visual.blocks.0.norm1.weight, visual.blocks.0.norm1.weight",
    "qwen3, model.visual.blocks.0.norm1.weight, visual.blocks.0.norm1.weight",
    "qwen3, lm_head.weight, language_model.lm_head.weight",
    "smolvlm, model.text_model.norm.weight, language_model.model.norm.weight",
    "smolvlm, model.vision_model.post_layernorm.bias, vision_tower.vision_model.post_layernorm.bias",
    "smolvlm, model.connector.modality_projection.proj.weight, connector.modality_projection.proj.weight",
    "next, model.image_newline, image_newline",
    "next, language_model.lm_head.weight, language_model.lm_head.weight",
    "next, model.vision_tower.encoder.x, vision_tower.vision_model.encoder.x",
  })
  void everyLayoutHasTheSameCanonicalNames(String family, String name, String canonical) {
    ModelFamily reader =
        switch (family) {
          case "next" -> NEXT;
          case "smolvlm" -> SMOLVLM;
          case "qwen2" -> QWEN2;
          default -> QWEN3;
        };
    assertEquals(canonical, reader.canonical(name));
  }

  @Test
  void whatVersionOneCannotSayHasAFormOfItsOwn() {
    String one = CanonicalForm.of(read(QWEN3, "{}"));
    assertTrue(one.startsWith("whetstream base 2\n{\"canvases\":null,"), one);
    String other =
        CanonicalForm.of(read(QWEN3, "{'vision_config':{'deepstack_visual_indexes':[8,16,23]}}"));
    assertFalse(one.equals(other));
  }
}
