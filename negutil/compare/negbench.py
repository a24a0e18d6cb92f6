"""Notebook 03: NegBench's 18 task variations for every model, with chance and blind baselines.

Every caption is a query of its own, options are shuffled, ties lose, and images are resampled with all their captions
or questions. The claims and their tests are in configs/claims.toml; ``negutil.compare.negation_beyond`` has the
tasks that the paper lacks.

See docs/protocols.md#negbench.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from negutil import paths, results, statistics, tables
from negutil.captions import phrasing
from negutil.compare import engine
from negutil.config import Profile
from negutil.data import negbench as negbench_csv
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.files import read_csv
from negutil.models import loader, registry
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import BLIND, CHANCE, Report, blind, mcq
from negutil.tasks.negbench import FEWEST, Items, NegBench, blind_records, score

EXPERIMENT = "03_negbench"
PUBLISHED = "CLIP-OpenAI, published"
FILE_COUNTS = ("published", EXPERIMENT, "files")
"""Where in results/ the counts of the published files are kept: they depend on no profile and no model."""

SMALL = {"item": "int32", "rank": "Int32", "correct": "Int8", "chosen": "Int8", "shown_at": "Int8", "margin": "float32"}
SMALL |= {"right": "boolean", **dict.fromkeys(("variation", "picture", "type", "chosen_type"), "category")}
"""The types of the items as they are saved."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves: ``table`` (records of all variations), ``items`` (a row per query or question and model)."""

    table: pd.DataFrame
    items: pd.DataFrame
    phrasings: pd.DataFrame
    scaling: pd.DataFrame

    @property
    def models(self) -> list[str]:
        """The models that were examined, in their order."""
        return list(dict.fromkeys(self.items["model"]))


def models(settings: Profile) -> tuple[str, ...]:
    """The models of a profile, and those ``beside`` whose weights are available; the others are noted (``skipped``)."""

    def is_here(name: str) -> bool:
        return skipped.attempt(settings, name, lambda: loader.locate(registry.find(name))) is not None

    return (*settings.models, *filter(is_here, settings.beside))


def run(settings: Profile, tasks: Sequence[Items], seed: int = 0) -> Findings:
    """Examine the ``models`` of the profile on ``tasks`` (``tasks.negbench.load_all``).

    Writes the tables ``tasks``, ``phrasings`` and ``scaling``, and each model's per-item scores. ``seed`` moves the
    order of the options and the resamples. Raises NegutilError if a model is missing or gives a score that is not
    finite.
    """
    resampling = dataclasses.asdict(settings.bootstrap.moved(seed))
    variations = {task.variation.title: (NegBench(task.variation), task) for task in tasks}
    records = [record for own, rows in variations.values() for record in own.baselines(rows, EXPERIMENT, **resampling)]
    every: list[pd.DataFrame] = []
    sizes: dict[str, int] = {}
    for name in models(settings):
        model = loader.load(name)
        sizes[name] = sum(weights.numel() for weights in model.model.parameters())
        answers = score(model, tasks, settings.encode.batch, seed)
        report = Report(EXPERIMENT, name, **resampling)
        frames = {str(title): part for title, part in answers.groupby("variation", sort=False)}
        records += [record for own, _ in variations.values() for record in own.records(frames, report)]
        # Without texts (the files have them), in small types.
        results.save_items(answers.drop(columns="text").astype(SMALL), settings.name, EXPERIMENT, f"items_{name}")
        every.append(answers.assign(model=name))
    items = pd.concat(every, ignore_index=True)
    numbers = {"tasks": records, "phrasings": phrasings(items, tasks, resampling)}
    numbers["scaling"] = scaling(items, sizes, resampling)
    for name, rows in numbers.items():
        if rows:
            results.save(rows, settings.name, EXPERIMENT, name, seed=seed)
    table, ways, gains = (pd.DataFrame([dataclasses.asdict(record) for record in rows]) for rows in numbers.values())
    return Findings(table, items, ways, gains)


def phrasings(items: pd.DataFrame, tasks: Sequence[Items], resampling: Mapping[str, int]) -> list[Record]:
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
        found = phrasing.shares(right, part["text"].tolist(), part["picture"].to_numpy(), **resampling)
        for row in found[found["n"] >= FEWEST].to_dict("records"):
            interval = Interval(*(row[name] for name in engine.INTERVAL))
            way = f"{group}/{row['factor'].replace('_', ' ')} {row['level'] or 'none'}"
            metric = "recall@5" if queries else "accuracy"
            records.append(Record.of(interval, experiment=EXPERIMENT, task=way, model=model, metric=metric))
    return records


