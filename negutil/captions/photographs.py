"""Flickr8k as the data of a profile: its photographs and captions in the layout of datasets that the notebooks read.

- COCO: the training part as train2014, the dev part as val2017 and the test part as test2017, as in the mini world.
  Nobody labelled the photographs: their objects are what captions name (``named_objects``), each in a box as large as
  the photograph; what captions may mean is listed as ``implied`` and is never said to be absent.
- NegBench's retrieval and multiple choice, by template and paraphrased by the grammar, about the test part.
- CC-Neg's triplets about the test part, for evaluation.
- LAION's layout: all captions of the three parts, of which notebook 01 counts the cues.

Photographs are linked, never copied. A photograph without a file is left out or stops the build, as the profile says.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from negutil import code, files, paths
from negutil.captions import baseline_sets, named_objects, negbench
from negutil.captions.negbench import Labelled
from negutil.captions.p1 import Source
from negutil.captions.rule_annotator import Options, RuleAnnotator, Shown
from negutil.captions.statements import Grammar
from negutil.config import Profile
from negutil.data import built, coco, flickr8k, skipped, source
from negutil.models.pictures import file_sha256

FOLDER = "flickr8k"
RELEASES = {"train": "train2014", "dev": "val2017", "test": "test2017"}
"""What each part of Flickr8k is called in COCO's layout."""

FIRST_ID = 1_000_000
"""Between the image ids of two parts."""

NEGBENCH_FILES = {
    "mcq_template": "coco_mcq_template",
    "mcq_paraphrased": "coco_mcq_paraphrased",
    "retrieval": "coco_retrieval",
    "retrieval_negated_template": "coco_retrieval_template",
    "retrieval_negated_paraphrased": "coco_retrieval_paraphrased",
}
"""What ``negbench.write`` calls its files, and what ``negbench_files`` does."""


def build(name: str, settings: Profile) -> Path:
    """The folder of one of ``source.OF_PHOTOGRAPHS``, written where it is missing or was made otherwise.

    Raises NegutilError if Flickr8k is not in NEGUTIL_DATA, or is damaged.
    """
    folder, fill = settings.built / name, _FILL[name]
    wanted: dict[str, Any] = {"part": name, source.PHOTOGRAPHS: True, "seed": settings.world.seed}
    wanted["code"] = code.fingerprint(__name__)
    wanted["made_of"] = _origin(settings) if name == "coco" else source.digest(build("coco", settings))
    if name == "ccneg":
        wanted["size"] = settings.world.ccneg.test
    built.keep(folder, wanted, lambda fresh: fill(fresh, settings), f"{source.STANDS_FOR[name]}, of photographs")
    return folder


def _origin(settings: Profile) -> dict[str, Any]:
    """What identifies Flickr8k's files; its photographs are counted."""
    folder = paths.published() / FOLDER
    if not folder.is_dir():
        flickr8k.load(folder)  # says what to do
    names = (folder / flickr8k.CAPTIONS, *(flickr8k.split_file(folder, split) for split in flickr8k.SPLITS))
    shown = folder / flickr8k.PHOTOGRAPHS
    sizes = settings.photographs
    return {
        "folder": str(folder),
        "files": {path.name: file_sha256(path) for path in names},
        "photographs": len(list(shown.iterdir())) if shown.is_dir() else 0,
        "sizes": [sizes.train, sizes.val, sizes.test] if sizes else [],
    }


def _coco(fresh: Path, settings: Profile) -> dict[str, Any]:
    counts = {}
    for number, split in enumerate(flickr8k.SPLITS):
        items = _items(settings, split)
        release = RELEASES[split]
        (fresh / release).mkdir()
        for item in items:
            (fresh / release / item.file_name).symlink_to(_photograph(item))
        for kind, content in _annotations(items, number * FIRST_ID + 1).items():
            files.write_text(fresh / "annotations" / f"{kind}_{release}.json", content)
        counts[release] = len(items)
    return {"photographs": counts}


def _items(settings: Profile, split: str) -> list[Labelled]:
    """The photographs of a part that the profile uses, with what their captions name."""
    with skipped.reading(settings, f"Flickr8k, {split}", FOLDER):
        rows = flickr8k.load(paths.published() / FOLDER, split)
    sizes = settings.photographs
    most = {"train": sizes.train, "dev": sizes.val, "test": sizes.test}[split] if sizes else 0
    return negbench.from_flickr8k(rows.select(range(min(most or len(rows), len(rows)))))


def _photograph(item: Labelled) -> Path:
    return paths.published() / FOLDER / flickr8k.PHOTOGRAPHS / item.file_name


