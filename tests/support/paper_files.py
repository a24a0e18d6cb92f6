"""A small NEGUTIL_DATA in the official layout, made of real sample files, and settings for a dry run over it.

Photographs, captions, instances, alt texts and NegBench's rows are the published ones. COCO's val2017 sample is parted:
the first photographs stand as val2017, the others as train2014 and train2017. Of val2017, and of the faces (photographs
with attributes at random), the files name more images than there are, as where somebody has a part of a dataset.
CC-Neg's file is written in its official format with the published number of evaluation items.
"""

from __future__ import annotations

import csv
import functools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch

from negutil import files, paths
from negutil.captions import probe_prompts
from negutil.data import celeba, negbench
from negutil.models import architectures

MODEL, ARCHITECTURE, SIZE = "untrained", "MiniCLIP-S-8", 64
TESTED = 20
"""Photographs that stand as val2017."""

FACES, LOST_FACES = 40, 3
"""Faces in each of CelebA's splits, and how many of the last ones have no image."""

NEGATED, PLAIN, QUESTIONS = (
    "COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true.csv",
    "COCO_val_retrieval.csv",
    "COCO_val_mcq_llama3.1_rephrased.csv",
)
EVALUATION = 16
"""Items of CC-Neg that are asked about; the published evaluation part is the last 40,000."""


def captioned(shared: Path) -> set[str]:
    """The names of the images that COCO's sample annotations are about; only some of them are there."""
    content = json.loads((shared / "coco" / "annotations" / "captions_val2017.json").read_text())
    return {image["file_name"] for image in content["images"]}


def photographs(shared: Path) -> list[str]:
    """The names of COCO's sample photographs that have captions, sorted."""
    named = captioned(shared)
    return sorted(path.name for path in (shared / "coco" / "val2017").iterdir() if path.name in named)


def write(shared: Path, root: Path) -> None:
    """Write the data folder ``root`` from the sample files in ``shared``."""
    names = photographs(shared)
    tested, trained = names[:TESTED], names[TESTED:]
    asked = captioned(shared) - set(trained)  # with images that are not there
    _coco(shared / "coco", root / "coco", "val2017", tested, asked)
    for release in ("train2014", "train2017"):
        _coco(shared / "coco", root / "coco", release, trained, set(trained))
    _negbench(shared / "negbench", root / "negbench", asked)
    _celeba(shared / "coco" / "val2017", root / "celeba", names)
    (root / "laion").mkdir()
    shutil.copy(shared / "web_alttext" / "img2dataset_test_1000.parquet", root / "laion")
    _captions(shared / "negbench", root / "captions", trained)
    _ccneg(shared, root, trained, tested)
    _caltech101(shared, root / "caltech101" / "101_ObjectCategories", tested)
    for name in ("valse", "negrefcocog"):  # as they are: their pictures are not here
        shutil.copytree(shared / name, root / name)


def _official(name: str, release: str) -> str:
    """A photograph's file name in a release: train2014's have the release before the number."""
    return f"COCO_{release}_{name}" if release.endswith("2014") else name


def _coco(shared: Path, folder: Path, release: str, names: list[str], annotated: set[str]) -> None:
    (folder / release).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    for name in names:
        (folder / release / _official(name, release)).symlink_to(shared / "val2017" / name)
    for kind in ("captions", "instances"):
        content = json.loads((shared / "annotations" / f"{kind}_val2017.json").read_text())
        images = [image for image in content["images"] if image["file_name"] in annotated]
        known = {image["id"] for image in images}
        own = [image | {"file_name": _official(image["file_name"], release)} for image in images]
        said = [one for one in content["annotations"] if one["image_id"] in known]
        written = json.dumps(content | {"images": own, "annotations": said})
        (folder / "annotations" / f"{kind}_{release}.json").write_text(written)


