"""Figures of the probe: what they show is what the table says."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from miniworld import faces
from negutil.captions import probe_prompts
from negutil.plots import binary_probe as plots
from negutil.tasks import probe

MODELS = ("one", "two")


pytestmark = pytest.mark.usefixtures("readable_figures")


def _points(axis: Axes) -> np.ndarray:
    """The values of the first series of marks, from the top."""
    return np.asarray(next(line for line in axis.lines if line.get_marker() == "o").get_xdata())


@pytest.fixture(scope="module")
def outcomes() -> dict[str, probe.Outcome]:
    pairs = probe_prompts.read_prompts()
    labels = pd.DataFrame([faces.sample(random.Random(f"figures/{i}")).attributes for i in range(120)])
    found = {}
    for seed, model in enumerate(MODELS):
        rng = np.random.default_rng(seed)
        texts = {text: rng.normal(size=16) for text in probe_prompts.texts(pairs)}
        found[model] = probe.evaluate(pairs, labels, rng.normal(size=(120, 16)), texts, resamples=20)
    return found


@pytest.fixture(scope="module")
def table(outcomes: dict[str, probe.Outcome]) -> pd.DataFrame:
    return pd.concat([outcome.table.assign(model=model) for model, outcome in outcomes.items()], ignore_index=True)


def test_by_attribute_has_a_panel_per_model_with_all_drawn_attributes_in_order(table: pd.DataFrame) -> None:
    figure = plots.by_attribute(table)
    shown = {name.replace("_", " ").lower().replace("o clock", "o'clock"): name for name in faces.DRAWN}
    names = [shown[label.get_text().lower()] for label in figure.axes[0].get_yticklabels()]
    rows = table[(table.phrasing == "not") & (table.metric == "balanced_accuracy")]
    means = rows.groupby("attribute")["value"].mean()[names].to_numpy()
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(MODELS)
    assert sorted(names) == sorted(faces.DRAWN)
    assert (np.diff(means) <= 0).all()
    values = _points(figure.axes[0])
    own = table[(table.model == "one") & (table.phrasing == "not") & (table.metric == "tpr")]
    assert np.allclose(values, own.set_index("attribute").loc[names, "value"])


def test_by_phrasing_shows_negations_then_antonym_then_the_affirmative_prompt_alone(table: pd.DataFrame) -> None:
    figure = plots.by_phrasing(table)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["not", "without", "no", probe_prompts.ANTONYM, probe_prompts.ALONE]
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["balanced accuracy", "AUC"]
    assert len(_points(figure.axes[1])) == 5


def test_preference_has_a_dot_per_attribute_and_phrasing(table: pd.DataFrame) -> None:
    figure = plots.preference(table)
    dots = sum(len(np.asarray(points.get_offsets())) for points in figure.axes[0].collections)
    assert dots == len(MODELS) * (3 * len(faces.DRAWN) + len(faces.ANTONYM_PHRASES))


def test_margins_split_the_faces_by_label(outcomes: dict[str, probe.Outcome]) -> None:
    figure = plots.margins(outcomes["one"].items, ["Bald", "Smiling", "Eyeglasses"])
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["Bald", "Smiling", "Eyeglasses"]
    assert all(len(axis.containers) == 2 for axis in figure.axes)
