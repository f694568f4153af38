"""Loads an adapter of Whetstream in PEFT and compares vectors with those that `whetstream embed` wrote.

    python compare.py BASE ADAPTER PAIRS.jsonl VECTORS.safetensors

BASE is a LLaVA directory, ADAPTER was trained with the default prompts. Exits with 1 if a vector is further away than 1e-4.
"""

import json
import pathlib
import sys

import peft
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file

BOUND = 1e-4


def soft_vectors(adapter, side):
    """The learnt vectors behind the image or the caption: [n, d]."""
    return load_file(adapter / f"prompt_{side}" / "adapter_model.safetensors")["prompt_embeddings"]


@torch.no_grad()
def main(base, adapter, pairs, vectors):
    adapter, pairs = pathlib.Path(adapter), pathlib.Path(pairs)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    processor = transformers.AutoImageProcessor.from_pretrained(base)
    model = transformers.LlavaForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    config = model.config
    # LoRA as PEFT applies it, under the names that it finds by itself.
    model = peft.PeftModel.from_pretrained(model, adapter / "lora").eval()
    loaded = sum("lora_A" in name for name, _ in model.named_parameters())
    llava = model.get_base_model().model
    words = llava.get_input_embeddings()

    def embedding(ids, soft, **image):
        # [begin of sequence, image or caption, soft vectors]; read at the last position, after the final norm.
        inputs = torch.cat([words(torch.tensor([ids])), soft[None]], dim=1)
        state = llava(inputs_embeds=inputs, attention_mask=torch.ones(inputs.shape[:2]), **image).last_hidden_state[0, -1]
        return torch.nn.functional.normalize(state, dim=0)

    begin = config.text_config.bos_token_id
    soft_image, soft_text = soft_vectors(adapter, "image"), soft_vectors(adapter, "text")
    ours = load_file(vectors)
    furthest = {"image": 0.0, "text": 0.0}
    lines = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    for row, pair in enumerate(lines):
        picture = Image.open(pairs.parent / pair["image"]).convert("RGB")
        pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
        placeholders = [begin] + [config.image_token_id] * config.image_seq_length
        caption = tokenizer(pair["caption"], add_special_tokens=False)["input_ids"]
        theirs = {
            "image": embedding(placeholders, soft_image, pixel_values=pixels),
            "text": embedding([begin] + caption, soft_text),
        }
        for side, vector in theirs.items():
            furthest[side] = max(furthest[side], (vector - ours[side][row]).abs().max().item())
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
    print(f"{loaded} modules with LoRA, {len(lines)} pairs; largest difference of a component: "
          f"images {furthest['image']:.1e}, captions {furthest['text']:.1e}")
    return 0 if loaded > 0 and max(furthest.values()) <= BOUND else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
