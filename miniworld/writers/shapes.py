"""easy-VQA as VQA v2: questions and annotations JSON with pictures (docs/protocols.md#negationclip-captions).

Pictures, questions and answers are those of the package ``easy-vqa``, written by somebody else; only the format is
changed. Its training pictures make up the training and validation splits, its test pictures the test split. Stands for
VQA v2 as a third-party data set; the questions about scenes are in the part ``vqa``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from miniworld import shapes
from miniworld.shapes import Shape
from miniworld.writers import _shared
from negutil import progress
from negutil.config import Splits
from negutil.errors import NegutilError

SUBTYPES = {"train": "train2014", "val": "val2014", "test": "test2015"}
TEST_IDS = 10_000
"""Added to the package's test image ids, which count from zero like those for training."""

ANNOTATORS = 10
_OPENINGS = re.compile(
    r"what (?:is|shape|colou?r)(?: is)?(?: the)?|is there(?: not)?|does the image(?: not)?|is (?:an?|no)"
)
_LICENCE = {"url": "https://github.com/vzhou842/easy-VQA", "name": "MIT"}


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Fill ``folder`` with a questions and an annotations file per split and with pictures; returns questions by split.

    The choice is the package's order, so ``seed`` changes nothing. Raises NegutilError where the package has fewer
    pictures than ``sizes`` asks for.
    """
    del seed
    counts = {}
    for split, items in _chosen(sizes).items():
        subtype, pairs = SUBTYPES[split], [(item, number) for item in items for number in range(len(item.questions))]
        questions = [
            {
                "image_id": image_id(item),
                "question_id": image_id(item) * 100 + number,
                "question": item.questions[number],
            }
            for item, number in pairs
        ]
        annotations = [_annotation(item, number) for item, number in pairs]
        about = {"info": {"description": "easy-VQA"}, "data_type": "mscoco", "license": _LICENCE}
        about |= {"data_subtype": subtype}
        asked = {**about, "task_type": "Open-Ended", "questions": questions}
        _shared.write_json(folder / f"v2_OpenEnded_mscoco_{subtype}_questions.json", asked)
        _shared.write_json(folder / f"v2_mscoco_{subtype}_annotations.json", {**about, "annotations": annotations})
        (folder / subtype).mkdir()
        for item in progress.bar("drawing images", items, unit="image", leave=False):
            name = f"COCO_{subtype}_{image_id(item):012d}.jpg"
            _shared.write_picture(folder / subtype / name, shapes.draw(item))
        counts[split] = len(questions)
    return {"questions": counts}


def _chosen(sizes: Splits) -> dict[str, tuple[Shape, ...]]:
    """The pictures of each split that has any."""
    train, test = shapes.load("train"), shapes.load("test")
    wanted = {"train and val": (sizes.train + sizes.val, len(train)), "test": (sizes.test, len(test))}
    for name, (asked, there) in wanted.items():
        if asked > there:
            raise NegutilError(f"world.shapes asks for {asked} {name} pictures of easy-VQA's {there}: ask for fewer.")
    chosen = {"train": train[: sizes.train], "val": train[len(train) - sizes.val :], "test": test[: sizes.test]}
    return {split: items for split, items in chosen.items() if items}


def image_id(item: Shape) -> int:
    """Number of a picture, unique over the package's two splits."""
    return item.image_id + (TEST_IDS if item.split == "test" else 0)


def _annotation(item: Shape, number: int) -> dict[str, Any]:
    """The package's answer ten times over, as VQA v2 has ten annotators."""
    answer, found = item.answers[number], _OPENINGS.match(item.questions[number])
    given = [{"answer": answer, "answer_confidence": "yes", "answer_id": i + 1} for i in range(ANNOTATORS)]
    return {
        "image_id": image_id(item),
        "question_id": image_id(item) * 100 + number,
        # The words that the question opens with, as VQA v2 groups questions.
        "question_type": found.group() if found else "none of the above",
        "answer_type": "yes/no" if answer in ("yes", "no") else "other",
        "multiple_choice_answer": answer,
        "answers": given,
    }
