"""MS COCO: train2014, val2017 and test2017 with instances and five captions per picture (docs/protocols.md#retrieval).

As in COCO, instances are outlined by polygons (which cover the visible pixels exactly) and have ``iscrowd`` 0. What is
worn or held is an instance of its own. Unlike COCO, the test split has its annotations, and every caption is
affirmative and true; captions of val and test use forms that no training set has in a quarter of the cases.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from miniworld import grammar, scenes, truth
from miniworld.scenes import SIZE
from miniworld.writers import _shared
from miniworld.writers._shared import Entry
from negutil.captions import english
from negutil.captions.english import NOUNS, SUPERCATEGORY
from negutil.config import Splits

RELEASES = {"train": "train2014", "val": "val2017", "test": "test2017"}
FIRST_ID = {"train": 1, "val": 1_000_001, "test": 2_000_001}
CATEGORY_ID = {noun: number for number, noun in enumerate(NOUNS, start=1)}
CAPTIONS = 5
FULL = 0.6
HELD_OUT_SHARE = 0.25
HELD_OUT_FORMS = english.forms(english.AFFIRMATIVE, held_out=True)
LICENSES = [{"url": "https://fontawesome.com/license/free", "id": 1, "name": "CC BY 4.0 (icons of Font Awesome Free)"}]


def name(split: str, index: int) -> tuple[int, str]:
    """Image id and path of picture ``index`` of a split; only train2014 repeats its name in the file names."""
    image_id, release = FIRST_ID[split] + index, RELEASES[split]
    prefix = f"COCO_{release}_" if release.endswith("2014") else ""
    return image_id, f"{release}/{prefix}{image_id:012d}.jpg"


@lru_cache(maxsize=1)
def pictures(sizes: Splits, seed: int) -> tuple[Entry, ...]:
    """Every picture of the part, kept because the questions of VQA v2 are about the same ones."""
    return tuple(_shared.entries("coco", sizes, seed, scenes.sample, name))


def info(description: str) -> dict[str, Any]:
    """The "info" of an annotation file."""
    empty = {"url": "", "version": "1.0", "contributor": "negutil", "date_created": ""}
    return {"description": f"{description}, of the mini world", "year": 2014, **empty}


def image_records(drawn: Iterable[Entry]) -> list[dict[str, Any]]:
    """The "images" of an annotation file."""
    fixed = {"license": 1, "height": SIZE, "width": SIZE, "date_captured": "", "coco_url": "", "flickr_url": ""}
    return [{**fixed, "file_name": Path(entry.file_name).name, "id": entry.image_id} for entry in drawn]


def annotation_id(image_id: int, index: int) -> int:
    """Id of instance ``index`` (in the order of ``truth.instances``) of a picture."""
    return image_id * 100 + index


def instances(drawn: Sequence[Entry]) -> dict[str, Any]:
    """The content of an instances file: box, area and polygons of the visible pixels of every instance."""
    return {
        "info": info("Instances"),
        "licenses": LICENSES,
        "images": image_records(drawn),
        "annotations": [
            {
                "segmentation": [[number for point in loop for number in point] for loop in truth.polygons(mask)],
                "area": float(mask.sum()),
                "iscrowd": 0,
                "image_id": entry.image_id,
                "bbox": [float(number) for number in truth.tight_box(mask)],
                "category_id": CATEGORY_ID[instance.noun],
                "id": annotation_id(entry.image_id, index),
            }
            for entry in drawn
            for index, (instance, mask) in enumerate(
                zip(truth.instances(entry.scene), truth.masks(entry.scene), strict=True)
            )
        ],
        "categories": [
            {"supercategory": SUPERCATEGORY[noun], "id": number, "name": noun} for noun, number in CATEGORY_ID.items()
        ],
    }


def _caption(entry: Entry, rng: random.Random, full: bool) -> str:
    unseen = entry.split != "train" and rng.random() < HELD_OUT_SHARE
    pool = HELD_OUT_FORMS if unseen else grammar.TRAINING_FORMS
    return (grammar.full_caption if full else grammar.partial_caption)(entry.scene, rng, pool)


def _captions(drawn: Sequence[Entry], seed: int) -> dict[str, Any]:
    """The content of a captions file: five different ones of each picture, the first of which says everything."""
    records = []
    for entry in drawn:
        rng = random.Random(f"coco/captions/{entry.split}/{seed}/{entry.image_id}")
        said = [_caption(entry, rng, full=True)]
        while len(said) < CAPTIONS:
            caption = _caption(entry, rng, full=rng.random() < FULL)
            if caption not in said:
                said.append(caption)
        records += [
            {"image_id": entry.image_id, "id": entry.image_id * 10 + number, "caption": caption}
            for number, caption in enumerate(said)
        ]
    head = {"info": info("Captions"), "licenses": LICENSES, "images": image_records(drawn)}
    return {**head, "annotations": records}


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Write the part into the empty ``folder``; return facts for the manifest."""
    drawn = pictures(sizes, seed)
    _shared.write_pictures(folder, drawn)
    counts: dict[str, dict[str, int]] = {}
    for split in _shared.size_of(sizes):
        chosen, release = _shared.of_split(drawn, split), RELEASES[split]
        content = {"instances": instances(chosen), "captions": _captions(chosen, seed)}
        for kind, records in content.items():
            _shared.write_json(folder / "annotations" / f"{kind}_{release}.json", records)
        counts[release] = {"pictures": len(chosen), **{k: len(v["annotations"]) for k, v in content.items()}}
    return {
        "counts": counts,
        "segmentation": "polygons of the visible pixels",
        "held_out_forms": [form.text for form in HELD_OUT_FORMS],
        "held_out_share": {"train2014": 0.0, "val2017": HELD_OUT_SHARE, "test2017": HELD_OUT_SHARE},
    }
