"""easy-VQA as VQA v2: questions and annotations JSON with images (docs/protocols.md#negationclip-captions).

Images, questions and answers come from the third-party package ``easy-vqa``; only the format is changed. Its training
images make up the training and validation splits, its test images the test split. Stands for VQA v2 as a third-party
data set; the questions about scenes are in the part ``vqa``.
"""

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


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Fill ``folder`` with a questions and an annotations file per split and with images; returns questions by split.

    The choice is the package's order, so ``seed`` changes nothing. Raises NegutilError if the package has fewer
    images than ``sizes`` asks for.
    """
    del seed
    train, test = shapes.load("train"), shapes.load("test")
    wanted = {"train and val": (sizes.train + sizes.val, len(train)), "test": (sizes.test, len(test))}
    for name, (count, most) in wanted.items():
        if count > most:
            raise NegutilError(f"world.shapes asks for {count} {name} images of easy-VQA's {most}: ask for fewer.")
    chosen = {"train": train[: sizes.train], "val": train[len(train) - sizes.val :], "test": test[: sizes.test]}
    counts = {}
    for split, items in chosen.items():
        if not items:
            continue
        subtype, questions, annotations = SUBTYPES[split], [], []
        for item in progress.bar("drawing images", items, unit="image", leave=False):
            image = image_id(item)
            _shared.write_picture(folder / subtype / f"COCO_{subtype}_{image:012d}.jpg", shapes.draw(item))
            for number, (question, answer) in enumerate(zip(item.questions, item.answers, strict=True)):
                ids = {"image_id": image, "question_id": image * 100 + number}
                questions.append({**ids, "question": question})
                annotations.append({**ids, **_annotation(question, answer)})
        license = {"url": "https://github.com/vzhou842/easy-VQA", "name": "MIT"}
        about = {"info": {"description": "easy-VQA"}, "data_type": "mscoco", "license": license}
        about |= {"data_subtype": subtype}
        content = {**about, "task_type": "Open-Ended", "questions": questions}
        _shared.write_json(folder / f"v2_OpenEnded_mscoco_{subtype}_questions.json", content)
        _shared.write_json(folder / f"v2_mscoco_{subtype}_annotations.json", {**about, "annotations": annotations})
        counts[split] = len(questions)
    return {"questions": counts}


def image_id(item: Shape) -> int:
    """Number of an image, unique over the package's two splits."""
    return item.image_id + (TEST_IDS if item.split == "test" else 0)


def _annotation(question: str, answer: str) -> dict[str, Any]:
    """The package's answer ten times over, as VQA v2 has ten annotators."""
    opening = _OPENINGS.match(question)
    return {
        # The words that the question opens with, as VQA v2 groups questions.
        "question_type": opening.group() if opening else "none of the above",
        "answer_type": "yes/no" if answer in ("yes", "no") else "other",
        "multiple_choice_answer": answer,
        "answers": [{"answer": answer, "answer_confidence": "yes", "answer_id": n + 1} for n in range(ANNOTATORS)],
    }
