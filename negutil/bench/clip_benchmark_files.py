"""The numbers of a card in the fields of LAION's CLIP_benchmark, whose ``clip_benchmark build`` merges such files."""

import json
import math
import re
from pathlib import Path
from typing import Any

from negutil import files
from negutil.bench.run import Card
from negutil.tasks import pairwise, zero_shot

LANGUAGE = "en"
RETRIEVAL, CLASSIFICATION, SELECTION = "zeroshot_retrieval", "zeroshot_classification", "image_caption_selection"
METRICS = {f"recall@{k}": f"image_retrieval_recall@{k}" for k in (1, 5, 10)}
METRICS |= {"accuracy": "acc", pairwise.METRIC: "acc"}
METRICS |= {zero_shot.TOP_1: "acc1", zero_shot.PER_CLASS: "mean_per_class_recall"}
"""What CLIP_benchmark calls our metrics; those that it does not have keep their names."""


def entries(card: Card, pretrained: str) -> list[dict[str, Any]]:
    """Return one entry per task: dataset, model (the architecture), pretrained, task, metrics, language."""
    found = []
    for title in dict.fromkeys(record.task for record in card.records):
        own = {record.metric: record.value for record in card.records if record.task == title}
        own = {name: value for name, value in own.items() if not math.isnan(value)}
        is_retrieval = any(name.startswith("recall@") for name in own)
        classified = CLASSIFICATION if zero_shot.PER_CLASS in own else SELECTION
        entry = {"dataset": title, "model": str(card.model["architecture"]), "pretrained": pretrained}
        entry |= {"task": RETRIEVAL if is_retrieval else classified, "language": LANGUAGE}
        found.append(entry | {"metrics": {METRICS.get(name, name): value for name, value in own.items()}})
    return found


def write(card: Card, folder: Path, pretrained: str) -> list[Path]:
    """Write one JSON file per task into ``folder``, named as CLIP_benchmark names them; returns their paths."""
    written = []
    for entry in entries(card, pretrained):
        parts = (entry[name] for name in ("dataset", "pretrained", "model", "language", "task"))
        name = "_".join(re.sub(r"[^A-Za-z0-9_.@+-]+", "-", str(part)).strip("-") for part in parts)
        written.append(folder / f"{name}.json")
        files.write_text(written[-1], json.dumps(entry, indent=1) + "\n")
    return written
