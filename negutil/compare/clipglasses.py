"""Notebook 06: CLIPGlasses' Tables 1 to 3 and Figures 2 and 4, its controls, and every method on every benchmark.

``clipglasses_methods`` says which models there are, ``clipglasses_items`` asks them, ``run`` writes the numbers: means
over items and seeds with intervals over items, and differences on the same items. The claims and their tests are in
configs/claims.toml.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from negutil import results
from negutil.captions.english import NOUNS
from negutil.compare import clipglasses_controls as controls
from negutil.compare import clipglasses_items, lambda_strengths, layer_probe, method_tables
from negutil.compare import clipglasses_methods as methods
from negutil.compare import clipglasses_published as paper
from negutil.compare import negationclip_items as asked
from negutil.compare import negationclip_numbers as numbers
from negutil.compare.clipglasses_methods import CLIP, FIRST, FULL, RULE, Method, title_of
from negutil.compare.negationclip_numbers import LEVEL, Column, View
from negutil.config import Bootstrap, Profile
from negutil.models import encode, loader
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import ccneg, pairwise, suite

EXPERIMENT = "06_clipglasses"
PAPER = f"published, {paper.ARCHITECTURE}"
TABLE_1 = (suite.CCNEG, asked.MCQ)
TABLE_2 = (suite.IMAGENET, suite.CALTECH101)
LOOKING = (suite.CCNEG, ccneg.REVERSED, ccneg.BOTH)
EVERYTHING = (
    *(numbers.ALL_ITEMS, suite.REFERRING, asked.MCQ, asked.NEGATED_RETRIEVAL, asked.EXCLUSION),
    *(suite.CCNEG, ccneg.REVERSED, suite.IMAGENET, suite.CALTECH101, suite.COCO),
)
FARS = (clipglasses_items.FAR, clipglasses_items.SIGNED)
NUMBERS = ("value", "low", "high", "n", "over")
About = tuple[str, str, int | None]
"""Of a number: the base, the method's label, and the seed of a single model."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves for the notebook.

    Attributes:
        table: every number: base, method ("" for CLIP), seed (missing for means over seeds), title, metric, kind ("" or
            such as "gain over CLIP"), value, low, high, n, over.
        items: one row per item of every benchmark, with a column of values for each model.
    """

    table: pd.DataFrame
    items: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Strengths:
    """Lambda for four strengths of negation: ``items`` (one model), and ``table`` with the numbers of every base."""

    items: pd.DataFrame
    table: pd.DataFrame


# --------------------------------------------------------------------------------------------------------------------
# The run


def run(settings: Profile, seed: int = 0) -> Findings:
    """Ask every model of ``clipglasses_methods``; writes ``levels``, ``seeds``, ``gains``, ``ablations`` and all items.

    ``seed`` moves the resamples. Raises NegutilError where a model is missing.
    """
    found = {base: methods.of(settings, base) for base in settings.models}
    names = [name for base, own in found.items() for name in (base, *_names(own))]
    askings = [asking for own in found.values() for method in own for asking in method.askings]
    askings += [controls.Asking(base, clipglasses_items.CCNEG) for base in settings.models]
    items = _with_rule(clipglasses_items.values(settings, names, askings), settings)
    wanted = {column: about for base, own in found.items() for column, about in columns(base, own).items()}
    bootstrap = Bootstrap(settings.bootstrap.resamples, settings.bootstrap.seed + seed)
    table = numbers_of(items, wanted, bootstrap)
    _save(table, items, settings, seed)
    return Findings(table, items)


def _names(found: Sequence[Method]) -> list[str]:
    return [name for method in found for name in method.names]


def _with_rule(items: pd.DataFrame, settings: Profile) -> pd.DataFrame:
    """The items with what the rule answers that takes the caption without a negation, on CC-Neg's three tasks."""
    frames = suite.rules(suite.prepare(settings, (suite.CCNEG,)))[pairwise.ALWAYS_AFFIRMATIVE]
    right = {(task, str(item)): float(own) for task, rows in frames.items() for item, own in _answers(rows)}
    keys = zip(items["task"], items["item"], strict=True)
    return items.assign(**{RULE: [right.get(key, np.nan) for key in keys]})


def _answers(rows: pd.DataFrame) -> Any:
    return zip(rows["item"], rows["right"], strict=True)


def columns(base: str, found: Sequence[Method]) -> dict[Column, About]:
    """The numbers of one architecture: CLIP, the rule, every seed, means over seeds, and differences."""
    of = {CLIP: (base,), RULE: (RULE,)} | {method.label: method.columns for method in found}
    of |= {FIRST: of[FULL][:1]} if FULL in of else {}
    numbered: dict[Column, About] = {Column(base, (base,)): (base, CLIP, None)}
    numbered[Column(f"{base}/{RULE}", (RULE,))] = (base, RULE, None)
    for method in found:
        about, name = (base, method.label, None), f"{base}+{method.label}"
        for seed, own in zip(method.seeds, method.columns, strict=True):
            numbered[Column(f"{name}/{seed}", (own,))] = (base, method.label, seed)
        numbered[Column(name, method.columns)] = about
        for other, kind in method.over:
            if other in of:
                numbered[Column(name, method.columns, of[other], kind)] = about
    return numbered


