"""Figures of the notebook on methods without training show what they are given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation

from negutil.compare.without_training import MEASURES
from negutil.plots import without_training as plots


def test_the_idea_draws_the_angles_of_the_formulas() -> None:
    threshold = 0.75
    figure = plots.idea(theta=50, weight=0.5, threshold=threshold)
    notes = [note for axis in figure.axes for note in axis.texts if isinstance(note, Annotation)]
    by_name = {note.get_text(): note.xy for note in notes if note.get_text()}
    x, y = by_name[f"caps, threshold {threshold:g}"]
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(np.degrees(np.arccos(threshold)) + 25, abs=0.1)
    x, y = by_name["a − 0.5 n"]
    a = np.radians(50)
    assert np.arctan2(y, x) == pytest.approx(np.arctan2(np.sin(a), np.cos(a) - 0.5), abs=1e-3)


def test_choices_have_a_panel_for_each_method_with_the_chosen_number() -> None:
    rows = [
        {"model": model, "method": method, "number": number, "score": number, "chosen": number == chosen}
        | dict.fromkeys(MEASURES, 0.5)
        for model, chosen in (("first", 0.1), ("last", 0.2))
        for method in ("caps", "steering")
        for number in (0.1, 0.2)
    ]
    figure = plots.choices(pd.DataFrame(rows))
    assert [axis.get_title() for axis in figure.axes[:2]] == ["caps", "steering"]
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert [np.asarray(line.get_xdata())[0] for line in dashed] == [0.2]
    assert plots.choices(pd.DataFrame(rows[:0])).axes


def test_gains_are_in_points_by_method() -> None:
    about = {"base": "m", "title": "exclusion", "low": 0.1, "high": 0.3}
    rows = pd.DataFrame([about | {"method": name, "value": 0.2} for name in ("caps", "steering", "other")])
    figure = plots.gains(rows, ["exclusion"], {"caps": "Caps", "steering": "Steering"})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Caps", "Steering"]
    low, high = figure.axes[0].get_xlim()
    assert low <= 0 and 30 <= high < 40  # 0.3 is 30 points
