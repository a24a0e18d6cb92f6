"""MS COCO: train2014, val2017 and test2017 with instances and five captions per image (docs/protocols.md#retrieval).

As in COCO, instances are outlined by polygons (which cover the visible pixels exactly) and have ``iscrowd`` 0. What is
worn or held is an instance of its own. Unlike COCO, the test split has its annotations, and every caption is
affirmative and true; captions of val and test use forms that no training set has in a quarter of the cases. How many
captions of training images name everything that is there is a setting of the profile; those of val and test do not
depend on it, so that models which learned from other captions are asked the same.
"""

import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from miniworld import grammar, scenes, truth
from miniworld.scenes import SIZE
from miniworld.truth import Known
from miniworld.writers import _shared
from negutil.captions import english
from negutil.captions.english import NOUNS, SUPERCATEGORY
from negutil.config import Splits
from negutil.errors import NegutilError

NAMES = {
    "train": (1, "train2014/COCO_train2014_{:012d}.jpg"),
    "val": (1_000_001, "val2017/{:012d}.jpg"),
    "test": (2_000_001, "test2017/{:012d}.jpg"),
}
RELEASES = {split: pattern.partition("/")[0] for split, (_, pattern) in NAMES.items()}
CATEGORY_ID = {noun: number for number, noun in enumerate(NOUNS, start=1)}
CAPTIONS = 5
FULL = 0.6
"""Share of the captions of val and test, beyond the first one, that name everything."""

HELD_OUT_SHARE = 0.25
HELD_OUT_FORMS = english.forms(english.AFFIRMATIVE, held_out=True)
LICENSES = [{"url": "https://fontawesome.com/license/free", "id": 1, "name": "CC BY 4.0 (icons of Font Awesome Free)"}]


@lru_cache(maxsize=1)
def pictures(sizes: Splits, seed: int) -> tuple[Known, ...]:
    """Every image of the part, kept because the questions of VQA v2 are about the same ones."""
    return tuple(_shared.entries("coco", sizes, seed, scenes.sample, NAMES))


def info(description: str) -> dict[str, Any]:
    """The "info" of an annotation file."""
    empty = {"url": "", "version": "1.0", "contributor": "negutil", "date_created": ""}
    return {"description": f"{description}, of the mini world", "year": 2014, **empty}


def annotation_id(image_id: int, index: int) -> int:
    """Id of instance ``index`` (in the order of ``truth.instances``) of an image."""
    return image_id * 100 + index


def _head(description: str, drawn: Iterable[Known]) -> dict[str, Any]:
    """The beginning of an annotation file."""
    fixed = {"license": 1, "height": SIZE, "width": SIZE, "date_captured": "", "coco_url": "", "flickr_url": ""}
    images = [{**fixed, "file_name": Path(entry.file_name).name, "id": entry.image_id} for entry in drawn]
    return {"info": info(description), "licenses": LICENSES, "images": images}


def instances(drawn: Sequence[Known]) -> dict[str, Any]:
    """The content of an instances file: box, area and polygons of the visible pixels of every instance."""
    annotations = [
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
    ]
    categories = [{"supercategory": SUPERCATEGORY[noun], "id": n, "name": noun} for noun, n in CATEGORY_ID.items()]
    return {**_head("Instances", drawn), "annotations": annotations, "categories": categories}


def _captions(drawn: Sequence[Known], seed: int, full: float) -> dict[str, Any]:
    """The content of a captions file: five different ones of each image.

    Of training images a share of ``full`` says everything, the others leave something out; of val and test the first
    one and a share of FULL of the others.
    """
    records = []
    for entry in drawn:
        trains = entry.split == "train"
        share, other = (full, grammar.incomplete_caption) if trains else (FULL, grammar.partial_caption)
        rng = random.Random(f"coco/captions/{entry.split}/{seed}/{entry.image_id}")
        captions: dict[str, None] = {}
        while len(captions) < CAPTIONS:
            says_all = not (captions or trains) or rng.random() < share
            describe = grammar.full_caption if says_all else other
            unseen = not trains and rng.random() < HELD_OUT_SHARE
            captions[describe(entry.scene, rng, HELD_OUT_FORMS if unseen else grammar.TRAINING_FORMS)] = None
        records += [
            {"image_id": entry.image_id, "id": entry.image_id * 10 + number, "caption": caption}
            for number, caption in enumerate(captions)
        ]
    return {**_head("Captions", drawn), "annotations": records}


def write(folder: Path, sizes: Splits, seed: int, full_captions: float = FULL) -> dict[str, Any]:
    """Write the part into the empty ``folder``; return facts for the manifest.

    ``full_captions`` is the profile's. Raises NegutilError if it is no share.
    """
    if not 0 <= full_captions <= 1:
        raise NegutilError(f"world.full_captions of the profile is {full_captions}: give a share between 0 and 1.")
    drawn = pictures(sizes, seed)
    _shared.write_pictures(folder, drawn)
    counts: dict[str, dict[str, int]] = {}
    for split, chosen in _shared.by_split(drawn).items():
        release, content = (
            RELEASES[split],
            {"instances": instances(chosen), "captions": _captions(chosen, seed, full_captions)},
        )
        for kind, records in content.items():
            _shared.write_json(folder / "annotations" / f"{kind}_{release}.json", records)
        counts[release] = {"pictures": len(chosen), **{k: len(v["annotations"]) for k, v in content.items()}}
    return {
        "counts": counts,
        "segmentation": "polygons of the visible pixels",
        "held_out_forms": [form.text for form in HELD_OUT_FORMS],
        "held_out_share": {"train2014": 0.0, "val2017": HELD_OUT_SHARE, "test2017": HELD_OUT_SHARE},
    }
