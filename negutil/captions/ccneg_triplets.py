"""CC-Neg triplets from affirmative captions: picture, true caption, false caption with negation, distractors.

As in CC-Neg, an object that the caption names is denied, so the negated caption is false of the picture and may be true
of a distractor: a picture of another item that shares objects and does not show the denied one. Written as the
published ``ccneg_preprocessed.pt`` and ``distractor_image_mapping.pt``, which ``negutil.data.ccneg`` reads.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import MultiLabelBinarizer

from negutil.captions import negbench, plausible
from negutil.captions.annotators import LanguageAnnotator
from negutil.captions.p1 import Source
from negutil.captions.statements import Statement

FILE, DISTRACTORS = "ccneg_preprocessed.pt", "distractor_image_mapping.pt"
NEAREST = 3
CHUNK = 512
"""Captions compared with all others at a time."""


def make(
    sources: Sequence[Source],
    language: LanguageAnnotator,
    *,
    held_out: Collection[str] = frozenset(),
    seed: int = 0,
) -> pd.DataFrame:
    """One row for every source that names an object that may be denied.

    Columns: caption_id, image_id, file_name, caption, negated_caption, negated_object, present (all that the caption
    names). The rest of what the caption names is said to be there, and nothing else.
    """
    named = language.extract([source.caption for source in sources])
    rows, said = [], []
    for source, nouns in zip(sources, named, strict=True):
        allowed = [noun for noun in dict.fromkeys(nouns) if not plausible.is_held_out(noun, held_out)]
        if allowed:
            denied = random.Random(f"ccneg/{seed}/{source.caption_id}").choice(allowed)
            rest = tuple(noun for noun in dict.fromkeys(nouns) if noun != denied)
            rows.append((source.caption_id, source.image_id, source.file_name, source.caption, denied, tuple(nouns)))
            said.append(Statement(rest, (denied,)))
    columns = ["caption_id", "image_id", "file_name", "caption", "negated_object", "present"]
    return pd.DataFrame(rows, columns=columns).assign(negated_caption=negbench.worded(said, language))


def nearest(
    named: Sequence[Collection[str]],
    pictures: Sequence[int],
    denied: Sequence[str] | None = None,
    count: int = NEAREST,
) -> dict[int, list[int]]:
    """For every caption the ``count`` captions of other ``pictures`` that name the most of the same objects.

    Closeness is the cosine of what two captions name; between equals the earlier one comes first. With ``denied``,
    captions that name the denied object come last. Every machine finds the same ones: a caption's neighbours are ranked
    by the square of that cosine, less a factor of their own, which is a quotient of whole numbers and so has no noise.
    """
    coder = MultiLabelBinarizer(sparse_output=False)
    binary = coder.fit_transform(named).astype(np.float32)
    sizes = np.maximum(binary.sum(axis=1, dtype=np.float64), 1)
    column = {noun: number for number, noun in enumerate(coder.classes_)}
    numbers = np.asarray(pictures)
    found: dict[int, list[int]] = {}
    for start in range(0, len(binary), CHUNK):
        rows = slice(start, start + CHUNK)
        alike = (binary[rows] @ binary.T).astype(np.float64) ** 2 / sizes
        if denied is not None:
            alike -= (1 + sizes.max()) * binary[:, [column[noun] for noun in denied[rows]]].T
        alike[numbers[rows, None] == numbers] = -np.inf
        least = -np.partition(-alike, count - 1, axis=1)[:, count - 1]
        for number, (row, limit) in enumerate(zip(alike, least, strict=True), start):
            close = np.flatnonzero(row >= limit)
            found[number] = close[np.argsort(-row[close], kind="stable")][:count].tolist()
    return found


def write(made: pd.DataFrame, folder: Path) -> None:
    """Write both files of CC-Neg into ``folder``; distractors are rows of the same file."""
    rows = zip(made["caption"], made["negated_caption"], made["negated_object"], strict=True)
    annotations = [
        {"json": {"caption": caption}, "sop_data": {"negative-prompt": negated, "sop_chosen_object": noun}}
        for caption, negated, noun in rows
    ]
    torch.save({"image_paths": made["file_name"].tolist(), "annotations": annotations}, folder / FILE)
    named, pictures, denied = (made[name].tolist() for name in ("present", "image_id", "negated_object"))
    torch.save(nearest(named, pictures, denied), folder / DISTRACTORS)
