"""What a card compares its model with: results of this repository's models, published numbers, or other cards.

A reference is given only where it was computed on the same items: for the mini world the committed results of the
profile mini, for published files the papers' numbers where the file is complete, and another card where the data have
the same digest. Whether a number is published is in its ``paper_source``.
"""

import dataclasses
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import files, results, statistics
from negutil.bench import run
from negutil.bench.run import FORMAT, NUMBERS, Card
from negutil.bench.sources import Unit
from negutil.compare import negbench
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.tasks import find

PUBLISHED, OTHER = "published", "other card"
DIFFERENCE = "share of right answers, difference"
METHODS = ("con-clip", "negationclip")
"""Fine-tuned models of notebook 05 to compare with, as means over their seeds."""

_NEGBENCH_ROWS = {
    "CLIP | fine-tuned on None": "CLIP",
    "CLIP | fine-tuned on CC12M-NegCap": "CLIP, NegCap",
    "CLIP | fine-tuned on CC12M-NegFull": "CLIP, NegFull",
    "NegCLIP | fine-tuned on None": "NegCLIP",
}
_ARCHITECTURES = {"ViT-B-32": "ViT-B/32", "ViT-B-16": "ViT-B/16", "ViT-L-14": "ViT-L/14"}
_ARCHITECTURES |= {"ViT-L-14-336": "ViT-L/14@336px"}


def added(card: Card, units: Sequence[Unit], out: Path, folders: Sequence[Path], *, profile: str, model: str) -> Card:
    """``card`` of ``model``, whose answers are in ``out``, with all that it is compared with.

    ``folders`` are other cards; ``profile`` is the mini world's, if that is part of the card. Raises NegutilError if a
    folder has no card on the same data.
    """
    found = of_cards(card, folders)
    if any(task["world"] for task in card.tasks):
        base = model.partition("+")[0]
        found += of_world(profile, base if base.startswith("miniclip") else "miniclip-b-8")
    found += published(card)
    gains = differences(card, units, out, folders)
    return dataclasses.replace(card, references=shown(card, found), differences=gains)


def of_world(profile: str, base: str) -> list[Record]:
    """The committed results of the two MiniCLIPs, and of METHODS on ``base``, in a profile of the mini world.

    Empty for a profile whose results are missing, as quick's.
    """
    try:
        tasks = results.load(profile, negbench.EXPERIMENT, "tasks")
        levels = results.load(profile, "05_negationclip", "levels")
    except NegutilError:
        return []
    plain = tasks[tasks["model"].str.startswith("miniclip")]
    # Notebook 05's retrieval with negation has a query per image, so it asks other items than here.
    names = [name for name in levels["task"].str.rpartition("/")[0].unique() if name != "COCO retrieval, paraphrased"]
    found = [_record(row) for row in plain.to_dict("records")]
    for row in levels.to_dict("records"):
        name, _, method = row["task"].rpartition("/")
        if name not in names or method not in ("CLIP", *METHODS):
            continue
        if method == "CLIP" and name != "COCO MCQ, paraphrased":
            found.append(_record(row | {"task": name}))
        elif method != "CLIP" and row["model"] == base:
            found.append(_record(row | {"task": name, "model": f"{base}+{method}, mean of its seeds"}))
    return found


def published(card: Card) -> list[Record]:
    """The papers' numbers for the tasks of ``card`` that have all items of the published file.

    NegBench's are of ViT-B/32; NegationCLIP's of the card's architecture where the paper has it, else of ViT-B/32.
    CC-Neg has none: CLIPGlasses does not say about how many of its items Table 1 is.
    """
    own = {each["title"] for each in card.tasks if not each["world"]}
    whole = {record.task: record.n for record in card.records if (record.task, record.metric) in card.main}
    known = [
        each
        for every in find().values()
        for each in every.published
        if whole.get(each.task) == each.n and _is_of(each.task, own)
    ]
    architecture = _ARCHITECTURES.get(str(card.model["architecture"]).removesuffix("-quickgelu"), "ViT-B/32")
    found: list[Record] = []
    for table in dict.fromkeys(each.table for each in known):
        columns = {each.column: each for each in known if each.table == table}
        for row in results.published_rows(table):
            model = _model(row["row"], architecture)
            if row["column"] in columns and model:
                each, work = columns[row["column"]], "NegationCLIP" if "negationclip" in table else "NegBench"
                source, value = f"{work}, {row['table']}: {row['row']}", round(row["value"] / 100, 4)
                found.append(Record(PUBLISHED, each.task, model, each.metric, value, each.n, paper_source=source))
    return found


