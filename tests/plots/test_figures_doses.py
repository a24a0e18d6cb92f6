"""The figure of notebook 09 shows every model where its dose is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from negutil.compare import doses
from negutil.plots import doses as plots
from negutil.plots import figures

pytestmark = pytest.mark.usefixtures("readable_figures")


def levels(plan: doses.Plan) -> pd.DataFrame:
    titles = {**plots.NEGATION, **plots.AFFIRMATIVE}
    rows = [(title, method.label, 0.6) for title in titles for method in doses.methods(plan)]
    table = pd.DataFrame(rows, columns=["title", "method", "value"])
    return table.assign(low=table["value"] - 0.1, high=table["value"] + 0.1)


@pytest.mark.parametrize("profile", ["quick", "mini"])
def test_every_ability_has_a_panel_with_every_model(profile: str) -> None:
    figures.style()
    known = doses.read()
    plan, titles = doses.plan_of(profile), {**plots.NEGATION, **plots.AFFIRMATIVE}
    figure = plots.abilities(levels(plan), known, plan, titles)
    assert [axis.get_title(loc="left").replace("\n", " ") for axis in figure.axes] == list(titles)
    for axis, chance in zip(figure.axes, titles.values(), strict=True):
        marked = [line for line in axis.lines if line.get_marker() not in ("", "None", "_")]
        drawn = sorted(float(x) for line in marked for x in np.asarray(line.get_xdata()))
        assert len(drawn) == len(doses.methods(plan))
        assert drawn[0] == 0 and drawn[-1] >= 20
        dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
        assert bool(dashed) == (chance is not None)


def test_without_numbers_it_says_so() -> None:
    known = doses.read()
    empty = levels(doses.plan_of("quick")).iloc[:0]
    assert plots.abilities(empty, known, doses.plan_of("quick"), plots.NEGATION).axes
