"""The figure of ``negutil.bench.explore``: what several models put first, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from negutil.plots import figures

COLUMNS = 3
WIDTH = 26
"""Letters of a line below a picture."""


@dataclass(frozen=True, slots=True)
class Block:
    """One model's pictures, best first, with what is wrong with each ("" for nothing; empty where it is not known)."""

    model: str
    pictures: Sequence[NDArray[np.uint8]]
    wrong: Sequence[str]
    summary: str = ""


def side_by_side(queries: Sequence[str], blocks: Sequence[Sequence[Block]]) -> Figure:
    """Return a row of models for every query; right pictures have a green frame, wrong ones a red one and say why."""
    across, down = len(blocks[0]), -(-max(len(block.pictures) for line in blocks for block in line) // COLUMNS)
    whole = plt.figure(figsize=(3.7 * across, (1.32 * down + 0.62) * len(queries)))
    lines = np.atleast_1d(np.asarray(whole.subfigures(len(queries), 1, squeeze=True), dtype=object))
    for line, query, row in zip(lines, queries, blocks, strict=True):
        line.suptitle(f"“{query}”", fontsize=12, fontweight="bold", x=0.01, ha="left", parse_math=False)
        parts = np.atleast_1d(np.asarray(line.subfigures(1, across, squeeze=True, wspace=0.04), dtype=object))
        for part, block in zip(parts, row, strict=True):
            title = f"{block.model}: {block.summary}" if block.summary else block.model
            part.suptitle(title, fontsize=9, parse_math=False)
            for place, axis in enumerate(part.subplots(down, COLUMNS, squeeze=False).flat):
                if place >= len(block.pictures):
                    axis.set_visible(False)
                    continue
                axis.imshow(block.pictures[place], interpolation="nearest")
                _judge(axis, block.wrong[place] if block.wrong else None)
    return whole


def _judge(axis: Axes, wrong: str | None) -> None:
    """Frame a picture green or red, with a word below that says so without the colour; grey where nothing is known."""
    colour = "#888888" if wrong is None else figures.VERMILION if wrong else figures.GREEN
    figures.frame(axis, colour, 2.5)
    if wrong is not None:
        axis.set_xlabel(textwrap.fill(wrong, WIDTH) or "right", fontsize=7, color=colour, labelpad=2, parse_math=False)
