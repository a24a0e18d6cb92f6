"""The card of ``negutil bench`` as a self-contained page: a figure, tables, notes, provenance."""

import base64
import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from negutil import files
from negutil.bench import run
from negutil.bench.examples import Examples
from negutil.bench.references import OTHER, PUBLISHED
from negutil.bench.run import Card
from negutil.plots import figures
from negutil.results import Record
from negutil.tables import with_interval

TEMPLATE, PAGE = "bench_card.html.j2", "card.html"
MOST = 6
"""Largest number of reference models in the figure; the table has the others."""

ROW_HEIGHT, WIDTH = 0.3, 9.0  # inches
NARROW_ROW_HEIGHT, NARROW_WIDTH = 0.5, 4.2


def save(card: Card, out: Path, examples: Sequence[Examples] = ()) -> Path:
    """Write ``card.html`` to ``out`` and return its path."""
    files.write_text(out / PAGE, html(card, examples))
    return out / PAGE


def summary(card: Card) -> list[str]:
    """What the main numbers say, in words: one sentence about guessing and blind rules, one for each other card."""
    rows = run.table(card)
    rows = rows[rows["main"] & (rows["chance"].notna() | rows["blind"].notna())]
    above = sum(not row["low"] for row in texts(rows))
    said = [f"Above guessing and blind rules on {above} of {_tests(len(rows))}."] if len(rows) else []
    for model in dict.fromkeys(record.model for record in card.differences):
        own = [record for record in card.differences if record.model == model]
        better = sum((record.ci_low or 0) > 0 for record in own)
        worse = sum((record.ci_high or 0) < 0 for record in own)
        other = model.partition(" minus ")[2]
        said.append(f"Better than {other} on {better} of {_tests(len(own))} on the same items, worse on {worse}.")
    return said


def _tests(count: int) -> str:
    return f"{count} test" if count == 1 else f"{count} tests"


def html(card: Card, examples: Sequence[Examples] = ()) -> str:
    """The whole page, with its figure and the images of ``examples`` inside it."""
    environment = Environment(loader=PackageLoader("negutil"), autoescape=True, undefined=StrictUndefined)
    numbers = run.table(card)
    model, made = card.model, card.provenance
    lead = f"{model['architecture']}, {model['parameters'] / 1e6:.1f} million parameters, {model['dtype']}."
    if any(task["world"] for task in card.tasks):
        lead += (
            " Evaluated on the mini world: small drawn images with exact labels. These numbers show "
            "whether and where a model fails on negation; they cannot be compared with published ones."
        )
    versions = {"negutil": made["version"], **made["packages"]}
    return environment.get_template(TEMPLATE).render(
        model=model,
        lead=lead,
        summary=summary(card),
        examples=examples,
        differences=[
            {
                "task": record.task,
                "pair": record.model,
                "value": f"{record.value:+.3f}",
                "interval": _interval(record.ci_low, record.ci_high),
                "n": f"{record.n:,}",
            }
            for record in card.differences
        ],
        figure=_svg(figure(card)),
        narrow_figure=_svg(figure(card, is_narrow=True)),
        alt=f"Main numbers of {model['name']} with intervals, guessing, blind rules and other models",
        sources=[f"{name} ({_origin(records[0])})" for name, records in _shown(card).items()],
        main=texts(numbers[numbers["main"]]),
        every=texts(numbers),
        references=[
            {
                "task": record.task,
                "metric": record.metric,
                "model": record.model,
                "value": f"{record.value:.3f}",
                "interval": _interval(record.ci_low, record.ci_high),
                "n": f"{record.n:,}",
                "source": f"published: {record.paper_source}" if record.paper_source else _origin(record),
            }
            for record in card.references
        ],
        notes=[f"{task['title']}: {note}" for task in card.tasks for note in task["notes"]],
        facts=[
            ("weights", str(model["source"])),
            ("sha256 of the weights", str(model["weights_sha256"])),
            ("activation", str(model["activation"])),
            ("pictures", ", ".join(f"{key} {value}" for key, value in model["preprocessing"].items())),
            ("device", str(made.get("device", ""))),
            ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
            ("commit", f"{made['commit'] or 'none'}{' with changes' if made['dirty'] else ''}"),
            ("made", str(made["started"])),
            ("command", str(made["command"])),
            *((task["title"], f"{task['seconds']} s; data {task['data_sha256'][:16]}") for task in card.tasks),
        ],
    )


