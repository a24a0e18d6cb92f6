"""The card of ``negutil bench`` as a page that needs nothing but itself: a figure, tables, notes, provenance."""

from __future__ import annotations

import base64
import io
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from negutil import files
from negutil.bench import run
from negutil.bench.references import OTHER, PUBLISHED
from negutil.bench.run import Card
from negutil.plots import figures
from negutil.results import Record
from negutil.tables import with_interval

TEMPLATE, PAGE = "bench_card.html.j2", "card.html"
MOST = 6
"""More reference models than this are in the table only: the figure could not tell them apart."""

ROW_HEIGHT, WIDTH = 0.3, 9.0  # inches


def save(card: Card, out: Path) -> Path:
    """Write ``card.html`` to ``out`` and return its path."""
    files.write_text(out / PAGE, html(card))
    return out / PAGE


def html(card: Card) -> str:
    """The whole page, with its figure inside it."""
    environment = Environment(loader=PackageLoader("negutil"), autoescape=True, undefined=StrictUndefined)
    numbers = run.table(card)
    main = numbers[numbers["main"]]
    marks, svg = _models(card), io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": figures.RC["svg.hashsalt"]}):  # the same bytes for the same numbers
        figure(card).savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    return environment.get_template(TEMPLATE).render(
        model=card.model,
        lead=_lead(card),
        figure=base64.b64encode(svg.getvalue()).decode("ascii"),
        alt=f"Main numbers of {card.model['name']} with intervals, guessing, blind rules and other models",
        sources=[
            f"{name} ({_origin(next(record for record in card.references if record.model == name))})" for name in marks
        ],
        main=texts(main),
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
        facts=_facts(card),
    )


def figure(card: Card) -> Figure:
    """A row for each main number: the model, guessing, the best blind rule, and reference models."""
    numbers = run.table(card)
    rows = numbers[numbers["main"]].reset_index(drop=True)
    with mpl.rc_context(figures.RC):
        drawing, axis = plt.subplots(figsize=(WIDTH, 1.3 + ROW_HEIGHT * len(rows)))
        at = np.arange(len(rows), dtype=float)
        look: dict[str, Any] = {"color": figures.BLUE, "marker": "o", "linestyle": "", "markersize": 4.5, "capsize": 2}
        axis.errorbar(rows["value"], at, xerr=figures.reach(rows), elinewidth=1, label=card.model["name"], **look)
        axis.plot(rows["chance"].astype(float), at, "|", color="#444444", markersize=13, label="guessing")
        if rows["blind"].notna().any():
            axis.plot(rows["blind"].astype(float), at, "x", color="#444444", markersize=5, label="best blind rule")
        for index, name in enumerate(_models(card), start=1):
            _others(axis, rows, [record for record in card.references if record.model == name], index, name)
        _finish(axis, rows, str(card.model["name"]))
        plt.close(drawing)
    return drawing


def _others(axis: Axes, rows: pd.DataFrame, records: list[Record], index: int, name: str) -> None:
    """A reference model, hollow and a little below the model's own row."""
    row_of = {pair: row for row, pair in enumerate(zip(rows["task"], rows["metric"], strict=True))}
    own = [record for record in records if (record.task, record.metric) in row_of]
    heights = [row_of[record.task, record.metric] + 0.22 for record in own]
    style: dict[str, Any] = {
        "color": figures.PALETTE[index],
        "marker": figures.MARKERS[index],
        "markerfacecolor": "none",
    }
    axis.plot([record.value for record in own], heights, linestyle="", markersize=4.5, label=name, **style)


def _finish(axis: Axes, rows: pd.DataFrame, name: str) -> None:
    """Names of the rows, one scale, and a legend that begins with the model ``name``."""
    names = [f"{task}  ({metric})" for task, metric in zip(rows["task"], rows["metric"], strict=True)]
    axis.set_yticks(np.arange(len(rows)), names, fontsize=8.5)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(-0.02, 1.02)
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)
    handles, labels = axis.get_legend_handles_labels()
    named = sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0] != name)
    places: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 3, "borderaxespad": 0.3}
    axis.legend([handle for _, handle in named], [label for label, _ in named], fontsize=8.5, **places)


def _models(card: Card) -> list[str]:
    """The reference models that the figure shows."""
    main = set(card.main)
    found = dict.fromkeys(record.model for record in card.references if (record.task, record.metric) in main)
    return list(found)[:MOST]


# --------------------------------------------------------------------------------------------------------------------
# Words


def _lead(card: Card) -> str:
    model = card.model
    words = f"{model['architecture']}, {model['parameters'] / 1e6:.1f} million parameters, {model['dtype']}."
    if any(task["world"] for task in card.tasks):
        words += (
            " Asked about the mini world: small drawn pictures, for which every label is exact. These numbers show "
            "whether and where a model fails on negation; they cannot be compared with published ones."
        )
    return words


def texts(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of ``run.table`` as texts."""
    return [_text({str(key): value for key, value in row.items()}) for row in rows.to_dict("records")]


def _text(row: dict[str, Any]) -> dict[str, Any]:
    number = partial(with_interval, low=None, high=None)
    bars = [float(row[key]) for key in ("chance", "blind") if not pd.isna(row[key])]
    blind = "" if pd.isna(row["blind"]) else f"{number(float(row['blind']))} ({row['blind_rule']})"
    return {
        "task": row["task"],
        "metric": row["metric"],
        "value": number(float(row["value"])),
        "interval": _interval(row["low"], row["high"]),
        "n": f"{row['n']:,}",
        "chance": "" if pd.isna(row["chance"]) else number(float(row["chance"])),
        "blind": blind,
        "low": bool(row["main"] and bars and not float(row["low"]) > max(bars)),
    }


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None or pd.isna(low) or pd.isna(high) else f"{low:.3f} to {high:.3f}"


def _origin(record: Record) -> str:
    """Where the number of another model is from, in a few words."""
    if record.experiment in (PUBLISHED, OTHER):
        return record.experiment
    return f"this repository, notebook {record.experiment[:2]}"


def _facts(card: Card) -> list[tuple[str, str]]:
    model, made = card.model, card.provenance
    versions = {"negutil": made["version"], **made["packages"]}
    facts = [
        ("weights", str(model["source"])),
        ("sha256 of the weights", str(model["weights_sha256"])),
        ("activation", str(model["activation"])),
        ("pictures", ", ".join(f"{key} {value}" for key, value in model["preprocessing"].items())),
        ("device", str(made.get("device", ""))),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("commit", f"{made['commit'] or 'none'}{' with changes' if made['dirty'] else ''}"),
        ("made", str(made["started"])),
    ]
    return facts + [(task["title"], f"{task['seconds']} s; data {task['data_sha256'][:16]}") for task in card.tasks]
