"""Generative models sit the same exam: multiple choice by letter and claims by yes or no (docs/protocols.md#mcq).

Any vision annotator is asked about the images that CLIP-like models are scored on. The options come in a shuffled
order under the letters A to D, because the published files have the right one always first (docs/protocols.md#ties). A
reply that cannot be read is wrong, and the share of such replies is reported beside the accuracy.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from negutil import statistics
from negutil.captions import annotators, prompts
from negutil.captions.annotators import VisionAnnotator
from negutil.data import negbench
from negutil.errors import NegutilError
from negutil.statistics import Interval
from negutil.tasks import mcq
from negutil.tasks.negbench import Items, Questions

UNREAD = -1
"""The answer of a reply that could not be parsed."""


def ask(annotator: VisionAnnotator, items: Items, *, one_by_one: bool = False, order_seed: int = 0) -> pd.DataFrame:
    """Ask the questions of one of NegBench's files: the rows of ``choices``.

    With ``one_by_one`` every option is asked about on its own: the rows of ``claims``, of type "true" or "false".
    Raises NegutilError for a retrieval file, and for one about clips.
    """
    title = items.variation.title
    if not isinstance(items, Questions):
        raise NegutilError(f"{title} is a retrieval file, which has no options: give one of multiple choice.")
    if any(path.suffix.lower() in negbench.CLIPS for path in items.media):
        raise NegutilError(f"{title} asks about clips, but an annotator sees one image: give a file about images.")
    pictures = [items.media[row] for row in items.rows]
    if not one_by_one:
        return choices(annotator, pictures, items.options, items.correct.tolist(), items.types, order_seed=order_seed)
    width = len(items.options[0])
    truths = (np.arange(width) == items.correct[:, None]).ravel().tolist()
    kinds = ["true" if truth else "false" for truth in truths]
    return claims(annotator, [picture for picture in pictures for _ in range(width)], items.texts, truths, kinds)


def choices(
    annotator: VisionAnnotator,
    pictures: Sequence[Path],
    options: Sequence[Sequence[str]],
    correct: Sequence[int],
    types: Sequence[str] | None = None,
    *,
    order_seed: int = 0,
    strict: bool = False,
) -> pd.DataFrame:
    """Ask multiple-choice questions; one row for each.

    Columns: item, image, type, order (the options by their numbers as lettered from A on, "2031"), correct and chosen
    (numbers of options; chosen is -1 where the reply could not be read), reply, parsed, right. ``strict`` as in
    ``annotators.letter``. Raises NegutilError if the columns do not fit each other.
    """
    for item, (texts, right) in enumerate(zip(options, correct, strict=False)):
        if len(texts) != len(options[0]) or not 0 <= right < len(texts):
            width = len(options[0])
            raise NegutilError(
                f"Question {item} has {len(texts)} options, {right} right: give {width} and one of them."
            )
    order = mcq.orders(len(options), len(options[0]), order_seed) if options else np.zeros((0, 0), np.int64)
    questions = [
        prompts.choice_question([texts[index] for index in row]) for texts, row in zip(options, order, strict=True)
    ]
    answers = _ask(annotator, pictures, questions, correct)
    letters = [annotators.letter(reply, len(options[0]), strict) for reply in answers]
    chosen = [UNREAD if at is None else int(row[at]) for at, row in zip(letters, order, strict=True)]
    lettered = {"order": ["".join(map(str, row)) for row in order]}
    return _frame(pictures, types, lettered, correct, chosen=chosen, answers=answers)


def claims(
    annotator: VisionAnnotator,
    pictures: Sequence[Path],
    texts: Sequence[str],
    truths: Sequence[bool],
    types: Sequence[str] | None = None,
    *,
    strict: bool = False,
) -> pd.DataFrame:
    """Ask whether each claim is true of its image; one row for each.

    Columns: item, image, type, claim, correct (1 where the claim is true, else 0), chosen (1 for yes, 0 for no, -1
    where the reply could not be read), reply, parsed, right. ``types`` are such as "affirmative" and "negated".
    Raises NegutilError if the columns do not fit each other.
    """
    answers = _ask(annotator, pictures, [prompts.claim_question(text) for text in texts], truths)
    read = [annotators.yes_no(reply, strict) for reply in answers]
    chosen = [UNREAD if answer is None else int(answer) for answer in read]
    return _frame(pictures, types, {"claim": list(texts)}, truths, chosen=chosen, answers=answers)


def accuracy(
    items: pd.DataFrame,
    clusters: ArrayLike | None = None,
    *,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Results of ``choices`` or ``claims`` with intervals.

    "total", every type and "macro" as in ``mcq.accuracy``; "unread": share of replies that could not be read; for
    claims also "yes": share of replies that say yes, whatever is true. ``clusters`` [N] are drawn together, such as the
    questions about one image.
    """
    shares = {"unread": ~items["parsed"].to_numpy(dtype=bool)}
    if "claim" in items:
        shares["yes"] = (items["chosen"] == 1).to_numpy()
    accuracies = mcq.accuracy(items, clusters, resamples=resamples, seed=seed)
    return accuracies | {
        name: statistics.bootstrap_share(share, clusters, resamples, seed) for name, share in shares.items()
    }


def _ask(
    annotator: VisionAnnotator, pictures: Sequence[Path], questions: Sequence[str], correct: Sequence[object]
) -> list[str]:
    if not len(pictures) == len(questions) == len(correct) or not pictures:
        raise NegutilError(
            f"The exam has {len(pictures)} images, {len(questions)} questions, {len(correct)} answers: match them."
        )
    answers = annotator.answer(pictures, questions)
    if len(answers) != len(questions):
        raise NegutilError(f"{annotator.name} gave {len(answers)} replies to {len(questions)} questions: fix it.")
    return answers


def _frame(
    pictures: Sequence[Path],
    types: Sequence[str] | None,
    question: dict[str, list[str]],
    correct: Sequence[int],
    *,
    chosen: list[int],
    answers: list[str],
) -> pd.DataFrame:
    columns = {
        "item": np.arange(len(answers)),
        "picture": [str(picture) for picture in pictures],
        "type": list(types) if types is not None else "",
        **question,
        "correct": np.asarray(correct, dtype=np.int64),
        "chosen": np.asarray(chosen, dtype=np.int64),
        "reply": answers,
    }
    frame = pd.DataFrame(columns)
    return frame.assign(parsed=frame["chosen"] != UNREAD, right=frame["chosen"] == frame["correct"])
