"""Figures of notebook 05: what they show is what the tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from negutil.compare import engine, negationclip
from negutil.plots import figures
from negutil.plots import negationclip as drawn
from negutil.tasks import ccneg, suite

BASES = ("small", "large")
METHODS = ("plain", "con-clip", "negationclip")
TITLES = (negationclip.ALL_ITEMS, suite.REFERRING, suite.BARE, suite.AFFIRMED, suite.CCNEG, ccneg.REVERSED)


pytestmark = pytest.mark.usefixtures("readable_figures")


@pytest.fixture
def table() -> pd.DataFrame:
    """A table of ``engine.Findings`` with a different value in every row."""
    rows = []
    for base in BASES:
        for method in ("", *METHODS):
            for title in TITLES:
                kinds = [("", None)] + ([("", 0), ("", 1), (engine.OVER_CLIP, None)] if method else [])
                rows += [(base, method, seed, title, kind) for kind, seed in kinds]
    found = pd.DataFrame(rows, columns=["base", "method", "seed", "title", "kind"]).astype({"seed": "Int64"})
    value = np.linspace(0.1, 0.9, len(found))
    return found.assign(value=value, low=value - 0.05, high=value + 0.05, metric="accuracy", n=50, over="items")


def _series(axis: Axes) -> list[list[float]]:
    """The values of every series of marks, from the top."""
    marked = [line for line in axis.lines if line.get_marker() in figures.MARKERS]
    return [[float(value) for value in np.asarray(line.get_xdata())] for line in marked]


def test_gains_are_in_points_with_a_panel_per_benchmark_and_a_colour_per_architecture(table: pd.DataFrame) -> None:
    plot = drawn.gains(table, TITLES[:2], METHODS)
    assert len(plot.axes) == 2
    small, large = _series(plot.axes[1])
    rows = table[(table["kind"] == engine.OVER_CLIP) & (table["title"] == TITLES[1])]
    assert small == pytest.approx((100 * rows[rows["base"] == "small"]["value"]).tolist())
    assert large == pytest.approx((100 * rows[rows["base"] == "large"]["value"]).tolist())
    assert [text.get_text() for text in plot.axes[0].get_yticklabels()] == [
        "plain captions",
        "CoN-CLIP",
        "NegationCLIP",
    ]


def test_captions_show_means_and_every_seed(table: pd.DataFrame) -> None:
    axis = drawn.captions(table, TITLES[:2], METHODS).axes[0]
    seeds = sum(len(np.asarray(points.get_offsets())) for points in axis.collections)
    assert seeds == len(BASES) * len(METHODS) * 2
    assert len(_series(axis)[0]) == len(METHODS) + 1


def test_referring_has_three_marks_per_model(table: pd.DataFrame) -> None:
    plot = drawn.referring(table, METHODS)
    assert [axis.get_title(loc="left") for axis in plot.axes] == list(BASES)
    assert [len(_series(axis)) for axis in plot.axes] == [3, 3]
    shown = {text.get_text() for text in plot.legends[0].get_texts()}
    assert shown == {*drawn.PHRASES.values(), "chance"}


def test_ccneg_has_a_mark_per_model_and_a_cross_per_rule(table: pd.DataFrame) -> None:
    known = [("a", suite.CCNEG, 1.0), ("a", ccneg.REVERSED, 0.0), ("b", suite.CCNEG, 0.4), ("b", ccneg.REVERSED, 0.5)]
    rules = pd.DataFrame(known, columns=["rule", "title", "value"])
    axis = drawn.ccneg_both_ways(table, rules, METHODS).axes[0]
    assert len(axis.containers) == len(BASES) * (len(METHODS) + 1)
    (crosses,) = [line for line in axis.lines if line.get_marker() == "x"]
    assert np.asarray(crosses.get_xdata()).tolist() == [1.0, 0.4]
    assert [text.get_text() for text in axis.texts] == ["a", "b"]


def test_held_out_compares_familiar_with_new(table: pd.DataFrame) -> None:
    rows = pd.DataFrame(
        {
            "base": "large",
            "task": ["VALSE existence", "exclusion"] * 4,
            "factor": ["nouns"] * 4 + ["phrasings"] * 4,
            "held_out": [False, False, True, True] * 2,
            "value": np.arange(8) / 100,
        }
    ).assign(low=-0.1, high=0.2, n=30)
    plot = drawn.held_out(rows, "large", ("VALSE existence", "exclusion"))
    nouns, phrasings = (_series(axis) for axis in plot.axes)
    assert np.array(nouns) == pytest.approx(np.array([[0, 1], [2, 3]]))
    assert np.array(phrasings) == pytest.approx(np.array([[4, 5], [6, 7]]))


def _along(places: tuple[float, ...]) -> pd.DataFrame:
    rows = [("b", title, at, 0.5 + at / 100) for title in ("one", "two") for at in places]
    frame = pd.DataFrame(rows, columns=["base", "title", "at", "value"])
    return frame.assign(low=frame["value"] - 0.1, high=frame["value"] + 0.1)


def test_noise_has_a_mark_per_rate_and_wise_ft_a_line_per_benchmark() -> None:
    plot = drawn.noise(_along((0.0, 5.0, 20.0)))
    names = [f"{rate} % of the answers wrong" for rate in (0, 5, 20)]
    assert [text.get_text() for text in plot.legends[0].get_texts()] == names
    assert [len(values) for values in _series(plot.axes[0]) if not np.isnan(values).all()] == [2, 2, 2]
    curve = drawn.wise_ft(_along((0.0, 0.5, 1.0)), ("one",), ("two",))
    left, right = ([line for line in axis.lines if len(np.asarray(line.get_xdata()))] for axis in curve.axes)
    assert len(left) == len(right) == 1
    assert np.asarray(right[0].get_ydata()) == pytest.approx([0.5, 0.505, 0.51])


def test_figures_of_controls_that_a_profile_does_not_train_are_empty_and_not_wrong() -> None:
    plot = drawn.noise(_along(())[:0])
    assert len(plot.axes) == 1


def test_validation_draws_every_seed_and_names_each_recipe_once() -> None:
    rows = [(recipe, f"{recipe}/{seed}", epoch, 1.0) for recipe in "ab" for seed in range(3) for epoch in range(3)]
    losses = pd.DataFrame(rows, columns=["recipe", "model", "epoch", "loss_on_validation"])
    plot = drawn.validation(losses, {"a": "by picture", "b": "by caption"})
    assert len(plot.axes[0].lines) == 6
    (legend,) = plot.legends
    assert [text.get_text() for text in legend.get_texts()] == ["by picture", "by caption"]


def test_text_tower_has_a_dot_per_noun_and_the_median() -> None:
    rows = [(name, noun, value) for name in ("CLIP", "NegationCLIP") for noun, value in (("cat", 0.4), ("dog", 0.2))]
    axis = drawn.text_tower(pd.DataFrame(rows, columns=["model", "noun", "value"])).axes[0]
    dots = [np.asarray(points.get_offsets())[:, 0].tolist() for points in axis.collections]
    assert [sorted(row) for row in dots if row] == [[0.2, 0.4]] * 2
    assert any(np.allclose(np.asarray(line.get_xdata(), float), 0.3) for line in axis.lines)