def scaling(items: pd.DataFrame, sizes: dict[str, int], resampling: Mapping[str, int]) -> list[Record]:
    """What a larger model gains over the smallest one in multiple choice, question by question."""
    smallest, *larger = sorted(sizes, key=lambda name: sizes[name])
    answers = items[items["right"].notna()]
    records: list[Record] = []
    for title, part in answers.groupby("variation", sort=False):
        rows = {str(name): rows for name, rows in part.groupby("model", sort=False)}
        right = {name: own["right"].to_numpy(float) for name, own in rows.items()}
        for name in larger:
            gain = statistics.paired_bootstrap(
                right[name], right[smallest], rows[name]["picture"].to_numpy(), **resampling
            )
            task = f"{title}/over {smallest}"
            records.append(Record.of(gain, experiment=EXPERIMENT, task=task, model=name, metric="gain in accuracy"))
    return records


def overview(table: pd.DataFrame, models: Sequence[str]) -> pd.DataFrame:
    """All variations in one table: a row each, with every model's main number, the best blind rule, chance and n.

    The main number is recall@5 in retrieval and accuracy elsewhere. A variation of which only a part of the data is
    here says so.
    """
    main = table[table["metric"].isin(("recall@5", "accuracy"))]
    rows = []
    for title, part in main.groupby("task", sort=False):
        of_model = {str(record["model"]): record for record in part.to_dict("records")}
        blinds = {name.removeprefix(BLIND): of_model[name]["value"] for name in of_model if name.startswith(BLIND)}
        best = max(blinds, key=lambda rule: blinds[rule]) if blinds else ""
        first, guess = of_model[models[0]], of_model[CHANCE]
        triples = {name: [of_model[name][key] for key in ("value", "ci_low", "ci_high")] for name in models}
        rows.append(
            {
                "variation": skipped.with_share(str(title)),
                "metric": guess["metric"],
                "n": first["n"],
                **{name: tables.with_interval(*triple) for name, triple in triples.items()},
                "chance": guess["value"],
                "best blind rule": f"{blinds[best]:.3f} ({best})" if best else "",
                PUBLISHED: "" if pd.isna(first["paper_value"]) else f"{first['paper_value']:.3f}",
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


# --------------------------------------------------------------------------------------------------------------------
# What ties and positions change on the multiple-choice files as they are published (docs/protocols.md#ties). In most of
# them the right option is always the first, and the published evaluator gives a tie to the first. So a scorer that
# looks at nothing is right every time there; these counts say by how much each file is open to that.


def positions(correct: ArrayLike, k: int = 4, seed: int = 0) -> dict[str, float]:
    """Return what the place of the right options ``correct`` [N] among ``k`` gives away, as shares of the questions.

    "right option first" is the share whose right option has index 0. The others are the accuracy of a constant scorer:
    "argmax" with ties to the first option in the file's order, as published; "argmax, shuffled" with ties to the
    first in a random order; "strict" where a tie is no answer.
    """
    right = np.asarray(correct, dtype=np.int64)
    constant = np.zeros((len(right), k))
    shown_first = mcq.orders(len(right), k, seed)[:, 0]
    return {
        "right option first": float((right == 0).mean()),
        "constant scorer, argmax": float((constant.argmax(axis=1) == right).mean()),
        "constant scorer, argmax, shuffled": float((shown_first == right).mean()),
        "constant scorer, strict": float((mcq.choose(constant) == right).mean()),
    }


def file_counts() -> pd.DataFrame:
    """Return the numbers of ``file_records`` that are committed for the published files, which cannot be committed."""
    return read_csv(paths.RESOURCES.joinpath("results", *FILE_COUNTS).with_suffix(".csv"))


def file_overview() -> pd.DataFrame:
    """Return ``file_counts`` for display: a row per scorer (with its n), a column per kind of question."""
    rows = file_counts()
    shown = rows.assign(scorer=rows["model"] + ", n = " + rows["n"].groupby(rows["model"]).transform("max").astype(str))
    return tables.pivot(shown, "scorer").fillna("")


def file_records(files: Sequence[Path | str], seed: int = 0) -> list[Record]:
    """Return what a look at the sentences alone gets on multiple-choice files, as records; the task is the file's name.

    Models: the constant scorers of ``positions``, and the rules and the classifier of ``blind`` with intervals over
    images, in total and by type of question. Raises NegutilError as `negutil.data.negbench.load` does.
    """
    found: list[Record] = []
    for path in map(Path, files):
        rows = negbench_csv.load(path)
        if "options" not in rows.column_names:
            command = f"negutil bench MODEL --negbench {path}"
            raise NegutilError(f"{path} is a retrieval file: give multiple-choice files, or run `{command}`.")
        options, correct, pictures = rows["options"][:], np.array(rows["correct"]), np.array(rows["file_name"])
        types = list(rows["template"]) if "template" in rows.column_names else None
        for name, share in positions(correct, len(options[0]), seed).items():
            if name.startswith("constant"):
                found.append(Record(EXPERIMENT, path.name, name, "accuracy", share, len(correct)))
        for rule, values in blind.scorers(options, correct, pictures, seed=seed).items():
            items = mcq.items(values, correct, types)
            found += blind_records(items, pictures, Report(EXPERIMENT, BLIND + rule), path.name)
    return found