def _annotations(items: list[Labelled], first: int) -> dict[str, str]:
    """The contents of COCO's two files about a part, whose ids begin with ``first``."""
    nouns = sorted({noun for item in items for noun in (*item.objects, *item.implied)})
    number_of = {noun: number for number, noun in enumerate(nouns, 1)}
    images, captions, instances = [], [], []
    for image_id, item in enumerate(items, first):
        with Image.open(_photograph(item)) as opened:
            width, height = opened.size
        image = {"id": image_id, "file_name": item.file_name, "width": width, "height": height}
        images.append({**image, "implied": list(item.implied)})
        about = {"image_id": image_id, "bbox": [0, 0, width, height], "iscrowd": 0}
        captions += [
            {"id": image_id * 10 + number, "image_id": image_id, "caption": text}
            for number, text in enumerate(item.captions)
        ]
        instances += [
            {"id": image_id * 100 + number, "category_id": number_of[noun], **about}
            for number, noun in enumerate(item.objects)
        ]
    categories = [
        {"id": number, "name": noun, "supercategory": named_objects.group_of(noun)}
        for noun, number in number_of.items()
    ]
    return {
        "captions": json.dumps({"images": images, "annotations": captions}),
        "instances": json.dumps({"images": images, "annotations": instances, "categories": categories}),
    }


def _annotation_files(folder: Path, split: str) -> tuple[Path, Path]:
    """The captions and instances of a part."""
    first, second = (folder / "annotations" / f"{kind}_{RELEASES[split]}.json" for kind in ("captions", "instances"))
    return first, second


def _negbench(fresh: Path, settings: Profile) -> dict[str, Any]:
    captions, instances = _annotation_files(build("coco", settings), "test")
    seed = settings.world.seed
    written = negbench.write(
        instances, captions, fresh, seed=seed, folder=f"coco/{RELEASES['test']}", annotator=Grammar(seed)
    )
    for path in written:
        path.rename(path.with_stem(NEGBENCH_FILES[path.stem]))
    return {"files": len(written)}


def _ccneg(fresh: Path, settings: Profile) -> dict[str, Any]:
    folder, release = build("coco", settings), RELEASES["test"]
    rows = coco.load(_annotation_files(folder, "test")[0])
    columns = (rows[name][:] for name in ("image_id", "file_name", "captions", "caption_ids"))
    sources = [
        Source(numbers[0], image_id, f"{release}/{name}", texts[0], folder / release / name)
        for image_id, name, texts, numbers in zip(*columns, strict=True)
    ]
    triplets = baseline_sets.ccneg_triplets(sources, annotator({}, settings), seed=settings.world.seed)
    triplets = triplets.head(settings.world.ccneg.test).reset_index(drop=True)
    baseline_sets.write_triplets(triplets, fresh)
    (fresh / release).symlink_to(folder / release)
    return {"items": len(triplets)}


def _laion(fresh: Path, settings: Profile) -> dict[str, Any]:
    folder, parts = build("coco", settings), []
    for split, release in RELEASES.items():
        rows = coco.load(_annotation_files(folder, split)[0])
        urls = [
            f"{release}/{name}"
            for name, texts in zip(rows["file_name"][:], rows["captions"][:], strict=True)
            for _ in texts
        ]
        numbers, texts = ([each for own in rows[name][:] for each in own] for name in ("caption_ids", "captions"))
        parts.append(pl.DataFrame({"SAMPLE_ID": numbers, "URL": urls, "TEXT": texts}))
        (fresh / release).symlink_to(folder / release)
    table = pl.concat(parts)
    table.write_parquet(fresh / "captions.parquet")
    return {"captions": len(table)}


_FILL: Mapping[str, Callable[[Path, Profile], dict[str, Any]]] = {
    "coco": _coco,
    "negbench": _negbench,
    "ccneg": _ccneg,
    "laion": _laion,
}


def annotator(options: Mapping[str, Any], settings: Profile) -> RuleAnnotator:
    """The annotator that knows the captions of all photographs of a profile; raises NegutilError for wrong options."""
    folder = build("coco", settings)
    checked = files.checked(Options, dict(options), "annotator rules")
    return RuleAnnotator(_shown(folder, source.digest(folder)), checked)


@lru_cache(maxsize=1)
def _shown(folder: Path, _sha256: str) -> dict[str, Shown]:
    """What the captions of every photograph say, by release and name."""
    shown = {}
    for split, release in RELEASES.items():
        for item in negbench.from_coco(coco.load(*_annotation_files(folder, split)), release):
            shown[item.file_name] = Shown(item.objects, frozenset((*item.objects, *item.implied)))
    return shown
