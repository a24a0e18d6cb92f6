"""Figure of notebook 09: every ability against the share of captions that truly deny something."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from negutil.captions.claim_items import OBJECTS
from negutil.compare import evaluation, negationclip
from negutil.compare.affirmative import FACES, PRESENCE
from negutil.compare.doses import ABSENCE, PROBE, Doses, Plan
from negutil.compare.evaluation import CLAIMS, EXCLUSION, MCQ
from negutil.plots import figures
from negutil.plots.figures import Mark
from negutil.tasks import suite

DENIED, NEGATED_CLAIMS = f"{MCQ}, negative", f"{CLAIMS}, {OBJECTS}, negated"
NEGATION: dict[str, float | None] = {
    **{EXCLUSION: 0.5, ABSENCE: 0.5, NEGATED_CLAIMS: 0.5, MCQ: 0.25, DENIED: 0.25, PROBE: 0.5},
    **{negationclip.ALL_ITEMS: 0.5, evaluation.NEGATED_RETRIEVAL: None},
}
"""Abilities that need negation, with their chance level (None: next to 0)."""

AFFIRMATIVE: dict[str, float | None] = {PRESENCE: 0.5, FACES: 0.5, suite.COCO: None, suite.IMAGENET: None}
"""Abilities that do not."""

DENIALS, ASIDES = "true denials", "asides"
STYLE: dict[str, Mark] = {DENIALS: (figures.BLUE, "o"), ASIDES: (figures.VERMILION, "s")}
TUNED: tuple[Mark, ...] = ((figures.GREEN, "^"), (figures.GREY, "X"))
"""Marks of the fine-tuned models: with negation, and the control."""

LINEAR, BESIDE = 0.7, 1.3
"""Up to which dose the axis is linear, and by how much marks are moved to the right that are not on the line."""


@figures.or_nothing
def abilities(levels: pd.DataFrame, doses: Doses, plan: Plan, titles: Mapping[str, float | None]) -> Figure:
    """A panel for each of ``titles``, whose values are chance levels: dose in percent against ability, with intervals.

    ``levels`` are the means of ``doses.run`` (columns title, method, value, low, high). Models that learned from true
    denials are joined by a line. The model with asides stands beside it at its own dose, and the fine-tuned ones at
    that of the model that met as many captions with a negation in pretraining.
    """
    places = _places(doses, plan)
    shown = levels.merge(places, on="method")
    known = {name: mark for name, mark in _marks(plan).items() if name in set(shown["line"])}
    figure, axes = figures.panels(list(titles), 1.75, 3, sharex=True, sharey=True)
    for axis, (title, chance) in zip(axes, titles.items(), strict=True):
        own = shown[shown["title"] == title]
        for name, (colour, marker) in known.items():
            rows = own[own["line"] == name].sort_values("at")
            line = "-" if name == DENIALS else ""
            axis.errorbar(
                rows["at"], rows["value"], figures.reach(rows), color=colour, marker=marker, linestyle=line, capsize=2
            )
        if chance is not None:
            axis.axhline(chance, **figures.CHANCE, zorder=1)
        axis.set_xscale("symlog", linthresh=LINEAR)
        ticks = sorted({doses.find(name).dose for name in plan.models})
        axis.set_xticks(ticks, [f"{dose:g}" for dose in ticks])
        axis.set_xticks([], minor=True)
        axis.set_ylim(-0.03, 1.03)
        axis.grid(visible=True)
    figure.supxlabel("captions in pretraining with a negation, %")
    figure.supylabel("accuracy, recall or AUC")
    figures.legend(figure, known, "chance")
    return figure


def _places(doses: Doses, plan: Plan) -> pd.DataFrame:
    """Where each model is drawn: method, line (what the legend calls it), at."""
    models = [doses.find(name) for name in plan.models]
    rows = [(model.name, DENIALS, model.dose) for model in models if not model.asides]
    rows += [(model.name, ASIDES, model.dose * BESIDE) for model in models if model.asides]
    if plan.finetuning:
        at, titles = doses.find(plan.finetuning.as_many_as).dose, plan.finetuning.titles
        rows += [(label, title, at * BESIDE**place) for place, (label, title) in enumerate(titles.items(), 1)]
    return pd.DataFrame(rows, columns=["method", "line", "at"])


def _marks(plan: Plan) -> dict[str, Mark]:
    titles = plan.finetuning.titles.values() if plan.finetuning else ()
    return STYLE | dict(zip(titles, TUNED, strict=False))
