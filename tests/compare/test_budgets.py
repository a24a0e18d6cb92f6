"""The rule that chooses how long to train, on made tables, and what it asks for."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from negutil import config
from negutil.compare import budgets
from negutil.errors import NegutilError
from negutil.plots import negationclip as plots


def table(rises: list[tuple[float, float]]) -> pd.DataFrame:
    """The numbers of the rule for budgets 1, 2, 5, 10, 20 with these rises and their standard errors."""
    passes = [1, 2, 5, 10, 20][: len(rises) + 1]
    levels = [{"metric": budgets.SCORE, "passes": each, "value": 0.5, "error": 0.01} for each in passes]
    rows = [
        {"metric": f"{budgets.RISE}{budgets.SCORE}", "passes": each, "value": rise, "error": error}
        for each, (rise, error) in zip(passes, rises, strict=False)
    ]
    return pd.DataFrame(levels + rows)


@pytest.mark.parametrize(
    ("rises", "expected"),
    [
        ([(0.05, 0.01), (0.04, 0.01), (0.005, 0.01), (-0.02, 0.01)], 5),
        ([(0.05, 0.01), (0.005, 0.01), (0.02, 0.01), (0.005, 0.01)], 10),
        ([(0.05, 0.01)] * 4, 20),
        ([(-0.01, 0.01)] * 4, 1),
        ([(0.01, 0.01)] * 4, 20),
    ],
    ids=["flat from 5 on", "a pause is no end", "never flat", "flat at once", "as much as its error is a rise"],
)
def test_the_rule_takes_the_smallest_budget_from_which_on_nothing_rises(
    rises: list[tuple[float, float]], expected: int
) -> None:
    assert budgets.chosen(table(rises)) == expected


def test_a_profile_without_curves_has_nothing_to_draw() -> None:
    row = {"base": "miniclip-s-8", "method": "plain", "seed": None, "title": "COCO retrieval", "kind": ""}
    levels = pd.DataFrame([{**row, "value": 0.5, "low": 0.4, "high": 0.6}])
    quick = config.load("quick")
    quick = dataclasses.replace(quick, finetuning=dataclasses.replace(quick.finetuning, curves=config.Curves()))
    for made in (budgets.curve, budgets.alphas):
        assert made(levels, quick, ("COCO retrieval",)).empty
    figure = plots.budgets(budgets.curve(levels, quick, ("COCO retrieval",)), ("COCO retrieval",))
    assert "Nothing to show" in figure.axes[0].texts[0].get_text()


def test_a_rule_without_two_budgets_is_refused() -> None:
    quick = config.load("quick")
    curves = config.Curves(models=("miniclip-s-8",), seeds=(0,), budgets=(2,), methods=("plain",))
    one = dataclasses.replace(quick, finetuning=dataclasses.replace(quick.finetuning, curves=curves))
    with pytest.raises(NegutilError, match=r"quick\.toml: finetuning\.curves has 1 budgets"):
        budgets.choice(one)
