"""Shapes with questions and answers from the third-party package ``easy-vqa`` (Victor Zhou, MIT licence).

Images (64 x 64), questions, answers and the split are the package's own; each image holds one shape. What the shape
is follows from the answers, so that a caption can be written for it.
"""

import random
import re
from dataclasses import dataclass
from functools import cache

import easy_vqa
import numpy as np
from PIL import Image

from negutil.errors import NegutilError

SIZE = 64
SHAPES: tuple[str, ...] = ("circle", "rectangle", "triangle")
COLOURS: tuple[str, ...] = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SPLITS: tuple[str, ...] = ("train", "test")


@dataclass(frozen=True, slots=True)
class Shape:
    """One image of easy-VQA: its questions and answers, and the facts that follow from them.

    ``shape`` and ``colour`` are None if the image's questions do not settle them.
    """

    split: str
    image_id: int
    shape: str | None
    colour: str | None
    questions: tuple[str, ...]
    answers: tuple[str, ...]


def _fact(pairs: list[tuple[str, str]], values: tuple[str, ...]) -> str | None:
    """Which of ``values`` the image has: answered, presupposed by a question, or affirmed by a yes-no question."""
    yes_no = [(question, answer) for question, answer in pairs if answer in ("yes", "no")]
    for question, answer in pairs:
        named = [value for value in values if re.search(rf"\b{value}\b", question)]
        if answer in values:
            return answer
        if named and (question, answer) not in yes_no:
            return named[0]
    present: dict[str, bool] = {}
    for question, answer in yes_no:
        negated = re.search(r"\b(no|not)\b", question) is not None
        present |= {value: (answer == "yes") != negated for value in values if re.search(rf"\b{value}\b", question)}
    there = [value for value, is_there in present.items() if is_there]
    left = [value for value in values if present.get(value, True)]
    return there[0] if there else left[0] if len(left) == 1 else None


@cache
def load(split: str) -> tuple[Shape, ...]:
    """All images of ``split`` ("train" or "test") by image id. Raises NegutilError for another split."""
    if split not in SPLITS:
        raise NegutilError(f"easy-VQA has no split {split!r}; use one of {', '.join(SPLITS)}.")
    read = easy_vqa.get_train_questions if split == "train" else easy_vqa.get_test_questions
    grouped: dict[int, list[tuple[str, str]]] = {}
    for question, answer, image_id in zip(*read(), strict=True):
        grouped.setdefault(image_id, []).append((question, answer))
    shapes = []
    for image_id, pairs in sorted(grouped.items()):
        questions, answers = zip(*pairs, strict=True)
        shapes.append(Shape(split, image_id, _fact(pairs, SHAPES), _fact(pairs, COLOURS), questions, answers))
    return tuple(shapes)


@cache
def _paths(split: str) -> dict[int, str]:
    """Image file of each image id."""
    return easy_vqa.get_train_image_paths() if split == "train" else easy_vqa.get_test_image_paths()


def sample(rng: random.Random, split: str = "train") -> Shape:
    """A random image of ``split``. Raises NegutilError for another split."""
    return rng.choice(load(split))


def draw(shape: Shape) -> np.ndarray:
    """The package's image as uint8 [64, 64, 3]."""
    with Image.open(_paths(shape.split)[shape.image_id]) as picture:
        return np.asarray(picture.convert("RGB"))


_FORMS: tuple[str, ...] = (
    "a {thing}",
    "a picture of a {thing}",
    "one {thing} on a light background",
    "the image contains a {thing}",
    "there is a {thing} in the image",
    "{thing}, geometric clip art",
    "a drawing of a {thing}",
    "a simple {thing}",
    "flat {thing} icon",
    "a {thing} is present",
)


def describe(shape: Shape, rng: random.Random) -> str:
    """An affirmative caption with the colour, the shape or both, as far as the answers settle them."""
    colour = shape.colour if shape.shape is None or rng.random() < 0.85 else None
    noun = (shape.shape or "shape") if colour is None or rng.random() < 0.9 else "shape"
    return rng.choice(_FORMS).format(thing=f"{colour or ''} {noun}".strip())
