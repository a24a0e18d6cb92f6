"""NegBench's training captions (NegCap) and training questions (NegMCQ) from affirmative captions.

Absent objects are proposed from the caption and verified on the picture; sentences are NegBench's templates, worded by
the language annotator. Half of the captions with negation open with it. Unlike the released code, which then writes the
word "None" into captions, a picture without a named object gets no question.

See docs/protocols.md#negbench-training.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from negutil.captions import journal, negbench, plausible
from negutil.captions.annotators import LanguageAnnotator, VisionAnnotator
from negutil.captions.negbench import Question
from negutil.captions.p1 import Source
from negutil.captions.statements import Statement

NEGATIVES = 3
"""Absent objects, and so captions, per picture."""

PROPOSALS = 5
"""Objects asked for, so that three are left when those in the picture are gone."""

CAPTION_COLUMNS = ("filepath", "caption")
MCQ_COLUMNS = ("correct_answer", *negbench.OPTIONS, "correct_answer_template", "image_path")
KINDS = ("positive", "negative", "hybrid")


def read(
    sources: Sequence[Source],
    language: LanguageAnnotator,
    vision: VisionAnnotator | None,
    *,
    held_out: Collection[str] = frozenset(),
    kept_in: Path | None = None,
    facts: Mapping[str, Any] | None = None,
    batch: int = journal.BATCH,
) -> pd.DataFrame:
    """What captions and questions are made of: a row per source with the objects that it names (``present``) and up to
    NEGATIVES that are not in the picture (``absent``), lists both, beside the columns of ``Source`` but ``picture``.

    Arguments as in ``p1.make``.
    """

    def work(chosen: Sequence[Source]) -> list[journal.Outcome]:
        captions = [source.caption for source in chosen]
        pictures = [source.picture for source in chosen]
        choices = plausible.choose(
            captions, pictures, language, vision, proposals=PROPOSALS, wanted=NEGATIVES, held_out=held_out
        )
        named = language.extract(captions)
        pairs = zip(named, choices, strict=True)
        return [{"present": list(dict.fromkeys(nouns)), "absent": list(choice.absent)} for nouns, choice in pairs]

    asked = {"pipeline": "negcap", "language": language.name, "held_out": sorted(held_out), **(facts or {})}
    outcomes = journal.run({source.caption_id: source for source in sources}, work, kept_in, asked, batch)
    known = [[source.caption_id, source.image_id, source.file_name, source.caption] for source in sources]
    found = pd.DataFrame(known, columns=["caption_id", "image_id", "file_name", "caption"])
    return found.join(pd.DataFrame([outcomes[source.caption_id] for source in sources], columns=["present", "absent"]))


def captions(found: pd.DataFrame, language: LanguageAnnotator, seed: int = 0) -> pd.DataFrame:
    """A caption with negation for every absent object of ``read``, with the columns of ``p1``.

    Every second one, from a random start in each picture, opens with the negation.
    """
    sources: list[Any] = list(found.itertuples())
    rows = [
        {
            "caption_id": row.caption_id * 10 + number,
            **{name: getattr(row, name) for name in ("image_id", "file_name", "caption")},
            "absent": noun,
            "negation_first": (number + random.Random(f"negcap/{seed}/{row.caption_id}").randrange(2)) % 2 == 0,
        }
        for row in sources
        for number, noun in enumerate(row.absent)
    ]
    said = [Statement((), (row["absent"],), row["caption"], row["negation_first"]) for row in rows]
    updated = negbench.worded(said, language)
    return pd.DataFrame(rows).assign(updated_caption=updated, kind="object", about="", dropped="")


def questions(
    found: pd.DataFrame, language: LanguageAnnotator, *, held_out: Collection[str] = frozenset(), seed: int = 0
) -> pd.DataFrame:
    """One question with four options, in random order, for every picture with a named and an absent object.

    No option denies a ``held_out`` noun.

    Columns: MCQ_COLUMNS. With A, B there and N not: right is "A and B" (positive; "A" where only A is named), "no N"
    (negative) or "A but not N" (hybrid), each for a third of the pictures; wrong are "N but not A", "N", "no A".
    """
    rows: list[Any] = list(found.itertuples())
    asked = [_question(row, held_out, seed) for row in rows if row.absent]
    return negbench.table([question for question in asked if question], MCQ_COLUMNS, language)


def _question(row: Any, held_out: Collection[str], seed: int) -> Question | None:
    """The question about one picture; None where nothing may be denied of it."""
    rng = random.Random(f"negmcq/{seed}/{row.caption_id}")
    allowed = [noun for noun in row.present if not plausible.is_held_out(noun, held_out)]
    if not allowed:
        return None
    first = rng.choice(allowed)
    others = rng.sample([noun for noun in row.present if noun != first], min(1, len(row.present) - 1))
    absent = rng.choice(row.absent)
    kind = rng.choice(KINDS)
    options = negbench.options(kind, first, others, absent)
    order = rng.sample(range(4), 4)
    return Question(row.file_name, [options[place] for place in order], order.index(0), kind)


def caption_table(made: pd.DataFrame) -> pd.DataFrame:
    """NegCap's table, for open_clip's CSV reader: filepath, caption."""
    return made[["file_name", "updated_caption"]].set_axis(list(CAPTION_COLUMNS), axis=1)
