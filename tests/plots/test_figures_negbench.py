"""Figures of notebook 03: what they show is what the tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from negutil.captions.exclusion import ALONE, BOTH
from negutil.plots import figures
from negutil.plots import negbench as plots
from negutil.plots.figures import Ranked
from negutil.plots.negbench import Card
from negutil.tasks.affirmation_bias import DENIES, SAYS
from negutil.tasks.exclusion import ALL, HELD_OUT, TRAINED

MODELS = ("small", "large")


pytestmark = pytest.mark.usefixtures("readable_figures")


def _series(axis: Axes) -> list[list[float]]:
    """The values of every series of marks, from the top."""
    marked = [line for line in axis.lines if line.get_marker() in figures.MARKERS]
    return [np.asarray(line.get_xdata(), float).tolist() for line in marked]


def _ticks(axis: Axes) -> list[str]:
    return [label.get_text() for label in axis.get_yticklabels()]


def _legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def _with_interval(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(low=rows["value"] - 0.02, high=rows["value"] + 0.03, n=50)


def test_accuracy_by_type_has_a_panel_per_dataset_and_marks_blind_baselines() -> None:
    kinds = ("negative", "hybrid", "positive")
    models = (*MODELS, "blind: longest")
    rows = [(f"{d} MCQ, paraphrased", m, f"accuracy on {k}") for d in ("VOC", "COCO") for m in models for k in kinds]
    table = _with_interval(pd.DataFrame(rows, columns=["task", "model", "metric"]).assign(value=np.arange(18) / 18))
    figure = plots.accuracy_by_type(table, MODELS, ("longest",))
    first, second = figure.axes
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["VOC", "COCO"]
    assert _ticks(first) == ["positive", "hybrid", "negative"]  # whatever the order of the table
    assert np.allclose(_series(second)[1], np.array([14, 13, 12]) / 18)
    assert np.allclose(_series(first)[2], np.array([8, 7, 6]) / 18)
    chance = [line for line in second.lines if line.get_linestyle() == "--"]
    assert np.asarray(chance[0].get_xdata()).tolist() == [0.25, 0.25]
    assert _legend(figure) == [*MODELS, "without images: longest", "chance"]


def test_recall_drop_sets_negated_below_plain_and_writes_the_difference() -> None:
    rows = [("COCO", m, c, v) for m, (p, n) in zip(MODELS, ((0.9, 0.85), (0.8, 0.7)), strict=True)
            for c, v in (("plain", p), ("negated", n))]  # fmt: skip
    table = _with_interval(pd.DataFrame(rows, columns=["dataset", "model", "captions", "value"]))
    table["task"] = table["dataset"] + " retrieval, " + table["captions"].replace("negated", "paraphrased")
    table = table.drop(columns=["dataset", "captions"]).assign(metric="recall@10")
    figure = plots.recall_drop(table, MODELS, k=10)
    small, large = figure.axes
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(MODELS)
    assert _ticks(small) == ["COCO"]
    assert [_series(small), _series(large)] == [[[0.9], [0.85]], [[0.8], [0.7]]]
    assert [axis.texts[0].get_text() for axis in figure.axes] == ["−5.0 points", "−10.0 points"]
    assert _legend(figure) == ["plain", "negated"]


def test_affirmation_bias_sets_denials_beside_statements_for_every_model() -> None:
    centres = np.linspace(-3, 3, 20)
    parts = [
        pd.DataFrame(
            {
                "model": model,
                "kind": kind,
                "shown": shown,
                "centre": centres,
                "density": np.exp(-((centres - shown) ** 2)),
            }
        )
        for model in MODELS
        for kind in (SAYS, DENIES)
        for shown in (True, False)
    ]
    table = pd.concat(parts)
    figure = plots.affirmation_bias(table)
    assert len(figure.axes) == 4
    assert [axis.get_title(loc="left") for axis in figure.axes[:2]] == ["sentences that say X", "sentences that deny X"]
    assert [axis.get_ylabel() for axis in figure.axes[::2]] == [f"{model}\ndensity" for model in MODELS]
    curves = {str(line.get_label()): line for line in figure.axes[3].lines if len(np.asarray(line.get_xdata())) == 20}
    np.testing.assert_allclose(np.asarray(curves["images with X"].get_ydata()), np.exp(-((centres - 1) ** 2)))
    assert all(axis.get_ylim()[1] > table["density"].max() for axis in figure.axes)


def test_exclusion_groups_the_wordings() -> None:
    forms = {ALONE: ("", False), BOTH: ("", False), "X, but no Y": ("no", False), "X, never Y": ("never", True)}
    forms |= {ALL: ("", False), TRAINED: ("", False), HELD_OUT: ("", True)}
    rows = [(m, f, cue, kept, "AUC", 0.1 * n) for m in MODELS for n, (f, (cue, kept)) in enumerate(forms.items())]
    table = _with_interval(pd.DataFrame(rows, columns=["model", "form", "cue", "held_out", "metric", "value"]))
    other = table.assign(metric="mAP", value=0.0)
    figure = plots.exclusion(pd.concat([table, other]))
    (axis,) = figure.axes
    order = ["controls", ALONE, BOTH, "means", ALL, TRAINED, HELD_OUT]
    order += ["usual phrasings", "X, but no Y", "held-out phrasings", "X, never Y"]
    assert _ticks(axis) == order
    bold = [label.get_text() for label in axis.get_yticklabels() if label.get_fontweight() == "bold"]
    assert bold == ["controls", "means", "usual phrasings", "held-out phrasings"]
    marked = next(line for line in axis.lines if line.get_marker() in figures.MARKERS)
    pairs = zip(np.asarray(marked.get_ydata(), float), np.asarray(marked.get_xdata(), float), strict=True)
    shown = {order[round(at)]: float(value) for at, value in pairs if not np.isnan(value)}
    assert shown == dict(zip(forms, table["value"][: len(forms)].tolist(), strict=True))


def test_retrieved_frames_right_pictures_green_and_wrong_ones_red() -> None:
    pictures = [np.full((8, 8, 3), shade, np.uint8) for shade in (0, 100, 200)]
    rows = [
        Ranked("a cat, but no dog", pictures, [True, False, True], ["cat", "cat + dog", "cat"]),
        Ranked("a cat", pictures[:2], [True, True], summary="2 of 2 show a cat"),
    ]
    figure = figures.retrieved(rows)
    assert [part.get_suptitle() for part in figure.subfigs] == ["“a cat, but no dog”", "“a cat”: 2 of 2 show a cat"]
    colours = [to_hex(axis.spines["left"].get_edgecolor()).upper() for axis in figure.axes[:3]]
    assert colours == [figures.GREEN, figures.VERMILION, figures.GREEN]
    assert [axis.get_xlabel() for axis in figure.axes[:5]] == ["right: cat", "wrong: cat + dog", "right: cat"] + [
        "right"
    ] * 2
    assert not figure.axes[5].get_visible()
    assert np.asarray(figure.axes[1].images[0].get_array())[0, 0, 0] == 100


def test_question_cards_name_the_right_option_and_the_chosen_one() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    cards = [
        Card(picture, ["a cat", "no cat", "a dog", "no dog"], [0.3, 0.4, -0.1, 0.2], 0, "a question"),
        Card(picture, ["a cat", "a dog"], [0.3, 0.3], 1),
    ]
    figure = plots.question_cards(cards)
    left, right, _, tie = figure.axes
    assert right.get_xlim() == tie.get_xlim()
    assert left.get_title(loc="left") == "a question"
    assert _ticks(right) == ["a cat", "no cat", "a dog", "no dog"]
    widths = [
        patch.get_width() for bars in right.containers if isinstance(bars, BarContainer) for patch in bars.patches
    ]
    assert widths == [0.3, 0.4, -0.1, 0.2]
    labels = [text.get_text().strip() for text in right.texts]
    assert labels == ["0.300  (right)", "0.400  (chosen)", "−0.100", "0.200"]
    # Two options share the top: neither is the answer.
    assert [text.get_text().strip() for text in tie.texts] == ["0.300", "0.300  (right)"]


def test_accuracy_by_cue_orders_cues_by_frequency() -> None:
    rows = [(m, "cue", level, value) for m in MODELS for level, value in (("never", 0.1), ("no", 0.2), ("", 0.9))]
    table = _with_interval(pd.DataFrame(rows, columns=["model", "factor", "level", "value"]))
    table["n"] = table["level"].map({"never": 5, "no": 80, "": 30})
    figure = plots.accuracy_by_cue(pd.concat([table, table.assign(factor="position")]))
    (axis,) = figure.axes
    assert _ticks(axis) == ["no  (n = 80)", "no negation  (n = 30)", "never  (n = 5)"]
    assert _series(axis)[1] == [0.2, 0.9, 0.1]


def test_claims_show_each_domain_s_kinds_in_every_panel() -> None:
    rows = [
        (model, domain, metric + kind, value)
        for model in MODELS
        for domain in ("objects", "faces")
        for metric in ("AUC", "same sentence")
        for kind, value in (("", 0.5), (" on affirmative", 0.9), (" on negated", 0.1), (" on affirmative, true", 1.0))
    ]
    table = _with_interval(pd.DataFrame(rows, columns=["model", "domain", "metric", "value"]))
    figure = plots.claims(table, metrics=("AUC", "same sentence"))
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["AUC", "same sentence"]
    kinds = ("affirmative", "all", "negated")
    assert _ticks(figure.axes[0]) == [f"{domain}, {kind}" for domain in ("objects", "faces") for kind in kinds]
    assert _series(figure.axes[1])[0] == [0.9, 0.5, 0.1] * 2
