"""Notebook 03: NegBench's 18 task variations for every model, with chance and blind baselines.

Every caption is a query of its own, options are shuffled, ties lose, and pictures are resampled with all their captions
or questions. The claims and their tests are in configs/claims.toml; ``negutil.compare.negation_beyond`` has the
tasks that the paper lacks.

See docs/protocols.md#negbench.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from negutil import results, statistics, tables
from negutil.captions import phrasing
from negutil.compare import engine
from negutil.compare.engine import Number
from negutil.config import Profile
from negutil.models import loader, scorer
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Scorer
from negutil.results import Record
from negutil.statistics import Floats, Interval
from negutil.tasks import blind, mcq, negbench_items, retrieval
from negutil.tasks.negbench_items import Media, Queries, Rows, Task

EXPERIMENT = "03_negbench"
KS = (1, 5, 10)
CHANCE, BLIND = "chance", "blind: "
FEWEST = 10
"""A way to negate that fewer questions have is not given a row of its own."""

DIFFERENCES = (("hybrid", "negative"), ("positive", "hybrid"))
PUBLISHED = "CLIP-OpenAI, published"


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves: ``table`` (records of all variations), ``items`` (a row per query or question and model)."""

    table: pd.DataFrame
    items: pd.DataFrame
    phrasings: pd.DataFrame
    scaling: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Resampling:
    """How often, and from which seed, intervals resample."""

    resamples: int
    seed: int

    @property
    def arguments(self) -> dict[str, int]:
        """As keyword arguments of the functions that make intervals."""
        return {"resamples": self.resamples, "seed": self.seed}


def run(settings: Profile, tasks: Sequence[Task], seed: int = 0) -> Findings:
    """Examine every model of the profile on ``tasks`` (``negbench_items.load_all``).

    Writes the tables ``tasks``, ``phrasings`` and ``scaling``, and each model's per-item scores. ``seed`` moves the
    order of the options and the resamples. Raises NegutilError where a model is missing or gives a score that is not
    finite.
    """
    resampling = Resampling(settings.bootstrap.resamples, settings.bootstrap.seed + seed)
    records = [record for task in tasks for record in baselines(task, resampling)]
    every: list[pd.DataFrame] = []
    sizes: dict[str, int] = {}
    for name in settings.models:
        model = loader.load(name)
        sizes[name] = sum(weights.numel() for weights in model.model.parameters())
        own = score(model, tasks, settings.encode.batch, seed)
        records += judge(own, tasks, name, resampling)
        results.save_items(slim(own), settings.name, EXPERIMENT, f"items_{name}")
        every.append(own.assign(model=name))
    items = pd.concat(every, ignore_index=True)
    ways, gains = phrasings(items, tasks, resampling), scaling(items, sizes, resampling)
    found = {"tasks": records, "phrasings": ways, "scaling": gains}
    for name, rows in found.items():
        if rows:
            results.save(rows, settings.name, EXPERIMENT, name, seed=seed)
    return Findings(_frame(records), items, _frame(ways), _frame(gains))


# --------------------------------------------------------------------------------------------------------------------
# Scores


def score(
    model: LoadedModel | Scorer, tasks: Sequence[Task], batch: int, seed: int = 0, media: Media | None = None
) -> pd.DataFrame:
    """Per-item scores of one model: a row per query (its rank) or question (what was chosen) of every variation.

    Every different picture, clip and text of all variations is encoded once; ``media`` spares encoding pictures and
    clips that are encoded already. Columns: variation, item, picture (as the file calls it), text (the query, or the
    right option), rank (retrieval) and those of ``mcq.items``. Raises NegutilError for a score that is not finite,
    naming the item.
    """
    reader = scorer.of(model, batch)
    if media is None:
        media = negbench_items.encode_media(reader.tower, (path for task in tasks for path in task.media), batch)
    reader.remember(list(dict.fromkeys(text for task in tasks for text in task.texts)))
    parts = []
    for task in tasks:
        images = media.of(task.media)
        if isinstance(task, Queries):
            ranks = retrieval.ranks_by(reader, task.captions, images, task.rows)
            items = pd.DataFrame({"item": np.arange(len(ranks)), "text": task.captions, "rank": ranks})
        else:
            values = mcq.scores_by(reader, task.options, images[task.rows])
            kinds = mcq.HARD_NEGATIVES if task.variation.dataset == "HardNeg-Syn" else None
            right = [texts[index] for texts, index in zip(task.options, task.correct, strict=True)]
            items = mcq.items(values, task.correct, task.types, seed, kinds=kinds).assign(text=right)
        parts.append(items.assign(variation=task.variation.title, picture=np.array(task.names)[task.rows]))
    return pd.concat(parts, ignore_index=True)


