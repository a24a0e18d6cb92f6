"""Figures of notebook 06: what is drawn is what stands in the tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from negutil.compare import glasses_parts, layer_probe
from negutil.config import Bootstrap
from negutil.plots import clipglasses as plots

NUMBERS: dict[str, Any] = {"value": 0.6, "low": 0.5, "high": 0.65, "n": 10, "over": "clusters"}


pytestmark = pytest.mark.usefixtures("readable_figures")


def table(methods: list[str], titles: list[str], bases: tuple[str, ...] = ("s", "b")) -> pd.DataFrame:
    keys = [(base, method, title) for base in bases for method in methods for title in titles]
    return pd.DataFrame(keys, columns=["base", "method", "title"]).assign(**NUMBERS)


def test_two_tests_has_a_row_for_each_method_and_a_mark_for_each_architecture() -> None:
    known = table(["", "x"], ["A", "B"])
    lacking = known[~((known["method"] == "x") & (known["title"] == "B") & (known["base"] == "s"))]
    figure = plots.two_tests(lacking, ("A", "B"), {"": "CLIP", "x": "Ex"}, (0.5, 0.25))
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["A", "B"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["CLIP", "Ex"]
    chance = [
        np.asarray(line.get_xdata())[0] for axis in figure.axes for line in axis.lines if line.get_linestyle() == "--"
    ]
    assert chance == [0.5, 0.25]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["s", "b", "chance"]


def layer_table() -> pd.DataFrame:
    tasks = ("layer 1", "layer 2", "output", layer_probe.LENGTH, "layer 1 minus output")
    shown = [(metric, task) for metric in (layer_probe.ACCURACY, layer_probe.SEEN) for task in tasks]
    shown += [(layer_probe.GAP, task) for task in tasks[:3]]
    keys = [(base, metric, task) for base in ("s", "b") for metric, task in shown]
    return pd.DataFrame(keys, columns=["base", "metric", "task"]).assign(**NUMBERS)


def test_layers_are_in_order_and_differences_left_out() -> None:
    figure = plots.layers(layer_table())
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == ["layer 1", "layer 2", "output", layer_probe.LENGTH]


def test_tsne_joins_the_sentences_of_a_pair() -> None:
    rng = np.random.default_rng(0)
    facts = {"layer": np.repeat(["layer 1", "output"], 8), "pair": np.tile([0, 1, 2, 3], 4)}
    facts |= {"negated": np.tile(np.repeat([True, False], 4), 2), "x": rng.random(16), "y": rng.random(16)}
    places = pd.DataFrame(facts)
    figure = plots.tsne(places)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Layer 1", "Output"]
    for axis in figure.axes:
        assert len(axis.lines) == 4
        assert sum(len(np.asarray(points.get_offsets())) for points in axis.collections) == 8


def test_strengths_show_distributions_and_differences() -> None:
    rng = np.random.default_rng(0)
    lambdas = pd.DataFrame({name: rng.random(12) for name in glasses_parts.STRENGTHS})
    nouns = [str(number % 4) for number in range(12)]
    found = glasses_parts.lambda_summary(lambdas, lambdas * 0 + 1, nouns, Bootstrap(20, 0))
    figure = plots.strengths(lambdas, pd.concat([found.assign(base=base) for base in ("s", "b")]))
    left, right = figure.axes
    assert len(left.get_yticklabels()) == 4
    assert sum(line.get_marker() in {"o", "s"} for line in right.lines) == 2
    assert right.get_yticklabels()[0].get_text() == "no minus not any"


def test_changes_stand_in_points_beside_the_published_ones() -> None:
    rows = table(["a", "b", "c"], ["A", "B"], ("b",))
    published = pd.DataFrame({"title": ["A"], "method": ["b"], "value": [-0.25]})
    figure = plots.changes(rows, ("A", "B"), {"a": "Ay", "b": "Bee"}, "points", published)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["A", "A: the paper", "B"]
    left, paper, _ = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["Ay", "Bee"]
    values = [next(line for line in axis.lines if line.get_marker() == "o").get_xdata() for axis in (left, paper)]
    np.testing.assert_allclose(np.asarray(values[0], float), [60, 60])
    np.testing.assert_allclose(np.asarray(values[1], float)[-1], -25)
