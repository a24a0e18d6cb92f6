"""Radiograph-like pictures as CheXpert: ``train.csv`` and ``valid.csv`` with the official columns.

Stands for CheXpert in NegBench's medical questions. Patients and studies are numbered from one; each has one frontal
picture. A finding is 1.0 where present. An absent one is 0.0, or empty in half of the cases in ``train.csv``, where
CheXpert's labels come from reports that do not speak of everything; ``valid.csv`` states every finding, as theirs does.

See docs/protocols.md#medical.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

from miniworld import radiographs
from miniworld.radiographs import CHEXPERT_FINDINGS
from miniworld.writers import _shared
from negutil.config import Splits

COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_FINDINGS)
ROOT = "CheXpert-v1.0-small"
FILES = {"train": "train", "val": "valid", "test": "test"}
UNSAID = 0.5


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Fill ``folder`` with ``CheXpert-v1.0-small/``: a CSV per split and the pictures; returns rows by file."""
    root = folder / ROOT
    rows: dict[str, list[list[str]]] = {}
    items = _shared.draw_all("chexpert", sizes, seed, radiographs.sample, radiographs.draw)
    for number, (split, index, item, pixels) in enumerate(items, start=1):
        path = root / FILES[split] / f"patient{number:05d}" / "study1" / "view1_frontal.jpg"
        path.parent.mkdir(parents=True)
        _shared.write_picture(path, pixels)
        rng = random.Random(f"chexpert/{split}/{seed}/{index}/patient")
        # Sex and age are made up, since nothing in the picture depends on them.
        sex, age = rng.choice(("Female", "Male")), rng.randint(18, 90)
        row = [path.relative_to(folder).as_posix(), sex, str(age), "Frontal", item.view.removeprefix("frontal ")]
        for present in item.labels.values():
            unsaid = rng.random() < UNSAID
            row.append("1.0" if present else "" if split == "train" and unsaid else "0.0")
        rows.setdefault(FILES[split], []).append(row)
    for name, lines in rows.items():
        with (root / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([COLUMNS, *lines])
    return {name: len(lines) for name, lines in rows.items()}