def numbers_of(items: pd.DataFrame, wanted: Mapping[Column, About], bootstrap: Bootstrap) -> pd.DataFrame:
    """Every number of every view that its models were asked: the columns of ``Findings.table``.

    ``items`` are those of ``clipglasses_items.values``; what a model was not asked is missing there.
    """
    clusters = items["cluster"].to_numpy()
    rows = []
    for view in _views(items):
        own = items.loc[view.rows]
        known = set(own.columns[own.notna().all()])
        able = [column for column in wanted if {*column.plus, *column.minus} <= known]
        if not able:
            continue
        for column, interval in zip(able, _means(own, able, clusters[view.rows], bootstrap), strict=True):
            base, method, seed = wanted[column]
            about = {"base": base, "method": method, "seed": seed, "title": view.title, "metric": view.metric}
            rows.append(about | {"kind": column.kind} | dataclasses.asdict(interval))
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def _views(items: pd.DataFrame) -> list[View]:
    """Those of notebook 05 without what is about the text tower alone, and the two kinds of FAR."""
    kept = [view for view in numbers.views(items) if not view.title.startswith((asked.TEXT, asked.TEXT_COSINE))]
    return kept + [View(task, "logits", (items["task"] == task).to_numpy()) for task in FARS]


def _means(own: pd.DataFrame, wanted: Sequence[Column], clusters: np.ndarray, bootstrap: Bootstrap) -> list[Interval]:
    """The means of all columns over the items of one view."""
    values = np.stack([_mean(own, column.plus) - _mean(own, column.minus) for column in wanted], axis=1)
    return numbers.means(values, clusters, bootstrap)


