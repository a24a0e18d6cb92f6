"""Whether captions with negation are true, which is exact, because the mini world knows what is in its images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from miniworld import referring, shapes, truth
from miniworld.scenes import Scene
from miniworld.shapes import Shape
from miniworld.writers import shapes as shape_files
from negutil.captions import english, p2, phrasing
from negutil.errors import NegutilError


def shapes_by_id() -> dict[int, Shape]:
    """What easy-VQA's answers settle about each of its images, by the image id in the files."""
    return {shape_files.image_id(item): item for split in shapes.SPLITS for item in shapes.load(split)}


def are_true(captions: pd.DataFrame, shown: Mapping[int, Scene | Shape]) -> NDArray[np.bool_]:
    """Whether what was added to each caption (columns: ``p1.COLUMNS``) is true of its image, by image id.

    The text is judged, not the intention: an annotator that loses the negation says that the thing is there.
    """
    rows = captions[["image_id", "caption", "updated_caption", "kind", "absent", "about"]].to_dict("records")
    return np.array([_is_true(shown[row["image_id"]], row) for row in rows], dtype=bool)


def _is_true(shown: Scene | Shape, row: Mapping[Any, Any]) -> bool:
    negated = phrasing.of(row["updated_caption"]).cue != ""
    if isinstance(shown, Shape):
        # Whether the image shows a "red shape", a "circle", ...
        named = set(row["absent"].split())
        facts = ((shown.colour, shapes.COLOURS), (shown.shape, shapes.SHAPES))
        return all(value in named for value, values in facts if named & set(values)) != negated
    if row["about"]:
        return _holds(shown, row["kind"], row["absent"], row["about"]) != negated
    said = added(row["caption"], row["updated_caption"]) or [row["absent"]]
    visible = truth.sayable(shown.nouns)
    return all((noun in visible) != negated for noun in said)


def _holds(scene: Scene, kind: str, value: str, about: str) -> bool:
    """Whether anything called ``about`` is as a denial says that it is not.

    Raises NegutilError for a kind of denial that the mini world knows nothing about.
    """
    denial = p2.Denial(kind, value, about)
    known = {"worn": "wearing", "colour": "colour", "action": "action"}
    if kind not in known:
        raise NegutilError(f"Whether {denial.text!r} is true cannot be known: judge kinds {', '.join(known)} alone.")
    fact = next(iter(english.mentions(denial.thing)), denial.thing) if kind == "worn" else value
    alike = [one for one in truth.instances(scene) if not one.relation and truth.is_a(one.noun, about)]
    return any(referring.fits(one, known[kind], fact) for one in alike)


def added(caption: str, updated: str) -> list[str]:
    """The nouns that the updated caption names more often than the caption."""
    return list(english.mentions(updated) - english.mentions(caption))
