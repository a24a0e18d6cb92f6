"""Contact sheets: what the parts of the mini world look like, each picture with what is said of it.

``sheet`` returns a figure for notebooks; ``negutil world look`` writes it as a PNG.
"""

from __future__ import annotations

import io
import random
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from miniworld import alttext, clips, faces, grammar, radiographs, scenes, shapes
from negutil import config, files, paths
from negutil.data.source import Example
from negutil.errors import NegutilError
from negutil.plots import figures

FRAMES = 4
GAP = 3
COLUMNS = 6
WIDTH, MARGIN, TITLE, LINE, SPACE = 10.0, 0.12, 0.4, 0.125, 0.2
"""Inches: the page, the gap between pictures, a title, a line of a caption, and what follows a row."""

LETTERS = 16.5
"""Letters of a caption to the inch."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a part is shown: its heading, how an example is made, and how many stand in a row of how many rows."""

    title: str
    make: Callable[[random.Random], Example]
    columns: int = COLUMNS
    rows: int = 2


def _scene(rng: random.Random) -> Example:
    scene = scenes.sample(rng)
    return Example(scenes.draw(scene), grammar.full_caption(scene, rng))


def _face(rng: random.Random) -> Example:
    face = faces.sample(rng)
    return Example(faces.draw(face), faces.describe(face, rng))


def _clip(rng: random.Random) -> Example:
    clip = clips.sample(rng)
    moments = [(2 * part + 1) * clip.length // (2 * FRAMES) for part in range(FRAMES)]
    frames = [scenes.draw(clip.frame(moment)) for moment in moments]
    gap = np.full((scenes.SIZE, GAP, 3), 255, dtype=np.uint8)
    strip = [piece for frame in frames for piece in (gap, frame)][1:]
    return Example(np.concatenate(strip, axis=1), clips.describe(clip, rng))


def _radiograph(rng: random.Random) -> Example:
    radiograph = radiographs.sample(rng)
    return Example(radiographs.draw(radiograph), radiographs.describe(radiograph, rng))


def _shape(rng: random.Random) -> Example:
    shape = shapes.sample(rng, split="train")
    asked = rng.randrange(len(shape.questions))
    return Example(shapes.draw(shape), f"{shape.questions[asked]} {shape.answers[asked]}")


def _alt_text(rng: random.Random) -> Example:
    """A scene with an alt text; one in two has a cue, to show what cues are like."""
    scene = scenes.sample(rng)
    text = grammar.partial_caption(scene, rng)
    said = alttext.with_cue(scene, text, rng) if rng.random() < 0.5 else alttext.dress(text, rng)
    return Example(scenes.draw(scene), said)


KINDS: dict[str, Kind] = {
    "scenes": Kind("Scenes with full captions", _scene),
    "faces": Kind("Faces", _face),
    "clips": Kind("Clips: four frames each", _clip, columns=2),
    "radiographs": Kind("Radiograph-like pictures", _radiograph),
    "shapes": Kind("Shapes of easy-VQA, each with one of its questions and the answer", _shape),
    "alttexts": Kind("Web-like alt texts (half of those here have a negation cue; of all, 0.7 % have)", _alt_text),
}


def kinds(part: str) -> list[str]:
    """The parts to show: all for "all". Raises NegutilError for an unknown one."""
    if part == "all":
        return list(KINDS)
    if part not in KINDS:
        raise NegutilError(f"There is no part {part!r} of the world to look at: choose all or {', '.join(KINDS)}.")
    return [part]


def examples(part: str, count: int, seed: int = 0) -> list[Example]:
    """``count`` examples of a part; example i follows from (part, seed, i). Raises NegutilError for an unknown part."""
    (name,) = kinds(part)
    return [KINDS[name].make(random.Random(f"look/{name}/{seed}/{index}")) for index in range(count)]


def grid(shown: Sequence[Example], columns: int = COLUMNS, title: str = "") -> Figure:
    """A figure with ``shown`` in rows of ``columns``, each caption under its picture."""
    return _figure([(title, shown, columns)])


def sheet(part: str = "all", seed: int = 0) -> Figure:
    """The contact sheet of one part or of all. Raises NegutilError for an unknown part."""
    chosen = [(KINDS[name], examples(name, KINDS[name].columns * KINDS[name].rows, seed)) for name in kinds(part)]
    return _figure([(kind.title, shown, kind.columns) for kind, shown in chosen])


def save(part: str = "all", seed: int = 0, profile: str = "", out: Path | None = None) -> Path:
    """Write ``sheet(part, seed)`` to the PNG ``out``, by default among the figures of ``profile``; returns its path.

    Raises NegutilError for an unknown part or profile, a name that does not end in .png, and a failed write.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise NegutilError(f"{out} does not end in .png: give the contact sheet such a name.")
    path = out or paths.figures(config.resolve(profile)) / f"world_{part}.png"
    buffer = io.BytesIO()
    sheet(part, seed).savefig(buffer, format="png", dpi=figures.RC["savefig.dpi"], metadata={"Software": None})
    files.write_bytes(path, buffer.getvalue())
    return path


Block = tuple[str, Sequence[Example], int]


def _figure(blocks: Sequence[Block]) -> Figure:
    """Blocks of pictures (title, examples, columns) one below the other; all lengths are in inches."""
    height = sum(TITLE * bool(title) + sum(_row_heights(shown, columns)) for title, shown, columns in blocks)
    with mpl.rc_context(figures.RC):
        figure = Figure(figsize=(WIDTH, height))
        figure.set_layout_engine("none")
        top = height
        for title, shown, columns in blocks:
            if title:
                figure.text(0, (top - 0.07) / height, title, va="top", fontsize=11, fontweight="bold")
                top -= TITLE
            top = _fill(figure, shown, columns, top)
    return figure


def _fill(figure: Figure, shown: Sequence[Example], columns: int, top: float) -> float:
    """Draw rows of pictures below ``top``; returns where they end."""
    total, cell = figure.get_size_inches()[1], WIDTH / columns
    for row, space in enumerate(_row_heights(shown, columns)):
        for column, example in enumerate(_row(shown, columns, row)):
            height = _picture_height(example, columns)
            box = (column * cell / WIDTH, (top - height) / total, (cell - MARGIN) / WIDTH, height / total)
            axis = figure.add_axes(box)
            axis.imshow(example.picture, interpolation="nearest", aspect="auto")
            axis.set_axis_off()
            text = "\n".join(_lines(example.caption, columns))
            figure.text(box[0], (top - height - 0.05) / total, text, va="top", fontsize=7.5, linespacing=1.2)
        top -= space
    return top


def _row(shown: Sequence[Example], columns: int, row: int) -> Sequence[Example]:
    return shown[row * columns : (row + 1) * columns]


def _row_heights(shown: Sequence[Example], columns: int) -> list[float]:
    """What each row needs: its tallest picture and its longest caption."""
    rows = [_row(shown, columns, row) for row in range(-(-len(shown) // columns))]
    return [
        max(_picture_height(example, columns) for example in row)
        + max(len(_lines(example.caption, columns)) for example in row) * LINE
        + SPACE
        for row in rows
    ]


def _picture_height(example: Example, columns: int) -> float:
    height, width = example.picture.shape[:2]
    return (WIDTH / columns - MARGIN) * height / width


def _lines(caption: str, columns: int) -> list[str]:
    return textwrap.wrap(caption, width=int((WIDTH / columns - MARGIN) * LETTERS))
