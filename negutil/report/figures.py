"""Figures of the report: the verdicts at a glance, every method on every benchmark, and a forest for each claim."""

import io
import re
import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from negutil import tables
from negutil.compare import claims, verdicts
from negutil.compare.verdicts import Outcome
from negutil.plots.figures import BLUE, ORANGE, RC, VERMILION, WIDTH
from negutil.report import frames

COLOURS = dict(
    zip(
        verdicts.KINDS,
        (BLUE, VERMILION, ORANGE, "#888888", "#9CC3E0", "#D0D0D0", "#B5A69A", "#F0F0F0"),
        strict=True,
    )
)
"""A colour for each verdict; each bar has its number too, and hatches tell what was not tested."""

HATCHES = dict(zip(verdicts.KINDS, ("", "", "", "", "", "///", "xxx", "..."), strict=True))
REACH = 0.25
"""A gain over CLIP of this size has the full colour."""

FADED = 0.62
"""How far the colours may leave the middle of the colour map, so that black text can be read on them."""

HEADING = 62
"""Characters that a line of a heading in a forest has room for."""

GREY, SHADE = "#555555", "#e7f0f7"
MARKS = {"holds": (BLUE, "o"), "contradicted": (VERMILION, "s"), "open": (GREY, "D")}
"""Colour and marker of an interval in a forest."""


def glance(outcomes: Sequence[Outcome]) -> Figure:
    """How many claims of each paper have which verdict, as stacked bars; and, apart from them, our own findings."""
    sides = {
        "Claims of the papers": [outcome for outcome in outcomes if not outcome.is_ours],
        "Findings of our own": [outcome for outcome in outcomes if outcome.is_ours],
    }
    counted = {title: verdicts.counts(own)[::-1] for title, own in sides.items() if own}
    bars = [len(table) + 1 for table in counted.values()]
    size = (WIDTH, 0.45 * sum(bars) + 2.2)
    figure, axes = plt.subplots(len(counted), 1, figsize=size, height_ratios=bars, sharex=True, squeeze=False)
    entries: dict[str, Any] = {}
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    for axis, (title, table) in zip(axes[:, 0], counted.items(), strict=True):
        kinds = [kind for kind in verdicts.KINDS if table[kind].any()]
        named = sides[title][0]
        shown = table[kinds].rename(columns=named.label, index={claims.OURS: verdicts.OUR_FINDINGS})
        style: dict[str, Any] = {"color": [COLOURS[kind] for kind in kinds], "edgecolor": "white", "width": 0.8}
        shown.plot.barh(stacked=True, ax=axis, legend=False, **style)
        for kind, container in zip(kinds, axis.containers, strict=True):
            texts = [f"{count}" if count else "" for count in table[kind]]
            axis.bar_label(container, texts, label_type="center", fontsize=9, bbox=box)
            for bar in container:
                bar.set_hatch(HATCHES[kind])
            entries[f"{kind}, or {claims.FINDINGS[kind]}" if kind in claims.FINDINGS else kind] = container
        for text in axis.texts:
            text.set_visible(bool(text.get_text()))
        axis.set(title=title, ylabel="")
    axes[-1, 0].set_xlabel("claims")
    figure.legend(entries.values(), entries, loc="outside upper left", ncols=3, borderaxespad=0.2)
    return figure


# --------------------------------------------------------------------------------------------------------------------
# Heat maps


def gains(rows: pd.DataFrame, name: str) -> dict[str, Any]:
    """Methods by benchmarks: the number, coloured by its gain over CLIP, marked where the interval leaves out zero."""
    return _heat(rows, "method", "title", list(dict.fromkeys(rows["title"]))) | {"name": name}


def levels(rows: pd.DataFrame) -> dict[str, Any]:
    """NegBench's variations by models: the number, coloured by its distance from chance; published numbers last."""
    chance = rows[rows["model"] == frames.CHANCE].set_index("task")["value"]
    above = (rows["value"] - rows["task"].map(chance)).mask(rows["model"].isin((frames.CHANCE, frames.PAPER)))
    columns = sorted(dict.fromkeys(rows["model"]), key=lambda name: name == frames.PAPER)
    return _heat(rows.assign(gain=above, gain_low=np.nan, gain_high=np.nan), "task", "model", columns)


