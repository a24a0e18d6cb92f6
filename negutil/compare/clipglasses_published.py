"""The published numbers that stand beside those of notebook 06: CLIPGlasses' Tables 1 to 3 and its authors' logs.

All are of CLIP ViT-B/32. Table 1 mixes evaluations: NegCLIP's multiple choice is from before NegBench's correction of
March 2025 (28.7 % after it), the rows of CLIPGlasses are of pictures without CLIP's mean and standard deviation, and a
log gives 40.0 % and 89.4 % for the weights of a later model (docs/protocols.md#glasses-evaluation).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas as pd

from negutil import files, paths
from negutil.compare import negationclip_items as asked
from negutil.tasks import suite

ARCHITECTURE = "ViT-B/32"
ACCURACY, FAR = "accuracy", "FAR"
Number = tuple[float, str]

_TITLES = {
    "CC-Neg-val": suite.CCNEG,
    "Neg-COCO-MCQ": asked.MCQ,
    "ImageNet": suite.IMAGENET,
    "Caltech101": suite.CALTECH101,
}
_ROWS = {
    "NegCLIP | trained on COCO-caption (82K/31K images/captions)": "negclip",
    "CoN-CLIP | trained on CC-Neg (188K/376K images/captions)": "con-clip",
    "CLIPGlasses | trained on CC-Neg (188K/376K images/captions)": "glasses-ccneg",
    "CoN-CLIP | trained on Neg-COCO-R (5K/22K images/captions)": "fine-tuned-retrieval",
    "CLIPGlasses | trained on Neg-COCO-R (5K/22K images/captions)": "glasses-retrieval",
    "Vanilla CLIP | -": "",
    "CoN-CLIP | CC-Neg": "con-clip",
    "CLIPGlasses | Neg-COCO-R": "glasses-retrieval",
    "CLIPGlasses | CC-Neg": "glasses-ccneg",
}
_ABLATIONS = {
    "w/o Syntax Stream": "without syntactic stream",
    "w/o Semantic Stream": "without semantic stream",
    "w/o Residual Gating": "without residual gate",
    "w/o Cross-modal": "without cross-modal context",
    "w/o Repulsion weight": "without repulsion weight",
    "Full Model": "full",
}


@cache
def published() -> dict[tuple[str, str], Number]:
    """(title of the benchmark, method): (value as a fraction, where it is printed); the method of CLIP is ""."""
    return {
        (_TITLES[row["column"]], _ROWS[row["row"]]): (round(row["value"] / 100, 4), _source(row))
        for number in (1, 2)
        for row in _rows(f"clipglasses_table{number}.csv")
    }


@cache
def ablations() -> dict[tuple[str, str], Number]:
    """(variant, ACCURACY or FAR): (accuracy as a fraction or FAR in logits, where it is printed)."""
    found: dict[tuple[str, str], Number] = {}
    for row in _rows("clipglasses_table3.csv"):
        if row["column"] == "Acc":
            found[_ABLATIONS[row["row"]], ACCURACY] = (round(row["value"] / 100, 4), _source(row))
        elif row["column"] == "FAR":
            found[_ABLATIONS[row["row"]], FAR] = (row["value"], _source(row))
    return found


def logs() -> pd.DataFrame:
    """What the authors' development repository logs of other weights and settings: row, column, metric, value, unit."""
    table = files.read_csv(paths.CONFIGS / "published" / "clipglasses_logs.csv")
    return table[["row", "column", "metric", "value", "unit"]]


def _source(row: dict[str, Any]) -> str:
    return f"CLIPGlasses, {row['table']}: {row['row'].partition(' (')[0]}"


def _rows(name: str) -> list[dict[str, Any]]:
    return [
        {str(key): value for key, value in row.items()}
        for row in files.read_csv(paths.CONFIGS / "published" / name).to_dict("records")
    ]
