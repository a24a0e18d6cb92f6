"""NegationCLIP's pipeline P1: captions to which the absence of a plausible object is added.

For every caption a language model names an object that is likely there and unmentioned; a vision model is asked whether
it is in the picture; where it is not, the language model rewrites the caption with the absence. Rand-P1 differs only in
the language annotator, which then names any object (``prompts.NEGATIONCLIP_RANDOM``, ``World(plausible=False)``).

See docs/protocols.md#negationclip-captions.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import files
from negutil.captions import journal, plausible
from negutil.captions.annotators import LanguageAnnotator, VisionAnnotator
from negutil.errors import NegutilError

COLUMNS = ("caption_id", "image_id", "file_name", "caption", "updated_caption", "kind", "absent", "about", "dropped")
"""Columns of every pipeline's frame. ``kind``: what is negated ("object", or one of ``p2.KINDS``); ``absent``: what is
said not to be so; ``about``: of which thing ("" for an object); ``dropped``: why there is no updated caption, or ""."""


EXTRA = ("kind", "absent", "about")
"""Columns that the published caption file does not have."""


@dataclass(frozen=True, slots=True)
class Source:
    """A caption that a negation is to be added to, and the file of its picture."""

    caption_id: int
    image_id: int
    file_name: str
    caption: str
    picture: Path


def make(
    sources: Sequence[Source],
    language: LanguageAnnotator,
    vision: VisionAnnotator | None,
    *,
    held_out: Collection[str] = frozenset(),
    kept_in: Path | None = None,
    facts: Mapping[str, Any] | None = None,
    batch: int = journal.BATCH,
) -> pd.DataFrame:
    """One row for every source, with COLUMNS; one attempt each, as published.

    Without ``vision`` absences are not verified. ``kept_in`` is the journal from which an interrupted run goes on, for
    the same ``facts`` about the annotators.
    """

    def work(chosen: Sequence[Source]) -> list[journal.Outcome]:
        captions = [source.caption for source in chosen]
        choices = plausible.choose(captions, [one.picture for one in chosen], language, vision, held_out=held_out)
        rows = [row for row, choice in enumerate(choices) if choice.absent]
        said = language.negate([captions[row] for row in rows], [choices[row].absent[0] for row in rows])
        updated = dict(zip(rows, said, strict=True))
        return [
            {
                "updated_caption": without_stop(updated.get(row, "")),
                "kind": "object",
                "absent": choice.noun,
                "about": "",
                "dropped": choice.reason,
            }
            for row, choice in enumerate(choices)
        ]

    asked = {"pipeline": "p1", "language": language.name, "held_out": sorted(held_out), **(facts or {})}
    outcomes = journal.run({source.caption_id: source for source in sources}, work, kept_in, asked, batch)
    return frame(sources, [outcomes[source.caption_id] for source in sources])


def without_stop(caption: str) -> str:
    """A caption without its final full stop (docs/protocols.md#negationclip-captions)."""
    return caption.strip().removesuffix(".")


def frame(sources: Sequence[Source], outcomes: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Sources and outcomes, row by row, as a frame with COLUMNS."""
    names = ("caption_id", "image_id", "file_name", "caption")
    rows = [
        {**{name: getattr(source, name) for name in names}, **outcome}
        for source, outcome in zip(sources, outcomes, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write(captions: pd.DataFrame, path: Path) -> Path:
    """Write the rows with an updated caption as NegationCLIP's JSON: COCO's, with ``updated_caption`` in annotations.

    What else is known stands in the annotations too (EXTRA). ``negutil.data.negationclip`` reads the file.

    Raises NegutilError where there is none.
    """
    kept = captions[captions["dropped"] == ""]
    if kept.empty:
        raise NegutilError(f"{path}: none of {len(captions)} captions got a negation: check the annotators.")
    images = kept[["image_id", "file_name"]].drop_duplicates("image_id").rename(columns={"image_id": "id"})
    annotations = kept.rename(columns={"caption_id": "id"})[["image_id", "id", "caption", "updated_caption", *EXTRA]]
    content: dict[str, Any] = {
        "info": {"description": "captions to which a negation was added"},
        "images": images.to_dict("records"),
        "annotations": annotations.to_dict("records"),
    }
    files.write_text(path, json.dumps(content, separators=(",", ":")))
    return path