def _svg(drawing: Figure) -> str:
    """The figure in base64, the same bytes for the same numbers."""
    svg = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": figures.RC["svg.hashsalt"]}):
        drawing.savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    return base64.b64encode(svg.getvalue()).decode("ascii")


def figure(card: Card, *, is_narrow: bool = False) -> Figure:
    """A row for each main number: the model, guessing, the best blind rule, and reference models.

    A narrow one, for phones, has the names above the rows instead of beside them.
    """
    numbers, model = run.table(card), str(card.model["name"])
    rows = numbers[numbers["main"]].reset_index(drop=True)
    pairs = list(zip(rows["task"], rows["metric"], strict=True))
    with mpl.rc_context(figures.RC):
        width, height = (NARROW_WIDTH, NARROW_ROW_HEIGHT) if is_narrow else (WIDTH, ROW_HEIGHT)
        drawing, axis = plt.subplots(figsize=(width, 1.3 + height * len(rows)))
        at = np.arange(len(rows), dtype=float)
        look: dict[str, Any] = {"color": figures.BLUE, "marker": "o", "linestyle": "", "markersize": 4.5, "capsize": 2}
        axis.errorbar(rows["value"], at, xerr=figures.reach(rows), elinewidth=1, label=card.model["name"], **look)
        axis.plot(rows["chance"].astype(float), at, "|", color="#444444", markersize=13, label="guessing")
        if rows["blind"].notna().any():
            axis.plot(rows["blind"].astype(float), at, "x", color="#444444", markersize=5, label="best blind rule")
        for index, (name, records) in enumerate(_shown(card).items(), start=1):
            # Hollow, and a little below the model's own row.
            placed = [record for record in records if (record.task, record.metric) in pairs]
            axis.plot(
                [record.value for record in placed],
                [pairs.index((record.task, record.metric)) + 0.22 for record in placed],
                linestyle="",
                markersize=4.5,
                label=name,
                color=figures.PALETTE[index],
                marker=figures.MARKERS[index],
                markerfacecolor="none",
            )
        names = [f"{task}  ({metric})" for task, metric in pairs]
        axis.set_yticks(at, [""] * len(names) if is_narrow else names, fontsize=8.5)
        for row, name in enumerate(names if is_narrow else ()):
            axis.text(0, row - 0.35, name, fontsize=8.5, va="center")
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_xlim(-0.02, 1.02)
        axis.grid(axis="x")
        axis.tick_params(axis="y", length=0)
        handles, labels = axis.get_legend_handles_labels()
        named = sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0] != model)
        columns = 2 if is_narrow else 3
        places: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": columns, "borderaxespad": 0.3}
        axis.legend([handle for _, handle in named], [label for label, _ in named], fontsize=8.5, **places)
        plt.close(drawing)
    return drawing


def _shown(card: Card) -> dict[str, list[Record]]:
    """The records of the reference models that the figure shows: the first MOST with a main number."""
    main = set(card.main)
    names = dict.fromkeys(record.model for record in card.references if (record.task, record.metric) in main)
    return {name: [record for record in card.references if record.model == name] for name in list(names)[:MOST]}


def texts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of ``run.table`` as texts."""
    number = partial(with_interval, low=None, high=None)
    shown = []
    for row in rows.to_dict("records"):
        bars = [float(row[key]) for key in ("chance", "blind") if not pd.isna(row[key])]
        shown.append(
            {
                "task": row["task"],
                "metric": row["metric"],
                "value": number(float(row["value"])),
                "interval": _interval(row["low"], row["high"]),
                "n": f"{row['n']:,}",
                "chance": "" if pd.isna(row["chance"]) else number(float(row["chance"])),
                "blind": "" if pd.isna(row["blind"]) else f"{number(float(row['blind']))} ({row['blind_rule']})",
                "low": bool(row["main"] and bars and not float(row["low"]) > max(bars)),
            }
        )
    return shown


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None or pd.isna(low) or pd.isna(high) else f"{low:.3f} to {high:.3f}"


def _origin(record: Record) -> str:
    """Where the number of another model is from, in a few words."""
    if record.experiment in (PUBLISHED, OTHER):
        return record.experiment
    return f"this repository, notebook {record.experiment[:2]}"
