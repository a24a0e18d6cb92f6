"""NegBench's published numbers for CLIP-OpenAI (ViT-B/32), by variation and metric as in the table of notebook 03.

A published number stands beside ours for its direction alone: ours is made on the mini world by a small model.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from negutil import results

Number = tuple[float, str]
Numbers = dict[tuple[str, str], Number]


@cache
def numbers() -> Numbers:
    """(title of the variation, metric): (value as a fraction, where it is printed)."""
    found: Numbers = {}
    for row in _rows("negbench_mcq_breakdown.csv", "CLIP-OpenAI"):
        dataset, kind = row["column"].rsplit(" ", 1)
        found[f"{dataset} MCQ, paraphrased", f"accuracy on {kind.lower()}"] = (row["value"], _source(row))
    for row in _rows("negbench_mcq_total.csv", "CLIP-OpenAI"):
        found[f"{row['column'].removesuffix(' total')} MCQ, paraphrased", "accuracy"] = (row["value"], _source(row))
    rows = _rows("negbench_table1.csv", "CLIP | fine-tuned on None")
    value = {row["column"]: round(row["value"] / 100, 4) for row in rows}
    source = "NegBench, Table 1: CLIP"
    found["MSR-VTT MCQ, paraphrased", "accuracy"] = (value["MSR-VTT MCQ"], source)
    for dataset in ("COCO", "MSR-VTT"):
        plain, negated = (value[f"{dataset} {name}"] for name in ("R@5", "R-Neg@5"))
        found[f"{dataset} retrieval, plain", "recall@5"] = (plain, source)
        found[f"{dataset} retrieval, paraphrased", "recall@5"] = (negated, source)
        found[f"{dataset} retrieval, paraphrased", "drop of recall@5"] = (round(plain - negated, 4), source)
    return found


def of(title: str, metric: str) -> Number | None:
    """The published number for a variation ("COCO MCQ, paraphrased") and metric, or None."""
    return numbers().get((title, metric))


def _rows(name: str, clip: str) -> list[dict[str, Any]]:
    return [row for row in results.published_rows(name) if row["row"] == clip]


def _source(row: dict[str, Any]) -> str:
    return f"NegBench, {row['table']}: {row['row']}"