def _mean(own: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    found: np.ndarray = own[list(names)].to_numpy(float).mean(axis=1) if names else np.zeros(len(own))
    return found


def _save(table: pd.DataFrame, items: pd.DataFrame, settings: Profile, seed: int) -> None:
    variant = table["method"].isin(methods.VARIANTS)
    is_level, of_seed = table["kind"] == LEVEL, table["seed"].notna()
    parts = {
        "levels": is_level & ~of_seed & ~variant,
        "seeds": of_seed & ~variant,
        "gains": ~is_level & ~variant,
        "ablations": variant & ~of_seed,
        "ablation_seeds": variant & of_seed,
    }
    for name, rows in parts.items():
        records = [_record(row) for row in table[rows].to_dict("records")]
        if records:
            results.save(records, settings.name, EXPERIMENT, name, seed=seed)
    kinds = dict.fromkeys((*asked.COLUMNS[:4], "cue"), "category")
    values = dict.fromkeys(items.columns.drop(list(asked.COLUMNS)), "float32")
    results.save_items(items.astype(kinds | values), settings.name, EXPERIMENT, "items")


def _record(row: Mapping[Any, Any]) -> Record:
    of_seed = not pd.isna(row["seed"])
    known = None if row["kind"] or of_seed else published(row["title"], row["method"])
    return Record.of(
        Interval(*(row[name] for name in NUMBERS)),
        experiment=EXPERIMENT,
        task=f"{row['title']}/{row['method'] or 'CLIP'}",
        model=row["base"],
        metric=row["kind"] or row["metric"],
        seed=int(row["seed"]) if of_seed else None,
        paper_value=known[0] if known else None,
        paper_source=known[1] if known else "",
    )


def published(title: str, method: str) -> paper.Number | None:
    """The printed number of a method on a test, of Tables 1 and 2 or, for variants, of Table 3."""
    metric = {suite.CCNEG: paper.ACCURACY, FARS[0]: paper.FAR}.get(title, "")
    variant = "full" if method == FULL else method
    return paper.published().get((title, method)) or paper.ablations().get((variant, metric))


# --------------------------------------------------------------------------------------------------------------------
# Figures 2 and 4


def layers(settings: Profile, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The layers of every CLIP under the probe: numbers (with ``base``), and rows per pair; writes ``layers``."""
    said = _said(settings, seed)
    items = {base: layer_probe.evaluate(loader.load(base), said, seed) for base in settings.models}
    found = {base: layer_probe.summary(own, settings.bootstrap) for base, own in items.items()}
    table = pd.concat([own.assign(base=base) for base, own in found.items()], ignore_index=True)
    _save_numbers(table, settings, "layers", seed)
    return table, pd.concat([own.assign(base=base) for base, own in items.items()], ignore_index=True)


def by_cue(pairs: pd.DataFrame, base: str) -> pd.DataFrame:
    """Accuracy of the probe on one CLIP for each way to negate that was held out, a column per layer."""
    return layer_probe.by_cue(pairs[pairs["base"] == base])


def tsne(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """t-SNE of some pairs of sentences in the first layer and the output of the last CLIP of the profile."""
    return layer_probe.tsne(loader.load(settings.models[-1]), _said(settings, seed), seed=seed)


def _said(settings: Profile, seed: int) -> layer_probe.Pairs:
    """The sentences in which layers are probed."""
    return layer_probe.pairs(NOUNS[: settings.glasses.probe_nouns or None], seed)


def strengths(settings: Profile, seed: int = 0) -> Strengths:
    """Lambda in four strengths, means over the seeds of the glasses from CC-Neg, for every CLIP; writes ``lambda``."""
    data = suite.prepare(settings, (suite.CCNEG,))
    said = lambda_strengths.items(data[suite.CCNEG].plain, settings.glasses.strengths, seed)
    parts, shown = [], pd.DataFrame()
    for base in settings.models:
        images = encode.images(loader.load(base), said.pictures, batch=settings.encode.batch)
        models = [controls.glasses(name, settings) for name in methods.glasses_names(settings, base, FULL)]
        shown = _mean_of([lambda_strengths.table(said, images, partial(controls.lambdas, model)) for model in models])
        masked = _mean_of([lambda_strengths.table(said, images, partial(controls.masked, model)) for model in models])
        parts.append(lambda_strengths.summary(shown, masked, said.nouns, settings.bootstrap).assign(base=base))
    table = pd.concat(parts, ignore_index=True)
    _save_numbers(table, settings, "lambda", seed)
    return Strengths(shown.assign(noun=said.nouns), table)


def as_records(table: pd.DataFrame) -> pd.DataFrame:
    """A table of layers or strengths with the columns of records: model, task, metric, value, ci_low, ci_high."""
    named = {"base": "model", "low": "ci_low", "high": "ci_high"}
    return table.rename(columns=named)[["model", "task", "metric", "value", "ci_low", "ci_high"]]


def _mean_of(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    found: pd.DataFrame = sum(frames[1:], frames[0]) / len(frames)
    return found


def _save_numbers(table: pd.DataFrame, settings: Profile, name: str, seed: int) -> None:
    """Write a table with base, task, metric and an interval."""
    rows = [
        Record.of(
            Interval(*(row[column] for column in NUMBERS)),
            experiment=EXPERIMENT,
            task=row["task"],
            model=row["base"],
            metric=row["metric"],
        )
        for row in table.to_dict("records")
    ]
    results.save(rows, settings.name, EXPERIMENT, name, seed=seed)


# --------------------------------------------------------------------------------------------------------------------
# For the notebook


def levels(table: pd.DataFrame, titles: Sequence[str], shown: Sequence[str], digits: int = 3) -> pd.DataFrame:
    """Means over seeds with intervals: a row per architecture and method, a column per test; then published numbers."""
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna()]
    own = _wide(rows, titles, shown, digits)
    printed = method_tables.published(titles, shown, published, title_of, architecture=PAPER, digits=digits)
    return pd.concat([own, printed]).fillna("")


def differences(table: pd.DataFrame, titles: Sequence[str], shown: Sequence[str], kinds: Sequence[str]) -> pd.DataFrame:
    """Paired differences of the given kinds with intervals: a row per architecture, method and kind."""
    parts = [
        _wide(table[table["kind"] == kind], titles, shown).assign(difference=kind)
        for kind in kinds
        if (table["kind"] == kind).any()
    ]
    first = ["architecture", "model", "difference"]
    if not parts:
        return pd.DataFrame(columns=first)
    found = pd.concat(parts, ignore_index=True).fillna("")
    return found[[*first, *found.columns.drop(first)]]


def seeds(table: pd.DataFrame, titles: Sequence[str], shown: Sequence[str]) -> pd.DataFrame:
    """Every seed's number: a row per architecture and method, a column per test with the seeds side by side."""
    rows = table[table["seed"].notna() & (table["kind"] == LEVEL)]
    return method_tables.seeds(rows, titles, shown, title_of)


def changes(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Differences of one kind as numbers, for figures: base, method, title, value, low, high."""
    rows = table[(table["kind"] == kind) & table["seed"].isna()]
    return rows[["base", "method", "title", "value", "low", "high"]]


def published_changes() -> pd.DataFrame:
    """Table 3 as differences from the full model: title, method, value (a fraction)."""
    known = {name: number[0] for (name, metric), number in paper.ablations().items() if metric == paper.ACCURACY}
    rows = [(suite.CCNEG, name, value - known["full"]) for name, value in known.items() if name != "full"]
    return pd.DataFrame(rows, columns=["title", "method", "value"])


def _wide(rows: pd.DataFrame, titles: Sequence[str], shown: Sequence[str], digits: int = 3) -> pd.DataFrame:
    return method_tables.wide(rows, titles, shown, title_of, digits)