def _model(row: str, architecture: str) -> str:
    """What the model of a row is called on the card; "" if it is not compared with this architecture."""
    if row in _NEGBENCH_ROWS:
        return f"{_NEGBENCH_ROWS[row]} (ViT-B/32)"
    return f"{row.rpartition(' | ')[2]} ({architecture})" if row.partition(" | ")[0] == architecture else ""


def of_cards(card: Card, folders: Iterable[Path]) -> list[Record]:
    """The numbers of other cards for the tasks whose data are the same as in ``card``.

    Raises NegutilError if a folder has no card.
    """
    own = {task["title"]: task["data_sha256"] for task in card.tasks}
    found: list[Record] = []
    for folder in folders:
        content = files.read_json(folder / NUMBERS, "give the folder of a card of `negutil bench`")
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise NegutilError(f"{folder / NUMBERS} is not a card of this version of `negutil bench`: make it again.")
        same = {task["title"] for task in content["tasks"] if own.get(task["title"]) == task["data_sha256"]}
        if not same:
            raise NegutilError(
                f"{folder} has no task on the same data as this card: evaluate that model on these data."
            )
        found += [Record(**(row | {"experiment": OTHER})) for row in content["records"] if _is_of(row["task"], same)]
    return found


def differences(card: Card, units: Sequence[Unit], out: Path, folders: Sequence[Path]) -> list[Record]:
    """How much more often the model of ``card``, in ``out``, is right than those of other cards, item by item.

    One record for each of ``folders`` and each task that both answered on the same data: the mean of the paired
    differences with its interval, for which images are resampled with all their items.
    """
    if not folders:
        return []
    found, answered = [], [run.load(out, unit) for unit in units]
    for folder in folders:
        other = files.read_json(folder / NUMBERS)["model"]["name"]
        for unit, own in zip(units, answered, strict=True):
            theirs = run.load(folder, unit)
            titles = own.frames.keys() & theirs.frames.keys() if own and theirs else ()
            for title in sorted(titles):
                first, second = (kept.frames[title].set_index("item") for kept in (own, theirs) if kept)
                own_right, their_right = (
                    frame["right"].reindex(first.index).to_numpy(dtype=float) for frame in (first, second)
                )
                clusters = first["cluster"].to_numpy() if first["cluster"].duplicated().any() else None
                gain = statistics.paired_bootstrap(
                    own_right, their_right, clusters, unit.bootstrap.resamples, unit.bootstrap.seed
                )
                model = f"{card.model['name']} minus {other}"
                found.append(Record.of(gain, experiment=OTHER, task=title, model=model, metric=DIFFERENCE))
    return found


def _is_of(task: str, titles: Iterable[str]) -> bool:
    return any(task == title or task.startswith(f"{title}, ") for title in titles)


def shown(card: Card, found: Iterable[Record]) -> list[Record]:
    """The records in ``found`` that match a number of ``card`` and come from another model."""
    numbers = {(record.task, record.metric) for record in card.records}
    name = card.model["name"]
    return [record for record in found if (record.task, record.metric) in numbers and record.model != name]


def _record(row: Mapping[Hashable, Any]) -> Record:
    """A record without the paper's number, which is about another world than the value."""
    low, high = (None if pd.isna(row[key]) else float(row[key]) for key in ("ci_low", "ci_high"))
    columns: dict[str, Any] = {key: str(row[key]) for key in ("experiment", "task", "model", "metric")}
    over = "" if low is None else str(row["ci_over"])
    return Record(**columns, value=float(row["value"]), n=int(row["n"]), ci_low=low, ci_high=high, ci_over=over)