def _heat(rows: pd.DataFrame, row: str, column: str, columns: Sequence[str]) -> dict[str, Any]:
    """A table for the templates: ``columns``, and ``rows`` of a label and cells.

    A cell has its number as ``text``, its background ``colour`` ("" for none), whether it is ``sure`` that the gain is
    not 0, and as ``intervals`` that of the number and the gain over CLIP, where there are such.
    """
    empty: dict[str, Any] = {"text": "", "colour": "", "sure": False, "intervals": []}
    lines = []
    for label, group in rows.groupby(row, sort=False):
        cells = {}
        for one in group.to_dict("records"):
            colour = "" if pd.isna(one["gain"]) else _colour(one["gain"])
            text, sure = f"{one['value']:.3f}", one["gain_low"] > 0 or one["gain_high"] < 0
            intervals = [] if pd.isna(one["low"]) else [f"[{one['low']:.3f}, {one['high']:.3f}]"]
            if not pd.isna(one["gain_low"]):
                intervals.append(f"gain {tables.with_interval(one['gain'], one['gain_low'], one['gain_high'])}")
            cells[one[column]] = {"text": text, "colour": colour, "sure": sure, "intervals": intervals}
        lines.append((str(label), [cells.get(name, empty) for name in columns]))
    return {"columns": columns, "rows": lines}


def _colour(gain: float) -> str:
    """From orange (loss) over white to blue (gain)."""
    share = max(-1.0, min(1.0, gain / REACH))
    return to_hex(mpl.colormaps["RdBu"](0.5 + 0.5 * FADED * share))


def heat_map(rows: pd.DataFrame, base: str) -> Figure:
    """Every method on every benchmark for one architecture: numbers, coloured by their gain over CLIP.

    ``rows`` are those of ``frames.every_method``. Bold: the paired interval leaves out zero.
    """
    own = rows[rows["base"] == base]
    methods, titles = list(dict.fromkeys(own["method"])), list(dict.fromkeys(own["title"]))
    texts = own["value"].map("{:.3f}".format).str.replace("1.000", "1").str.replace(r"^(-?)0\.", r"\1.", regex=True)
    own = own.assign(text=texts, sure=(own["gain_low"] > 0) | (own["gain_high"] < 0))
    gain, text, sure = (
        own.pivot(index="method", columns="title", values=name).reindex(index=methods, columns=titles)
        for name in ("gain", "text", "sure")
    )
    figure, axis = plt.subplots(figsize=(WIDTH, 0.27 * len(methods) + 3.2))
    look: dict[str, Any] = {"cmap": "RdBu", "vmin": -REACH / FADED, "vmax": REACH / FADED, "linewidths": 0.5, "fmt": ""}
    bar: dict[str, Any] = {
        "label": f"{base}: gain over CLIP (bold: its interval leaves out zero)",
        "location": "bottom",
    }
    look |= {
        "cbar_kws": bar | {"fraction": 0.03, "pad": 0.02, "aspect": 40},
        "annot_kws": {"size": 9, "color": "black"},
    }
    shown = gain.astype(float).fillna(0).clip(-REACH, REACH)
    sns.heatmap(shown, annot=text.fillna(""), ax=axis, **look)
    for label, bold in zip(axis.texts, sure.eq(True).to_numpy().ravel(), strict=True):
        label.set_fontweight("bold" if bold else "normal")
    axis.set_xticks(np.arange(len(titles)) + 0.5, titles, fontsize=9, rotation=45, ha="left", rotation_mode="anchor")
    axis.set_yticks(np.arange(len(methods)) + 0.5, methods, fontsize=9, rotation=0)
    axis.tick_params(length=0, labeltop=True, labelbottom=False)
    axis.set(xlabel="", ylabel="")
    figure.axes[1].set_xlim(-REACH, REACH)
    return figure


# --------------------------------------------------------------------------------------------------------------------
# The forest of a claim


