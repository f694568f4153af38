"""Writes pairs files of one vendor's emoji: python pairs.py PACKAGE-DIRECTORY STYLE OUT-DIRECTORY

OUT/STYLE-train.jsonl and OUT/STYLE-held-out.jsonl: every fifth name is held out, the same ones in every style. Skin tones and flags are left
out: their pictures differ by little, their names by much.
"""

import json
import pathlib
import sys
import zlib


def main(package, style, out):
    package, out = pathlib.Path(package).resolve(), pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    files = {split: open(out / f"{style}-{split}.jsonl", "w", encoding="utf-8") for split in ("train", "held-out")}
    names = set()
    for emoji in json.loads((package / "emoji.json").read_text(encoding="utf-8")):
        name = (emoji["name"] or emoji["short_name"]).lower()
        image = package / "img" / style / "64" / emoji["image"]
        drawn_by_all = all(emoji[f"has_img_{other}"] for other in ("apple", "google", "twitter"))
        if emoji["category"] in ("Flags", "Component") or name in names or not drawn_by_all or not image.exists():
            continue
        names.add(name)
        split = "held-out" if zlib.crc32(name.encode()) % 5 == 0 else "train"
        pair = {
            "id": f"{style}-{emoji['unified']}",
            "image": str(image),
            "caption": name,
            "caption_long": f"{name}, of {emoji['category'].lower()}: {emoji['subcategory'].replace('-', ' ')}.",
        }
        files[split].write(json.dumps(pair) + "\n")
    for split, file in files.items():
        file.close()
        print(split, sum(1 for _ in open(out / f"{style}-{split}.jsonl", encoding="utf-8")))


if __name__ == "__main__":
    main(*sys.argv[1:])
