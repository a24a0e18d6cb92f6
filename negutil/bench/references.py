"""What stands beside a model on its card: results of this repository's models, published numbers, or other cards.

A reference is given only where it was computed on the same items: for the mini world the committed results of the
profile mini, for published files the papers' numbers where the file is complete, and another card where the data have
the same digest. Whether a number is published is in its ``paper_source``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import files, results
from negutil.bench.run import FORMAT, NUMBERS, Card
from negutil.compare import engine, negbench
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.tasks import suite, valse

PUBLISHED, OTHER = "published", "other card"
METHODS = ("con-clip", "negationclip")
"""Fine-tunings of notebook 05 that stand beside a model, as means over their seeds."""

ALL_VALSE = f"{valse.TASK}, {valse.SETS[0]}"
SIZES = {
    "COCO MCQ, paraphrased": 5914,
    "COCO retrieval, plain": 25014,
    "COCO retrieval, paraphrased": 25014,
    ALL_VALSE: 534,
    suite.REFERRING: 440,
}
"""How many items the published numbers are about (protocols of the benchmarks, counted in the published files)."""

_TABLE1 = {
    "COCO R@5": ("COCO retrieval, plain", "recall@5"),
    "COCO R-Neg@5": ("COCO retrieval, paraphrased", "recall@5"),
    "COCO MCQ": ("COCO MCQ, paraphrased", "accuracy"),
}
_TABLE2 = {
    "VALSE existence": (ALL_VALSE, "pairwise accuracy"),
    "NegRefCOCOg": (suite.REFERRING, "accuracy"),
}
_TABLE1_ROWS = {
    "CLIP | fine-tuned on None": "CLIP",
    "CLIP | fine-tuned on CC12M-NegCap": "CLIP, NegCap",
    "CLIP | fine-tuned on CC12M-NegFull": "CLIP, NegFull",
    "NegCLIP | fine-tuned on None": "NegCLIP",
}
_ARCHITECTURES = {"ViT-B-32": "ViT-B/32", "ViT-B-16": "ViT-B/16", "ViT-L-14": "ViT-L/14"}
_ARCHITECTURES |= {"ViT-L-14-336": "ViT-L/14@336px"}


def of_world(profile: str, base: str) -> list[Record]:
    """The committed results of the two MiniCLIPs, and of METHODS on ``base``, in a profile of the mini world.

    Empty for a profile whose results are not there, as quick's.
    """
    try:
        tasks = results.load(profile, negbench.EXPERIMENT, "tasks")
        levels = results.load(profile, "05_negationclip", "levels")
    except NegutilError:
        return []
    plain = tasks[tasks["model"].str.startswith("miniclip")]
    wanted = {f"{task}/CLIP": (task, "") for task in _tasks(levels)}
    wanted |= {f"{task}/{method}": (task, method) for task in _tasks(levels) for method in METHODS}
    own = levels[levels["task"].isin(list(wanted))]
    return _records(plain) + [record for row in _rows(own) if (record := _level(row, wanted, base)) is not None]


def _tasks(levels: pd.DataFrame) -> list[str]:
    """The tasks of notebook 05 that ask the same items as here: its retrieval with negation has a query per picture."""
    names = levels["task"].str.rpartition("/")[0].unique()
    return [name for name in names if name != "COCO retrieval, paraphrased"]


def _level(row: dict[str, Any], wanted: dict[str, tuple[str, str]], base: str) -> Record | None:
    task, method = wanted[str(row["task"])]
    if (method and row["model"] != base) or (not method and task == "COCO MCQ, paraphrased"):
        return None
    model = f"{row['model']}+{method}, mean of its seeds" if method else str(row["model"])
    return _record(row | {"task": task, "model": model})


def published(card: Card) -> list[Record]:
    """The papers' numbers for the tasks of ``card`` that have all items of the published file.

    NegBench's are of ViT-B/32; NegationCLIP's of the card's architecture where the paper has it, else of ViT-B/32.
    CC-Neg has none: CLIPGlasses does not say of how many of its items Table 1 is.
    """
    files = {task["title"] for task in card.tasks if not task["world"]}
    whole = {record.task: record.n for record in card.records if (record.task, record.metric) in card.main}
    complete = {task for task, n in SIZES.items() if whole.get(task) == n and _is_of(task, files)}
    own = _ARCHITECTURES.get(str(card.model["architecture"]).removesuffix("-quickgelu"), "ViT-B/32")
    return [record for record in [*_table1(), *_table2(own)] if record.task in complete]


def _table1() -> list[Record]:
    """NegBench's Table 1."""
    rows = [row for row in _published_rows("negbench_table1.csv", _TABLE1) if row["row"] in _TABLE1_ROWS]
    return [_paper(row, *_TABLE1[row["column"]], f"{_TABLE1_ROWS[row['row']]} (ViT-B/32)", "NegBench") for row in rows]