def slim(items: pd.DataFrame) -> pd.DataFrame:
    """The items as they are saved: without texts (the files have them), in small types."""
    kept = items.drop(columns="text").astype({"variation": "category", "picture": "category", "type": "category"})
    small = {"item": "int32", "rank": "Int32", "correct": "Int8", "chosen": "Int8", "shown_at": "Int8"}
    return kept.astype(small | {"chosen_type": "category", "margin": "float32", "right": "boolean"})


# --------------------------------------------------------------------------------------------------------------------
# Numbers


def judge(items: pd.DataFrame, tasks: Sequence[Task], model: str, resampling: Resampling) -> list[Record]:
    """The records of one model for all variations, drops included."""
    own = {str(title): part for title, part in items.groupby("variation", sort=False)}
    records: list[Record] = []
    for task in tasks:
        title = task.variation.title
        part, pictures = own[title], own[title]["picture"].to_numpy()
        if isinstance(task, Queries):
            recalls = retrieval.recall(part["rank"].to_numpy(int), pictures, KS, **resampling.arguments)
            found = {f"recall@{k}": interval for k, interval in recalls.items()}
        else:
            shares = mcq.accuracy(part, pictures, **resampling.arguments)
            found = {metric_of(kind): interval for kind, interval in shares.items()}
            for first, second in DIFFERENCES:
                if {first, second} <= set(part["type"]):
                    gap = mcq.difference(part, first, second, pictures, **resampling.arguments)
                    found[f"{first} minus {second}"] = gap
        unnegated = "plain" if isinstance(task, Queries) else "affirmation"
        plain = own.get(f"{task.variation.dataset} {task.variation.task}, {unnegated}")
        if plain is not None and plain is not part:
            found |= _drops(task, plain, part, resampling)
        for metric, interval in found.items():
            value, source = numbers().get((title, metric), (None, ""))
            columns = {"task": title, "model": model, "metric": metric, "paper_value": value, "paper_source": source}
            records.append(Record.of(interval, experiment=EXPERIMENT, **columns))
    return records


def metric_of(kind: str) -> str:
    """The metric's name for what ``mcq.accuracy`` gives under ``kind``."""
    return {"total": "accuracy", "macro": "accuracy, macro average"}.get(kind, f"accuracy on {kind}")


def _drops(task: Task, plain: pd.DataFrame, negated: pd.DataFrame, resampling: Resampling) -> dict[str, Interval]:
    """How much worse a model is with negation: recall against plain captions, CheXpert against affirmation.

    Pictures are resampled with the captions of both. In HardNeg-Syn only half of the pictures have a plain caption, so
    there the two recalls are means over other pictures.
    """
    both = pd.concat([plain.assign(type="plain"), negated.assign(type="negated")])
    pictures = both["picture"].to_numpy()
    found = {}
    for k in KS if isinstance(task, Queries) else ():
        right = both.assign(right=both["rank"] <= k)
        drop = mcq.difference(right, "plain", "negated", pictures, **resampling.arguments)
        found[f"drop of recall@{k}"] = dataclasses.replace(drop, n=len(negated))
    if not isinstance(task, Queries):
        drop = mcq.difference(both, "plain", "negated", pictures, **resampling.arguments)
        found["drop of accuracy"] = drop
    return found


def baselines(task: Task, resampling: Resampling) -> list[Record]:
    """Chance, and how far rules and a classifier get that read the options and never see a picture.

    A rule that cannot decide loses, like any tie. The bag of words is left out where there are fewer than 20 questions.

    See docs/protocols.md#shortcuts.
    """
    title = task.variation.title
    if isinstance(task, Queries):
        guess = [(f"recall@{k}", blind.chance_recall(len(task.media), k)) for k in KS]
        return [Record(EXPERIMENT, title, CHANCE, metric, value, len(task.rows)) for metric, value in guess]
    records = [Record(EXPERIMENT, title, CHANCE, "accuracy", 1 / len(task.options[0]), len(task.options))]
    classify = len(task.options) >= 2 * FEWEST
    scorers = blind_scorers(task.options, task.correct, task.rows, classify=classify)
    return records + blind_records(title, scorers, task.correct, task.types, task.rows, resampling)


