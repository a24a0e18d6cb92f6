"""The controls of notebook 05 as tables: text-only rules, held-out words, noise, amount of data, WiSE-FT's curve.

Each takes the table of ``negationclip.run``; ``rules`` are those that see no picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd

from negutil import results
from negutil.compare import engine, negationclip
from negutil.compare import negationclip_items as benchmarks
from negutil.compare.engine import LEVEL, Findings
from negutil.config import Profile
from negutil.models.trained import Trained
from negutil.results import Record
from negutil.tasks import ccneg, suite
from negutil.train import recipes

RULE = "rule: "
TASKS = (suite.VALSE, suite.CCNEG, ccneg.REVERSED, ccneg.BOTH)
NOISE = {recipes.NEGATIONCLIP: 0.0, "negationclip-noise5": 5.0, "negationclip-noise20": 20.0}
AMOUNT = {"negationclip-tenth": 0.1, "negationclip-third": 1 / 3, recipes.NEGATIONCLIP: 1.0}


def rules(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """How far rules get that read the two sentences alone: rule, title, value, low, high, n, over.

    Writes the table ``rules``.
    """
    data = suite.prepare(settings, (suite.VALSE, suite.CCNEG))
    bootstrap = dataclasses.replace(settings.bootstrap, seed=settings.bootstrap.seed + seed)
    rows, records = [], []
    for rule, frames in suite.rules(data).items():
        for task in (task for task in TASKS if task in frames):
            right, clusters = frames[task]["right"].to_numpy(float)[:, None], frames[task]["cluster"].to_numpy()
            (share,) = engine.means(right, clusters, bootstrap)
            title = negationclip.ALL_ITEMS if task == suite.VALSE else task
            rows.append({"rule": rule, "title": title, **dataclasses.asdict(share)})
            about = {"task": title, "model": f"{RULE}{rule}", "metric": "pairwise accuracy"}
            records.append(Record.of(share, experiment=negationclip.EXPERIMENT, **about))
    if records:
        results.save(records, settings.name, negationclip.EXPERIMENT, "rules")
    return pd.DataFrame(rows, columns=["rule", "title", *engine.INTERVAL])


def rules_beside(found: Findings, rule_table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The rules above the models, in the shape of ``Findings.levels``, for VALSE and the three ways of CC-Neg."""
    titles = (negationclip.ALL_ITEMS, suite.CCNEG, ccneg.REVERSED, ccneg.BOTH)
    wide = rule_table.pivot(index="rule", columns="title", values="value").reindex(rule_table["rule"].unique())
    shown = wide.map(lambda value: "" if pd.isna(value) else f"{value:.3f}").reset_index()
    shown = shown.rename(columns={"rule": "model"}).assign(architecture="rule, no picture").rename_axis(columns=None)
    models = found.levels(titles, ("", *methods), published=False)
    return pd.concat([shown, models], ignore_index=True)[models.columns].fillna("")


def held_out(table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Gains over plain captions on items with familiar and with held-out nouns and phrasings.

    Columns: base, method, task, factor ("nouns", "phrasings"), held_out, value, low, high, n.
    """
    rows = table[(table["kind"] == negationclip.OVER_PLAIN) & table["method"].isin(methods)]
    parts = rows["title"].str.extract(r"^(?P<task>.*), (?P<which>held-out|familiar) (?P<factor>nouns|phrasings)$")
    found = pd.concat([rows, parts], axis=1).dropna(subset="factor")
    found = found.assign(held_out=found["which"] == "held-out")
    return found[["base", "method", "task", "factor", "held_out", "value", "low", "high", "n"]].reset_index(drop=True)


def by_noise(table: pd.DataFrame, titles: Sequence[str]) -> pd.DataFrame:
    """The first seed's numbers against the annotators' error rate in percent: base, title, at, value, low, high."""
    return _along(table, titles, NOISE, first_seed=True)


def by_amount(table: pd.DataFrame, titles: Sequence[str]) -> pd.DataFrame:
    """The first seed's numbers against the share of the captions, as many steps: base, title, at, value, low, high."""
    return _along(table, titles, AMOUNT, first_seed=True)


def wise_ft(table: pd.DataFrame, titles: Sequence[str]) -> pd.DataFrame:
    """Weights between CLIP (0) and NegationCLIP (1), first seed: base, title, at, value, low, high."""
    start = f"{recipes.NEGATIONCLIP}{benchmarks.AT}"
    names = [name for name in table["method"].unique() if name.startswith(start)]
    return _along(table, titles, {name: float(name.removeprefix(start)) for name in names})


def _along(
    table: pd.DataFrame, titles: Sequence[str], places: Mapping[str, float], first_seed: bool = False
) -> pd.DataFrame:
    """The means of the methods in ``places`` where all of them are, at their places.

    Controls may be trained from the lowest seed alone: ``first_seed`` takes the numbers of that one.
    """
    of_seed = table["seed"] == table["seed"].min() if first_seed else table["seed"].isna()
    rows = table[(table["kind"] == LEVEL) & of_seed.fillna(False)]
    rows = rows[rows["title"].isin(titles) & rows["method"].isin(list(places))]
    rows = rows[rows.groupby("base")["method"].transform("nunique") == rows["method"].nunique()]
    shown = rows.assign(at=rows["method"].map(dict(places)).astype(float)).sort_values(["base", "title", "at"])
    return shown[["base", "title", "at", "value", "low", "high"]].reset_index(drop=True)


def validation(models: Sequence[Trained], names: Sequence[str]) -> pd.DataFrame:
    """The validation loss of every seed of the recipes ``names``: base, recipe, model, epoch, loss_on_validation."""
    columns = ["base", "recipe", "model", "epoch", "loss_on_validation"]
    parts = [pd.DataFrame(columns=columns)]
    for model in models:
        recipe = model.name.partition("+")[2].partition("/")[0]
        if recipe in names:
            curve = negationclip.curve_of(model).dropna(subset="validation_loss")
            curve = curve.rename(columns={"validation_loss": "loss_on_validation"})
            parts.append(curve.assign(recipe=recipe, model=model.name, base=model.base)[columns])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def text_tower(items: pd.DataFrame, settings: Profile, base: str, methods: Sequence[str]) -> pd.DataFrame:
    """For every noun, how far "no X" is from "X" in the text tower, means over seeds: model, noun, held_out, value."""
    rows = items[items["task"] == benchmarks.TEXT]
    models = {method.label: list(method.values) for method in negationclip.methods_of(settings, base)}
    parts = [
        pd.DataFrame(
            {
                "model": negationclip.title_of(method),
                "noun": rows["item"],
                "held_out": rows["held_out_noun"],
                "value": rows[models[method]].mean(axis=1),
            }
        )
        for method in ("", *methods)
        if method in models
    ]
    return pd.concat(parts, ignore_index=True)