def forest(outcome: Outcome, profile: str) -> str:
    """Each interval of a claim against its bound, as SVG to stand inside a page; "" where the claim was not tested.

    A condition has a heading and a line for each model; the side on which an interval has to lie is shaded. A dot is
    what holds, a square what is contradicted, a diamond what is open, so that it can be read without colours.
    """
    if not outcome.rows:
        return ""
    margins = [claims.margins(outcome.claim, profile, row.model, outcome.draws) for row in outcome.rows]
    rows = pd.concat([each.assign(shown=row.model) for each, row in zip(margins, outcome.rows, strict=True)])
    conditions = [
        (textwrap.wrap(f"{task}: {metric} {wanted}", HEADING), own)
        for (task, metric, wanted), own in rows.groupby(["task", "metric", "wanted"], sort=False)
    ]
    height = sum(0.85 * len(heading) + len(own) + 0.4 for heading, own in conditions)
    numbers = rows[["value", "ci_low", "ci_high", "bound"]].to_numpy(float)
    low, high = float(np.nanmin(numbers)), float(np.nanmax(numbers))
    room = 0.06 * (high - low) or 0.05
    with mpl.rc_context({**RC, "figure.constrained_layout.use": False}):
        figure = Figure(figsize=(4.6, 0.24 * height + 0.3))
        axis = figure.add_axes((0.28, 0.26 / (0.24 * height + 0.3), 0.7, 0.24 * height / (0.24 * height + 0.3)))
        axis.set(xlim=(low - room, high + room), ylim=(height, 0), yticks=[])
        top = 0.0
        for heading, own in conditions:
            top = _condition(axis, heading, own, top)
        axis.xaxis.set_major_locator(MaxNLocator(4))
        axis.tick_params(labelsize=8, colors=GREY)
        axis.spines[["left", "top", "right"]].set_visible(False)
        return _inline(
            figure, outcome.claim.id, f"Intervals beside the bound. {outcome.claim.statement} {outcome.told}"
        )


def _condition(axis: Axes, heading: Sequence[str], rows: pd.DataFrame, top: float) -> float:
    """A heading and the lines below it; returns where the next condition begins."""
    left, right = axis.get_xlim()
    for line in heading:
        axis.annotate(line, (-0.39, top + 0.6), xycoords=("axes fraction", "data"), fontsize=8)
        top += 0.85
    end = top + len(rows)
    bound, reach, side = (rows.iloc[0][name] for name in ("bound", "within", "side"))
    start, stop = {"above": (bound, right), "below": (left, bound), "equal": (bound - reach, bound + reach)}[str(side)]
    axis.fill_betweenx((top, end), start, stop, color=SHADE, linewidth=0, clip_on=False)
    axis.vlines(bound, top, end, color=GREY, linestyle="--", linewidth=0.8, clip_on=False)
    for middle, row in enumerate(rows.to_dict("records")):
        kind = "holds" if row["holds"] > 0 else "contradicted" if row["contradicted"] >= 0 else "open"
        kind = "open" if row["n"] < row["of"] else kind  # a part of the data, which decides nothing
        colour, marker = MARKS[kind]
        at = top + middle + 0.5
        axis.annotate(row["shown"], (-0.39, at + 0.2), xycoords=("axes fraction", "data"), fontsize=8, color=GREY)
        axis.hlines(at, row["ci_low"], row["ci_high"], color=colour, linewidth=1.6, clip_on=False)
        mark: dict[str, Any] = {"marker": marker, "markersize": 5 if kind == "open" else 6, "linewidth": 0}
        axis.plot(row["value"], at, color=colour, clip_on=False, gid=f"mark {kind}", **mark)
    return end + 0.4


def _inline(figure: Figure, name: str, label: str) -> str:
    """The SVG of a figure for a page that has several: without a head, and without ids that another one has too.

    ``label`` says in words what it shows, to who cannot see it.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True)
    text = buffer.getvalue()
    text = re.sub(r"<!--.*?-->\s*|<(metadata|style).*?</\1>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<g id="mark (\w+)"', r'<g class="\1"', text)
    text = re.sub(r'<g id="[^"]*"', "<g", text).replace("xlink:href", "href")
    size = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg class="forest" {size[0] if size else ""} role="img" aria-label="{escape(label)}">'
    return head + text[text.index(">") + 1 :].rstrip()