def _table2(architecture: str) -> list[Record]:
    """NegationCLIP's Table 2 for one architecture."""
    rows = [row for row in _published_rows("negationclip_table2.csv", _TABLE2) if _of_architecture(row, architecture)]
    names = [f"{row['row'].rpartition(' | ')[2]} ({architecture})" for row in rows]
    return [_paper(row, *_TABLE2[row["column"]], name, "NegationCLIP") for row, name in zip(rows, names, strict=True)]


def _of_architecture(row: dict[str, Any], architecture: str) -> bool:
    return bool(row["row"].partition(" | ")[0] == architecture)


def _published_rows(name: str, columns: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
    return [row for row in engine.published_rows(name) if row["column"] in columns]


def _paper(row: dict[str, Any], task: str, metric: str, model: str, work: str) -> Record:
    """A number of a paper, printed in percent, as a fraction."""
    source = f"{work}, {row['table']}: {row['row']}"
    return Record(PUBLISHED, task, model, metric, round(row["value"] / 100, 4), SIZES[task], paper_source=source)


def of_cards(card: Card, folders: Iterable[Path]) -> list[Record]:
    """The numbers of other cards for the tasks whose data are the same as in ``card``.

    Raises NegutilError where a folder has no card.
    """
    own = {task["title"]: task["data_sha256"] for task in card.tasks}
    found: list[Record] = []
    for folder in folders:
        content = _read(folder / NUMBERS)
        same = {task["title"] for task in content["tasks"] if own.get(task["title"]) == task["data_sha256"]}
        if not same:
            raise NegutilError(f"{folder} has no task on the same data as this card; examine that model on them.")
        found += [_other(row) for row in content["records"] if _is_of(row["task"], same)]
    return found


def _is_of(task: str, titles: Iterable[str]) -> bool:
    return any(task == title or task.startswith(f"{title}, ") for title in titles)


def _other(row: dict[str, Any]) -> Record:
    return Record(**(row | {"experiment": OTHER}))


def _read(path: Path) -> dict[str, Any]:
    content = files.read_json(path, "give the folder of a card of `negutil bench`")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise NegutilError(f"{path} is no card of this version of `negutil bench`; make it again.")
    return content


def shown(card: Card, found: Iterable[Record]) -> list[Record]:
    """Those of ``found`` that stand beside a number of ``card``, and are of another model."""
    numbers = {(record.task, record.metric) for record in card.records}
    name = card.model["name"]
    return [record for record in found if (record.task, record.metric) in numbers and record.model != name]


def _records(frame: pd.DataFrame) -> list[Record]:
    return [_record(row) for row in _rows(frame)]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _record(row: dict[str, Any]) -> Record:
    """A record without the paper's number, which is about another world than the value."""
    low, high = (None if pd.isna(row[key]) else float(row[key]) for key in ("ci_low", "ci_high"))
    columns: dict[str, Any] = {key: str(row[key]) for key in ("experiment", "task", "model", "metric")}
    over = "" if low is None else str(row["ci_over"])
    return Record(**columns, value=float(row["value"]), n=int(row["n"]), ci_low=low, ci_high=high, ci_over=over)