def _celeba(photographs: Path, folder: Path, names: list[str]) -> None:
    """CelebA's two text files with all attributes, each true of half of the faces, and most of the images."""
    (folder / "img_align_celeba").mkdir(parents=True)
    rng = np.random.default_rng(0)
    attributes = list(dict.fromkeys(pair.attribute for pair in probe_prompts.read_prompts()))
    count = len(celeba.SPLITS) * FACES
    rows, parts = [], []
    for number in range(count):
        name, split = f"{number + 1:06d}.jpg", number // FACES
        rows.append(f"{name} {' '.join(map(str, rng.choice((-1, 1), len(attributes))))}")
        parts.append(f"{name} {split}")
        if number < count - LOST_FACES:
            (folder / "img_align_celeba" / name).symlink_to(photographs / names[number % len(names)])
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(count), " ".join(attributes), *rows]) + "\n")
    (folder / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")


def _negbench(shared: Path, folder: Path, names: set[str]) -> None:
    folder.mkdir()
    for file in (NEGATED, PLAIN, QUESTIONS):
        with (shared / file).open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            column = "image_path" if "image_path" in (rows.fieldnames or ()) else "filepath"
            kept = [row for row in rows if Path(row[column]).name in names]
            _write_csv(folder / file, list(rows.fieldnames or ()), kept)


def _write_csv(path: Path, fields: list[str], rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fields)
        writer.writeheader()
        writer.writerows(rows)


def _said(shared: Path, names: list[str]) -> pd.DataFrame:
    """For every photograph in ``names`` its plain captions, and NegBench's of the same with a negation."""
    both = _all_said(shared)
    return both[both["name"].isin(names)].sort_values("name")


@functools.cache
def _all_said(shared: Path) -> pd.DataFrame:
    negated, plain = (negbench.load(shared / file).to_pandas() for file in (NEGATED, PLAIN))
    both = plain.merge(negated[["image_id", "captions", "negative_objects"]], on="image_id", suffixes=("", "_negated"))
    return both.assign(name=[Path(name).name for name in both["file_name"]])


def _captions(shared: Path, folder: Path, names: list[str]) -> None:
    """NegationCLIP's published file: captions of train2014 with the version to which a negation was added."""
    said = _said(shared, names)
    images = [
        {"id": int(number), "file_name": _official(name, "train2014")}
        for number, name in zip(said["image_id"], said["name"], strict=True)
    ]
    pairs = [
        (int(number), caption, negated)
        for number, captions, with_negation in zip(
            said["image_id"], said["captions"], said["captions_negated"], strict=True
        )
        for caption, negated in zip(captions, with_negation, strict=False)
        if caption.strip() and negated.strip()
    ]
    annotations = [
        {"id": row, "image_id": number, "caption": caption, "updated_caption": negated}
        for row, (number, caption, negated) in enumerate(pairs)
    ]
    folder.mkdir()
    content = json.dumps({"images": images, "annotations": annotations})
    (folder / "negationclip_captions_train2014.json").write_text(content)


def _ccneg(shared: Path, root: Path, trained: list[str], tested: list[str]) -> None:
    """CC-Neg's two files and pictures: training items, the rest of its evaluation part, and the items asked about."""
    folder = root / "ccneg"
    (folder / "cc3m").mkdir(parents=True)
    for name in (*trained, *tested):
        (folder / "cc3m" / name).symlink_to(shared / "coco" / "val2017" / name)
    train, asked = _triplets(shared, trained), _triplets(shared, tested)[:EVALUATION]
    items = [*train, *(asked[:1] * (40_000 - len(asked))), *asked]
    content = {"image_paths": [f"cc3m/{name}" for name, _ in items], "annotations": [about for _, about in items]}
    torch.save(content, folder / "ccneg_preprocessed.pt")
    torch.save({row: [row % len(trained)] for row in range(len(items))}, folder / "distractor_image_mapping.pt")


def _triplets(shared: Path, names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Of each picture that has an object a true caption, and one that denies the object."""
    said = _said(shared / "negbench", names)
    return [
        (
            name,
            {
                "json": {"caption": captions[0]},
                "sop_data": {"negative-prompt": f"a photo, but no {nouns[0]}", **_of(nouns[0])},
            },
        )
        for name, captions, nouns in zip(said["name"], said["captions"], said["positive_objects"], strict=True)
        if len(nouns)
    ]


def _of(noun: str) -> dict[str, str]:
    return {"sop_chosen_object": noun}


def _caltech101(shared: Path, folder: Path, names: list[str]) -> None:
    """Class folders: photographs by the first object that NegBench names."""
    said = _said(shared / "negbench", names)
    for name, nouns in zip(said["name"], said["positive_objects"], strict=True):
        own = folder / (nouns[0] if len(nouns) else "nothing").replace(" ", "_")
        own.mkdir(parents=True, exist_ok=True)
        (own / name).symlink_to(shared / "coco" / "val2017" / name)


def configs(root: Path) -> None:
    """A copy of the settings in ``root`` with an untrained model, few resamples, and short trainings in `paper`."""
    shutil.copytree(paths.ROOT / "configs", root)
    weights = root / "untrained.safetensors"
    torch.manual_seed(0)
    safetensors.torch.save_file(architectures.build(ARCHITECTURE).state_dict(), weights)
    entry = {"architecture": ARCHITECTURE, "path": str(weights), "sha256": files.sha256(weights)}
    entry |= {"activation": "quick_gelu", "source": "random weights"}
    told = "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())
    with (root / "models.toml").open("a", encoding="utf-8") as stream:
        stream.write(f"\n[{MODEL}]\n{told}size = {SIZE}\n")
    for name, changes in CHANGES.items():
        path = root / name
        path.write_text(changed(path.read_text(encoding="utf-8"), changes), encoding="utf-8")


def changed(text: str, changes: list[tuple[str, str, str]]) -> str:
    """TOML ``text`` with a setting of a section replaced, for each (section, setting, value)."""
    for section, key, value in changes:
        head = re.escape(f"[{section}]") if section else r"\A"
        pattern = rf"({head}(?:(?!\n\[).)*?\n{key} = )(\[[^\]]*\]|[^\n]*)"
        text, count = re.subn(pattern, rf"\g<1>{value}", text, count=1, flags=re.DOTALL)
        assert count == 1, (section, key)
    return text


_ONE = f'["{MODEL}"]'
CHANGES = {
    "paper.toml": [
        ("", "models", _ONE),
        ("world", "ccneg", f"{{ train = 16, val = 0, test = {EVALUATION} }}"),
        ("bootstrap", "resamples", "200"),
        ("finetuning", "examples", "32"),
        ("finetuning", "seeds", "[0]"),
        ("finetuning", "methods", '["plain", "con-clip", "negclip", "negationclip"]'),
        ("finetuning", "controls", '["negationclip-leaked"]'),
        ("finetuning", "control_models", _ONE),
        ("finetuning", "shares", "[0.0, 1.0]"),
        ("glasses", "small", "12"),
        ("glasses", "seeds", "[0]"),
        ("glasses", "rivals", '["plain", "con-clip", "negationclip"]'),
        ("glasses", "control_models", _ONE),
        ("glasses", "strengths", "8"),
        ("glasses", "probe_nouns", "8"),
    ],
    "finetune.toml": [
        *(("infonce.paper", key, value) for key, value in (("epochs", "1"), ("batch", "8"))),
        *(("con-clip.paper", key, value) for key, value in (("epochs", "1"), ("batch", "8"), ("warmup", "1"))),
    ],
    "glasses.toml": [
        ("paper", "gate", "{ lr = 1e-4, epochs = 1, batch = 64 }"),
        ("paper", "lens", "{ lr = 1e-3, epochs = 1, batch = 8 }"),
        ("paper", "frame", "{ lr = 1e-4, epochs = 1, batch = 8 }"),
        ("paper", "joint", "{ lr = 1e-3, epochs = 1, batch = 8 }"),
    ],
}
"""Settings of the dry run that differ from the published ones: amounts alone."""
