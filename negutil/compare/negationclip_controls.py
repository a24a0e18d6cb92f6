"""The controls of notebook 05 as tables: text-only rules, held-out words, noise, amount of data, WiSE-FT's curve.

Each takes the table of ``negationclip.Findings``; ``rules`` asks rules that see no picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from negutil import results
from negutil.compare import negationclip
from negutil.compare import negationclip_items as asked
from negutil.compare import negationclip_numbers as numbers
from negutil.compare.negationclip_numbers import LEVEL
from negutil.config import Profile
from negutil.models.trained import Trained
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import ccneg, suite
from negutil.train import recipes_negation as recipes

RULE = "rule: "
TASKS = (suite.VALSE, suite.CCNEG, ccneg.REVERSED, ccneg.BOTH)
NOISE = {"": 0.0, "negationclip-noise5": 5.0, "negationclip-noise20": 20.0}
AMOUNT = {"negationclip-tenth": 0.1, "negationclip-third": 1 / 3, recipes.NEGATIONCLIP: 1.0}


def rules(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """How far rules get that read the two sentences alone: rule, title, value, low, high, n, over.

    Writes the table ``rules``.
    """
    data = suite.prepare(settings, (suite.VALSE, suite.CCNEG))
    bootstrap = dataclasses.replace(settings.bootstrap, seed=settings.bootstrap.seed + seed)
    rows = []
    for rule, frames in suite.rules(data).items():
        for task in (task for task in TASKS if task in frames):
            frame = frames[task]
            right = frame["right"].to_numpy(float)[:, None]
            (found,) = numbers.means(right, frame["cluster"].to_numpy(), bootstrap)
            title = numbers.ALL_ITEMS if task == suite.VALSE else task
            rows.append({"rule": rule, "title": title, **dataclasses.asdict(found)})
    table = pd.DataFrame(rows, columns=["rule", "title", "value", "low", "high", "n", "over"])
    if table.empty:
        return table
    results.save([_record(row) for row in table.to_dict("records")], settings.name, negationclip.EXPERIMENT, "rules")
    return table


def _record(row: Mapping[Any, Any]) -> Record:
    interval = Interval(*(row[name] for name in ("value", "low", "high", "n", "over")))
    about = {"task": str(row["title"]), "model": f"{RULE}{row['rule']}", "metric": "pairwise accuracy"}
    return Record.of(interval, experiment=negationclip.EXPERIMENT, **about)


def rules_beside(table: pd.DataFrame, rule_table: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """The rules above the models, in the shape of ``negationclip.levels``, for VALSE and the three ways of CC-Neg."""
    titles = (numbers.ALL_ITEMS, suite.CCNEG, ccneg.REVERSED, ccneg.BOTH)
    wide = rule_table.pivot(index="rule", columns="title", values="value").reindex(rule_table["rule"].unique())
    shown = wide.map(lambda value: "" if pd.isna(value) else f"{value:.3f}").reset_index()
    shown = shown.rename(columns={"rule": "model"}).assign(architecture="rule, no picture").rename_axis(columns=None)
    models = negationclip.levels(table, titles, methods, published=False)
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
    names = {(name or recipes.NEGATIONCLIP): rate for name, rate in NOISE.items()}
    return _along(_first_seed(table), titles, names)


def by_amount(table: pd.DataFrame, titles: Sequence[str]) -> pd.DataFrame:
    """The first seed's numbers against the share of the captions, as many steps: base, title, at, value, low, high."""
    return _along(_first_seed(table), titles, AMOUNT)


def _first_seed(table: pd.DataFrame) -> pd.DataFrame:
    """The lowest seed's numbers in the place of the means over seeds: controls may be trained from that one alone."""
    own = table[table["seed"] == table["seed"].min()]
    return own.assign(seed=pd.NA)


def wise_ft(table: pd.DataFrame, titles: Sequence[str]) -> pd.DataFrame:
    """Weights between CLIP (0) and NegationCLIP (1), first seed: base, title, at, value, low, high."""
    start = f"{recipes.NEGATIONCLIP}{asked.AT}"
    names = [name for name in table["method"].unique() if name.startswith(start)]
    return _along(table, titles, {name: float(name.removeprefix(start)) for name in names})


def _along(table: pd.DataFrame, titles: Sequence[str], places: dict[str, float]) -> pd.DataFrame:
    """The means of the methods in ``places`` where all of them are, at their places."""
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna()]
    rows = rows[rows["title"].isin(titles) & rows["method"].isin(places)]
    rows = rows[rows.groupby("base")["method"].transform("nunique") == rows["method"].nunique()]
    found = rows.assign(at=rows["method"].map(places).astype(float)).sort_values(["base", "title", "at"])
    return found[["base", "title", "at", "value", "low", "high"]].reset_index(drop=True)


def validation(models: Sequence[Trained], names: Sequence[str]) -> pd.DataFrame:
    """The validation loss of every seed of the recipes ``names``: base, recipe, model, epoch, loss_on_validation."""
    parts = []
    for found in models:
        recipe = found.name.partition("+")[2].partition("/")[0]
        if recipe in names:
            curve = negationclip.curve_of(found).dropna(subset="validation_loss")
            parts.append(curve.assign(recipe=recipe, model=found.name, base=found.base))
    if not parts:
        return pd.DataFrame(columns=["base", "recipe", "model", "epoch", "loss_on_validation"])
    table = pd.concat(parts, ignore_index=True).rename(columns={"validation_loss": "loss_on_validation"})
    return table[["base", "recipe", "model", "epoch", "loss_on_validation"]]


def text_tower(items: pd.DataFrame, settings: Profile, base: str, methods: Sequence[str]) -> pd.DataFrame:
    """For every noun, how far "no X" is from "X" in the text tower, means over seeds: model, noun, held_out, value."""
    own = items[items["task"] == asked.TEXT]
    models = {"": [base], **negationclip.models_of(settings, base)}
    parts = [
        pd.DataFrame(
            {
                "model": negationclip.title_of(method),
                "noun": own["item"],
                "held_out": own["held_out_noun"],
                "value": own[models[method]].mean(axis=1),
            }
        )
        for method in ("", *methods)
        if method in models
    ]
    return pd.concat(parts, ignore_index=True)
