"""The published numbers that stand beside those of notebook 05: NegationCLIP's Tables 2 and 3, and NegBench's Table 1.

All are of CLIP ViT-B/32, the smallest that the papers report; ours are of small models in a drawn world.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from negutil import files, paths
from negutil.compare import negationclip_items as asked
from negutil.compare import negationclip_numbers as numbers
from negutil.tasks import suite
from negutil.train import recipes_negation as recipes

ARCHITECTURE = "ViT-B/32"
CLIP = ""
Number = tuple[float, str]

_TITLES = {
    "VALSE existence": numbers.ALL_ITEMS,
    "NegRefCOCOg": suite.REFERRING,
    "ImageNet": suite.IMAGENET,
    "COCO": suite.COCO,
}
_METHODS = {
    "CLIP": CLIP,
    "CLIP-bnl": "clip-bnl",
    "CoN-CLIP": "con-clip",
    "NegationCLIP": recipes.NEGATIONCLIP,
    "Original": CLIP,
    "Rand-P1": recipes.RANDOM,
    "P1": recipes.P1,
    "P2": recipes.P2,
    "P1+P2": recipes.NEGATIONCLIP,
}
_NEGBENCH_COLUMNS = {"COCO R@5": suite.COCO, "COCO R-Neg@5": asked.NEGATED_RETRIEVAL, "COCO MCQ": asked.MCQ}
_NEGBENCH_ROWS = {
    "CLIP | fine-tuned on None": CLIP,
    "CLIP | fine-tuned on CC12M": recipes.PLAIN,
    "CLIP | fine-tuned on CC12M-NegCap": recipes.NEGCAP,
    "CLIP | fine-tuned on CC12M-NegFull": recipes.NEGFULL,
    "NegCLIP | fine-tuned on None": "negclip",
}


@cache
def published() -> dict[tuple[str, str], Number]:
    """(title of the benchmark, method): (value as a fraction, where it is printed). The method of CLIP is ""."""
    found = _negbench()
    for number in (3, 2):
        for row in _rows(f"negationclip_table{number}.csv"):
            architecture, _, method = row["row"].partition(" | ")
            if architecture == ARCHITECTURE:
                source = f"NegationCLIP, Table {number}: {row['row']}"
                found[_TITLES[row["column"]], _METHODS[method]] = (round(row["value"] / 100, 4), source)
    return found


def _negbench() -> dict[tuple[str, str], Number]:
    return {
        (_NEGBENCH_COLUMNS[row["column"]], _NEGBENCH_ROWS[row["row"]]): (
            round(row["value"] / 100, 4),
            f"NegBench, Table 1: {row['row']}",
        )
        for row in _rows("negbench_table1.csv")
        if row["column"] in _NEGBENCH_COLUMNS and row["row"] in _NEGBENCH_ROWS
    }


def _rows(name: str) -> list[dict[str, Any]]:
    return [
        {str(key): value for key, value in row.items()}
        for row in files.read_csv(paths.CONFIGS / "published" / name).to_dict("records")
    ]
