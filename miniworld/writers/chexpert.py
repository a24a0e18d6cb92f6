"""Radiograph-like images as CheXpert: ``train.csv`` and ``valid.csv`` with the official columns.

Stands for CheXpert in NegBench's medical questions. Patients and studies are numbered from one; each has one frontal
image. A finding is 1.0 where present. An absent one is 0.0, or empty in half of the cases in ``train.csv``, where
CheXpert's labels come from reports that do not speak of everything; ``valid.csv`` states every finding, as theirs does.

See docs/protocols.md#medical.
"""

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
    """Fill ``folder`` with ``CheXpert-v1.0-small/``: a CSV per split and the images; returns rows by file."""
    rows: dict[str, list[str]] = {}
    items = _shared.draw_all("chexpert", sizes, seed, radiographs.sample, radiographs.draw)
    for number, (split, index, item, pixels) in enumerate(items, start=1):
        name = f"{ROOT}/{FILES[split]}/patient{number:05d}/study1/view1_frontal.jpg"
        _shared.write_picture(folder / name, pixels)
        rng = random.Random(f"chexpert/{split}/{seed}/{index}/patient")
        # Sex and age are made up, since nothing in the image depends on them.
        row = [name, rng.choice(("Female", "Male")), str(rng.randint(18, 90)), "Frontal", item.view[-2:]]
        for present in item.labels.values():
            unsaid = rng.random() < UNSAID
            row.append("1.0" if present else "" if split == "train" and unsaid else "0.0")
        rows.setdefault(FILES[split], [",".join(COLUMNS)]).append(",".join(row))
    for name, lines in rows.items():
        _shared.write_lines(folder / ROOT / f"{name}.csv", lines)
    return {name: len(lines) - 1 for name, lines in rows.items()}