def blind_scorers(
    options: Sequence[Sequence[str]], correct: Rows, clusters: ArrayLike, *, classify: bool = True, seed: int = 0
) -> dict[str, Floats]:
    """What every rule and, with ``classify``, the bag of words make of the options: preferences [N, K] by name."""
    scorers = {rule: blind.preferences(rule, options) for rule in blind.RULES}
    if classify:
        scorers[blind.BAG_OF_WORDS] = blind.bag_of_words_preferences(options, correct, clusters, seed)
    return scorers


def blind_records(  # noqa: PLR0917
    title: str,
    scorers: dict[str, Floats],
    correct: Rows,
    types: list[str] | None,
    clusters: ArrayLike,
    resampling: Resampling,
) -> list[Record]:
    """The accuracies of ``blind_scorers`` in total and by type, with intervals over ``clusters``."""
    records: list[Record] = []
    for rule, values in scorers.items():
        found = mcq.accuracy(mcq.items(values, correct, types), clusters, **resampling.arguments)
        columns = {"experiment": EXPERIMENT, "task": title, "model": BLIND + rule}
        records += [Record.of(interval, metric=metric_of(kind), **columns) for kind, interval in found.items()]
    return records


def phrasings(items: pd.DataFrame, tasks: Sequence[Task], resampling: Resampling) -> list[Record]:
    """Accuracy by question type and recall@5 by how the right option, or the query, negates, for every variation.

    The task is "<variation>/<type>/<factor> <level>", where factors are those of ``phrasing``; levels with fewer than
    FEWEST items are left out.
    """
    records: list[Record] = []
    negated = [task.variation.title for task in tasks if task.variation.wording in ("templated", "paraphrased")]
    chosen = items[items["variation"].isin(negated)]
    for (model, title, kind), part in chosen.groupby(["model", "variation", "type"], sort=False, dropna=False):
        queries = part["rank"].notna().all()
        right = part["rank"] <= 5 if queries else part["right"].astype(bool)
        group = title if queries else f"{title}/{kind}"
        found = phrasing.shares(right, part["text"].tolist(), part["picture"].to_numpy(), **resampling.arguments)
        for row in found[found["n"] >= FEWEST].to_dict("records"):
            interval = engine.interval_of(row)
            way = f"{group}/{row['factor'].replace('_', ' ')} {row['level'] or 'none'}"
            metric = "recall@5" if queries else "accuracy"
            records.append(Record.of(interval, experiment=EXPERIMENT, task=way, model=model, metric=metric))
    return records


def scaling(items: pd.DataFrame, sizes: dict[str, int], resampling: Resampling) -> list[Record]:
    """What a larger model gains over the smallest one in multiple choice, question by question."""
    smallest, *larger = sorted(sizes, key=lambda name: sizes[name])
    answers = items[items["right"].notna()]
    records: list[Record] = []
    for title, part in answers.groupby("variation", sort=False):
        own = {str(name): rows for name, rows in part.groupby("model", sort=False)}
        for name in larger:
            gain = statistics.paired_bootstrap(
                own[name]["right"].to_numpy(float),
                own[smallest]["right"].to_numpy(float),
                own[name]["picture"].to_numpy(),
                **resampling.arguments,
            )
            task = f"{title}/over {smallest}"
            records.append(Record.of(gain, experiment=EXPERIMENT, task=task, model=name, metric="gain in accuracy"))
    return records


def _frame(records: Sequence[Record]) -> pd.DataFrame:
    return pd.DataFrame([dataclasses.asdict(record) for record in records])


# --------------------------------------------------------------------------------------------------------------------
# Published numbers of CLIP-OpenAI (ViT-B/32)


