"""How long to train: curves over the number of passes, and the rule that chooses the one of the main tables.

**The rule**, written before any benchmark was evaluated on these trainings: the main tables have the smallest budget
from which on the score on *validation* data rises by less than its standard error, from each budget to the next one.
The score is the mean of the three measures of ``negutil.compare.validation``, over all methods of the curve, so the
budget is the same for all of them, and no reported benchmark is looked at. The standard error is that of the paired
rise, over seeds and items.

A first version of the rule looked at one of the three measures alone, recall@5 of negated captions. That measure is at
its ceiling after a single pass and so cannot tell budgets apart; its rises are in the table, and it would choose the
smallest budget.

The curves themselves are numbers of notebook 05 (table ``curves``): every benchmark for every method and budget, for
smaller shares of the captions with as many steps, and for NegBench's alpha.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from negutil import statistics
from negutil.compare import engine, evaluation, negationclip
from negutil.compare.engine import CLIP, LEVEL
from negutil.compare.evaluation import VALIDATION, Evaluation
from negutil.compare.validation import MEASURES
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.statistics import Floats, Interval
from negutil.train import recipes

SCORE = "mean of the three"
RISE = "rise of "
TABLE = "budget"


def choice(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """The numbers that the rule looks at; writes the table ``budget``.

    A row for each budget and measure and for SCORE, and for each rise to the next budget: model, task, metric (a
    measure, or RISE and a measure), passes (the smaller ones of a rise), value, low, high, n, over, error (the standard
    error). Raises NegutilError without at least two budgets, where a model is missing, and for published data.
    """
    values = _by_budget(settings)
    bootstrap = dataclasses.asdict(settings.bootstrap.moved(seed))
    model = " + ".join(settings.finetuning.curves.models)
    numbers = [(_passes(passes), "", passes, own) for passes, own in values.items()]
    for first, second in itertools.pairwise(values):
        rises = {measure: values[second][measure] - own for measure, own in values[first].items()}
        numbers.append((f"{_passes(second)} minus {first}", RISE, first, rises))
    rows = []
    for task, kind, passes, own in numbers:
        intervals = {measure: statistics.two_way_bootstrap(each, **bootstrap) for measure, each in own.items()}
        about = {"model": model, "task": f"validation split, {task}", "passes": passes}
        for measure, interval in (intervals | {SCORE: _mean(list(intervals.values()))}).items():
            row = {"metric": f"{kind}{measure}", **dataclasses.asdict(interval), "error": interval.error}
            rows.append(about | row)
    table = pd.DataFrame(rows)
    engine.save_numbers(table, settings, negationclip.EXPERIMENT, TABLE, seed=seed)
    return table


def chosen(table: pd.DataFrame, measure: str = SCORE) -> int:
    """The number of passes that the rule takes, from the table of ``choice``."""
    budgets = sorted(table.loc[table["metric"] == measure, "passes"])
    rises = table[table["metric"] == f"{RISE}{measure}"].set_index("passes")
    still = [passes for passes in budgets[:-1] if not rises.loc[passes, "value"] < rises.loc[passes, "error"]]
    return int(budgets[budgets.index(still[-1]) + 1] if still else budgets[0])


def _mean(parts: Sequence[Interval]) -> Interval:
    """The mean of numbers about different items, with the interval that follows from theirs."""
    value = float(np.mean([each.value for each in parts]))
    half = float(np.linalg.norm([each.error for each in parts])) / len(parts) * statistics.WIDTH / 2
    return Interval(value, value - half, value + half, sum(each.n for each in parts), parts[0].over)


def _passes(count: int) -> str:
    return f"{count} pass{'es' if count > 1 else ''}"


def _by_budget(settings: Profile) -> dict[int, dict[str, Floats]]:
    """The values of each measure [S, N], by budget: for every seed, means over the methods and models."""
    plan = settings.finetuning.curves
    if len(set(plan.budgets)) < 2 or not plan.methods:
        raise NegutilError(
            f"configs/{settings.name}.toml: finetuning.curves has {len(plan.budgets)} budgets and "
            f"{len(plan.methods)} methods: a rule that compares lengths needs two budgets and a method."
        )
    points = {name: passes for name, (_, share, passes) in recipes.curve(settings).items() if share == 1}
    models: dict[int, list[list[str]]] = {passes: [[] for _ in plan.seeds] for passes in sorted(plan.budgets)}
    for base, (name, passes) in itertools.product(plan.models, points.items()):
        for place, seed in enumerate(plan.seeds):
            models[passes][place].append(recipes.model_name(base, name, seed))
    names = [name for seeds in models.values() for own in seeds for name in own]
    items = evaluation.items(settings, [Evaluation(name, VALIDATION) for name in names])
    parts = {measure: items[items["task"] == measure] for measure in MEASURES}
    return {
        passes: {
            measure: np.stack([rows[own].to_numpy(float).mean(axis=1) for own in seeds])
            for measure, rows in parts.items()
        }
        for passes, seeds in models.items()
    }


# --------------------------------------------------------------------------------------------------------------------
# Curves as tables


COLUMNS = ("base", "title", "line", "at", "value", "low", "high")


def curve(table: pd.DataFrame, settings: Profile, titles: Sequence[str]) -> pd.DataFrame:
    """Benchmarks against passes, a line for each method with all captions, from CLIP (0 passes) on: COLUMNS."""
    points = {name: point for name, point in recipes.curve(settings).items() if point[1] == 1}
    lines = {name: (recipes.find(method).title, passes) for name, (method, _, passes) in points.items()}
    return _along(table, settings, titles, lines, first=0)


def shares(table: pd.DataFrame, settings: Profile, titles: Sequence[str], method: str) -> pd.DataFrame:
    """Benchmarks against passes over all captions, a line for each share of the captions of ``method``: COLUMNS.

    A share is passed over more often, so that points above each other have as many steps. Empty without two shares.
    """
    points = {name: point for name, point in recipes.curve(settings).items() if point[0] == method}
    if len({share for _, share, _ in points.values()}) < 2:
        points = {}
    by_share = sorted(points.items(), key=lambda item: -item[1][1])
    lines = {name: (f"{share:.0%} of the captions", passes) for name, (_, share, passes) in by_share}
    return _along(table, settings, titles, lines, first=0)


def alphas(table: pd.DataFrame, settings: Profile, titles: Sequence[str]) -> pd.DataFrame:
    """Benchmarks against NegBench's alpha, the weight of the contrastive loss beside that of the questions: COLUMNS."""
    lines = {name: (recipes.find(recipes.NEGFULL).title, at) for name, at in recipes.alphas(settings).items()}
    return _along(table, settings, titles, lines)


def _along(
    table: pd.DataFrame,
    settings: Profile,
    titles: Sequence[str],
    lines: Mapping[str, tuple[str, float]],
    first: float | None = None,
) -> pd.DataFrame:
    """Means over seeds of the recipes ``lines`` (each with its line and place); every line begins with CLIP's at
    ``first``."""
    models = settings.finetuning.curves.models
    levels = table[(table["kind"] == LEVEL) & table["seed"].isna() & table["title"].isin(titles)]
    levels = levels[levels["base"].isin(models)]
    places = pd.DataFrame([(name, *place) for name, place in lines.items()], columns=["method", "line", "at"])
    parts = [levels.merge(places, on="method")]
    if first is not None:
        starts: list[dict[str, Any]] = [
            {"method": CLIP, "line": line, "at": first} for line in dict.fromkeys(places["line"])
        ]
        if starts:
            parts.append(levels.merge(pd.DataFrame(starts), on="method"))
    order = {line: number for number, line in enumerate(dict.fromkeys(places["line"]))}
    found = pd.concat(parts).astype({"at": float}).assign(order=lambda rows: rows["line"].map(order))
    return found.sort_values(["base", "title", "order", "at"], kind="stable")[list(COLUMNS)].reset_index(drop=True)
