"""Contact sheets: what the parts of the mini world look like, each image with what is said of it.

``sheet`` returns a figure for notebooks; ``negutil world look`` writes it as a PNG.
"""

import io
import random
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
"""Inches: the page, the gap between images, a title, a line of a caption, and what follows a row."""

LETTERS = 16.5
"""Letters of a caption to the inch."""


class Kind(NamedTuple):
    """How a part is shown: its heading, and the number of images in each of its two rows."""

    title: str
    columns: int = COLUMNS


KINDS: dict[str, Kind] = {
    "scenes": Kind("Scenes with full captions"),
    "faces": Kind("Faces"),
    "clips": Kind("Clips: four frames each", columns=2),
    "radiographs": Kind("Radiograph-like images"),
    "shapes": Kind("Shapes of easy-VQA, each with one of its questions and the answer"),
    "alttexts": Kind("Web-like alt texts (half of those here have a negation cue; of all, 0.7 % have)"),
}


def _example(part: str, rng: random.Random) -> Example:
    """A random image of a part, and what is said of it."""
    if part in ("faces", "radiographs"):
        module = faces if part == "faces" else radiographs
        item = module.sample(rng)
        return Example(module.draw(item), module.describe(item, rng))
    if part == "clips":
        clip = clips.sample(rng)
        moments = [(2 * frame + 1) * clip.length // (2 * FRAMES) for frame in range(FRAMES)]
        gap = np.full((scenes.SIZE, GAP, 3), 255, dtype=np.uint8)
        strip = [piece for moment in moments for piece in (gap, scenes.draw(clip.frame(moment)))][1:]
        return Example(np.concatenate(strip, axis=1), clips.describe(clip, rng))
    if part == "shapes":
        shape = rng.choice(shapes.load("train"))
        number = rng.randrange(len(shape.questions))
        return Example(shapes.draw(shape), f"{shape.questions[number]} {shape.answers[number]}")
    scene = scenes.sample(rng)
    if part == "scenes":
        return Example(scenes.draw(scene), grammar.full_caption(scene, rng))
    text = grammar.partial_caption(scene, rng)
    # One alt text in two has a cue, to show what cues are like.
    return Example(scenes.draw(scene), alttext.plain_text(text, rng, 0.5))


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
    return [_example(name, random.Random(f"look/{name}/{seed}/{index}")) for index in range(count)]


@figures.or_nothing
def grid(shown: Sequence[Example], columns: int = COLUMNS, title: str = "") -> Figure:
    """A figure with ``shown`` in rows of ``columns``, each caption under its image."""
    return _figure([(title, shown, columns)])


def sheet(part: str = "all", seed: int = 0) -> Figure:
    """The contact sheet of one part or of all. Raises NegutilError for an unknown part."""
    chosen = [(name, KINDS[name].title, KINDS[name].columns) for name in kinds(part)]
    return _figure([(title, examples(name, 2 * columns, seed), columns) for name, title, columns in chosen])


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


def _figure(blocks: Sequence[tuple[str, Sequence[Example], int]]) -> Figure:
    """Blocks of images (title, examples, columns) one below the other; all lengths are in inches."""
    sized = [(title, _rows(shown, columns), WIDTH / columns) for title, shown, columns in blocks]
    total = sum(TITLE * bool(title) + sum(space for *_, space in rows) for title, rows, _ in sized)
    with mpl.rc_context(figures.RC):
        figure = Figure(figsize=(WIDTH, total))
        figure.set_layout_engine("none")
        top = total
        for title, rows, cell in sized:
            if title:
                figure.text(0, (top - 0.07) / total, title, va="top", fontsize=11, fontweight="bold")
                top -= TITLE
            for pictures, texts, heights, space in rows:
                for column, (picture, text, height) in enumerate(zip(pictures, texts, heights, strict=True)):
                    box = (column * cell / WIDTH, (top - height) / total, (cell - MARGIN) / WIDTH, height / total)
                    axis = figure.add_axes(box)
                    axis.imshow(picture, interpolation="nearest", aspect="auto")
                    axis.set_axis_off()
                    below = (top - height - 0.05) / total
                    figure.text(box[0], below, "\n".join(text), va="top", fontsize=7.5, linespacing=1.2)
                top -= space
    return figure


Row = tuple[list[np.ndarray], list[list[str]], list[float], float]
"""Images, the lines of their captions, how high each is, and how high a row they need."""


def _rows(shown: Sequence[Example], columns: int) -> list[Row]:
    width, rows = WIDTH / columns - MARGIN, []
    for start in range(0, len(shown), columns):
        pictures = [example.picture for example in shown[start : start + columns]]
        texts = [textwrap.wrap(one.caption, width=int(width * LETTERS)) for one in shown[start : start + columns]]
        heights = [width * picture.shape[0] / picture.shape[1] for picture in pictures]
        rows.append((pictures, texts, heights, max(heights) + max(map(len, texts)) * LINE + SPACE))
    return rows