@cache
def numbers() -> dict[tuple[str, str], Number]:
    """(title of the variation, metric): (value as a fraction, where it is printed).

    They stand beside ours for their direction alone: ours are made on the mini world by a small model.
    """
    found: dict[tuple[str, str], Number] = {}
    for row in _of_clip("negbench_mcq_breakdown.csv", "CLIP-OpenAI"):
        dataset, kind = row["column"].rsplit(" ", 1)
        found[f"{dataset} MCQ, paraphrased", f"accuracy on {kind.lower()}"] = (row["value"], _source(row))
    for row in _of_clip("negbench_mcq_total.csv", "CLIP-OpenAI"):
        found[f"{row['column'].removesuffix(' total')} MCQ, paraphrased", "accuracy"] = (row["value"], _source(row))
    # Table 1 has recall, of which the drop from plain to negated captions follows, and MSR-VTT's accuracy.
    rows = _of_clip("negbench_table1.csv", "CLIP | fine-tuned on None")
    value, source = {row["column"]: round(row["value"] / 100, 4) for row in rows}, "NegBench, Table 1: CLIP"
    found["MSR-VTT MCQ, paraphrased", "accuracy"] = (value["MSR-VTT MCQ"], source)
    for dataset in ("COCO", "MSR-VTT"):
        plain, negated = (value[f"{dataset} {name}"] for name in ("R@5", "R-Neg@5"))
        found[f"{dataset} retrieval, plain", "recall@5"] = (plain, source)
        found[f"{dataset} retrieval, paraphrased", "recall@5"] = (negated, source)
        found[f"{dataset} retrieval, paraphrased", "drop of recall@5"] = (round(plain - negated, 4), source)
    return found


def _of_clip(name: str, clip: str) -> list[dict[str, Any]]:
    return [row for row in engine.published_rows(name) if row["row"] == clip]


def _source(row: dict[str, Any]) -> str:
    return engine.source("NegBench", row)


# --------------------------------------------------------------------------------------------------------------------
# For the notebook


def overview(table: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """All variations in one table: a row each, with every model's main number, the best blind rule, chance and n.

    The main number is recall@5 in retrieval and accuracy elsewhere.
    """
    main = table[table["metric"].isin(("recall@5", "accuracy"))]
    rows = []
    for title, part in main.groupby("task", sort=False):
        own = {str(record["model"]): record for record in part.to_dict("records")}
        blinds = {name.removeprefix(BLIND): own[name]["value"] for name in own if name.startswith(BLIND)}
        best = max(blinds, key=lambda rule: blinds[rule]) if blinds else ""
        paper = own[models[0]]["paper_value"]
        triples = {name: [own[name][key] for key in ("value", "ci_low", "ci_high")] for name in models}
        rows.append(
            {
                "variation": title,
                "metric": own[CHANCE]["metric"],
                "n": own[models[0]]["n"],
                **{name: tables.with_interval(*triple) for name, triple in triples.items()},
                "chance": own[CHANCE]["value"],
                "best blind rule": f"{blinds[best]:.3f} ({best})" if best else "",
                PUBLISHED: "" if pd.isna(paper) else f"{paper:.3f}",
            }
        )
    return pd.DataFrame(rows)


def _with_published(rows: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """The rows of ``models`` and, after them, CLIP-OpenAI's published numbers as those of a model."""
    paper = rows.dropna(subset="paper_value").drop_duplicates(["task", "metric"])
    paper = paper.assign(model=PUBLISHED, value=paper["paper_value"], ci_low=None, ci_high=None)
    return pd.concat([rows[rows["model"].isin(models)], paper])


def by_type(table: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """Accuracy by question type in multiple choice: a row per variation and model, and CLIP-OpenAI's published ones."""
    rows = table[table["metric"].str.startswith("accuracy on ")]
    rows = rows.assign(metric=rows["metric"].str.removeprefix("accuracy on "))
    both = _with_published(rows, models).sort_values("task", kind="stable")
    return tables.pivot(both, ["task", "model"]).fillna("")


def choices(items: pd.DataFrame, title: str) -> pd.DataFrame:
    """Shares of what kind of option each model chose in one variation, by type of question: ``mcq.confusion``."""
    own = items[items["variation"] == title]
    parts = [mcq.confusion(part, share=True).reset_index().assign(model=model) for model, part in own.groupby("model")]
    both = pd.concat(parts).sort_values("type", kind="stable")
    return both[["type", "model", *both.columns.drop(["type", "model"])]].fillna(0.0)


def drops(table: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """The drop from plain to negated captions, or from affirmed to negated findings, with the published one."""
    main = table[table["metric"].isin(("drop of recall@1", "drop of recall@5", "drop of accuracy"))]
    rows = _with_published(main[main["model"].isin(models)], models)
    return tables.pivot(rows, ["task", "metric"], "model").fillna("")
