"""NegationCLIP's pipeline P1: captions to which the absence of a plausible object is added.

For every caption a language model names an object that is likely there and unmentioned; a vision model is asked whether
it is in the image (``choose``, as for NegBench's training captions); where it is not, the language model rewrites the
caption with the absence. Rand-P1 differs only in the language annotator, which then names any object
(``prompts.NEGATIONCLIP_RANDOM``, ``World(plausible=False)``). Because a language model is asked about hundreds of
thousands of captions, every finished batch is kept in a journal on disk (``outcomes``), for all pipelines.
See docs/protocols.md#negationclip-captions and docs/protocols.md#negbench-training.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from negutil import files, progress
from negutil.captions import english
from negutil.captions.annotators import LanguageAnnotator, VisionAnnotator
from negutil.errors import NegutilError

Item = TypeVar("Item")
Outcome = dict[str, Any]
SOURCE = ("caption_id", "image_id", "file_name", "caption")
EXTRA = ("kind", "absent", "about")
"""Columns that the published caption file does not have."""

COLUMNS = (*SOURCE, "updated_caption", *EXTRA, "dropped")
"""Columns of every pipeline's frame. ``kind``: what is negated ("object", or one of ``p2.KINDS``); ``absent``: what is
said not to be so; ``about``: of which thing ("" for an object); ``dropped``: why there is no updated caption, or ""."""

NONE, HELD_OUT, SHOWN = "nothing proposed", "held out", "in the picture"
"""Why a caption gets no negation."""


@dataclass(frozen=True, slots=True)
class Source:
    """A caption that a negation is to be added to, and the file of its image."""

    caption_id: int
    image_id: int
    file_name: str
    caption: str
    picture: Path


@dataclass(frozen=True, slots=True)
class Choice:
    """The absent objects chosen for a caption, and for every other proposal, why it was dropped."""

    absent: tuple[str, ...]
    dropped: tuple[tuple[str, str], ...] = ()

    @property
    def noun(self) -> str:
        """The first absent object, else the proposal dropped last; "" where nothing was proposed."""
        return next(iter((*self.absent, *(noun for noun, _ in reversed(self.dropped)))), "")

    @property
    def reason(self) -> str:
        """Why there is no absent object; "" where there is one."""
        return "" if self.absent else (self.dropped[-1][1] if self.dropped else NONE)


def is_held_out(phrase: str, held_out: Collection[str]) -> bool:
    """Whether a phrase is one of the ``held_out`` nouns or names one of them under any of its names."""
    return phrase in held_out or any(noun in held_out for noun in english.mentions(phrase))


def choose(
    sources: Sequence[Source],
    language: LanguageAnnotator,
    vision: VisionAnnotator | None,
    *,
    proposals: int = 1,
    wanted: int = 1,
    held_out: Collection[str] = frozenset(),
) -> list[Choice]:
    """For each caption the first ``wanted`` of its ``proposals`` that are not held out and not in the image.

    Without ``vision`` nothing is verified: the ablation. A reply that is neither yes nor no counts as a no, as in the
    released code (it drops what contains "yes").
    """
    proposed = language.propose([source.caption for source in sources], proposals)
    pairs = [(row, noun) for row, nouns in enumerate(proposed) for noun in nouns if not is_held_out(noun, held_out)]
    answers: Sequence[bool | None] = [False] * len(pairs)
    if vision is not None:
        answers = vision.shows([sources[row].picture for row, _ in pairs], [noun for _, noun in pairs])
    reasons = {pair: SHOWN if answer else "" for pair, answer in zip(pairs, answers, strict=True)}
    choices = []
    for row, nouns in enumerate(proposed):
        verdicts = [(noun, reasons.get((row, noun), HELD_OUT)) for noun in nouns]
        absent = tuple(noun for noun, reason in verdicts if not reason)[:wanted]
        choices.append(Choice(absent, tuple((noun, reason) for noun, reason in verdicts if reason)))
    return choices


def outcomes(
    items: Mapping[int, Item],
    work: Callable[[Sequence[Item]], Sequence[Outcome]],
    journal: Path | None = None,
    facts: Mapping[str, Any] | None = None,
    batch: int = 512,
) -> dict[int, Outcome]:
    """The outcome of every item, by its number and in the order of ``items``.

    ``work`` takes a batch and gives one outcome (plain JSON) for each item, in order. With a ``journal`` finished items
    are kept there, and taken from there the next time if the item and the ``facts`` (who annotates, with which
    settings) are the same; a journal of other facts is started again. Raises NegutilError if ``work`` loses items.
    """
    digests = {
        number: hashlib.blake2b(repr(item).encode(), digest_size=8).hexdigest() for number, item in items.items()
    }
    kept = _read_journal(journal, facts or {}) if journal else {}
    done = {number: kept[number][1] for number in items if number in kept and kept[number][0] == digests[number]}
    left = [number for number in items if number not in done]
    with progress.bar("writing captions", total=len(left), unit="caption", leave=False) as bar:
        for start in range(0, len(left), batch):
            numbers = left[start : start + batch]
            made = work([items[number] for number in numbers])
            if len(made) != len(numbers):
                count = f"{len(numbers)} items came back as {len(made)}"
                raise NegutilError(f"{count}: the annotator has to answer each.")
            fresh = dict(zip(numbers, made, strict=True))
            if journal:
                rows = ([number, digests[number], outcome] for number, outcome in fresh.items())
                with journal.open("a", encoding="utf-8") as stream:
                    stream.writelines(json.dumps(row) + "\n" for row in rows)
            done |= fresh
            bar.update(len(numbers))
    return {number: done[number] for number in items}


def _read_journal(journal: Path, facts: Mapping[str, Any]) -> dict[int, tuple[str, Outcome]]:
    """Kept outcomes by item; the journal is started where it is missing, of other facts, or not a journal."""
    head = json.dumps(facts, sort_keys=True)
    lines = journal.read_bytes().splitlines(keepends=True) if journal.is_file() else []
    if not lines or lines[0] != head.encode() + b"\n":
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.write_text(head + "\n", encoding="utf-8")
        return {}
    whole = [line for line in lines if line.endswith(b"\n")]
    if len(whole) < len(lines):
        # The last line was cut off in the writing: its item is done again.
        journal.write_bytes(b"".join(whole))
    try:
        return {number: (digest, outcome) for number, digest, outcome in map(json.loads, whole[1:])}
    except (ValueError, TypeError) as problem:
        raise NegutilError(f"{journal}: a line is damaged ({problem}); delete the file to start again.") from problem


def make(
    sources: Sequence[Source],
    language: LanguageAnnotator,
    vision: VisionAnnotator | None,
    *,
    held_out: Collection[str] = frozenset(),
    kept_in: Path | None = None,
    facts: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """One row for every source, with COLUMNS; one attempt each, as published.

    Without ``vision`` absences are not verified. ``kept_in`` is the journal from which an interrupted run resumes, for
    the same ``facts`` about the annotators.
    """

    def work(batch: Sequence[Source]) -> list[Outcome]:
        choices = choose(batch, language, vision, held_out=held_out)
        rows = [row for row, choice in enumerate(choices) if choice.absent]
        negated = language.negate([batch[row].caption for row in rows], [choices[row].absent[0] for row in rows])
        updated = dict(zip(rows, negated, strict=True))
        return [outcome(updated.get(row, ""), "object", each.noun, "", each.reason) for row, each in enumerate(choices)]

    head = {"pipeline": "p1", "language": language.name, "held_out": sorted(held_out), **(facts or {})}
    return frame(sources, outcomes({source.caption_id: source for source in sources}, work, kept_in, head))


def without_stop(caption: str) -> str:
    """A caption without its final full stop (docs/protocols.md#negationclip-captions)."""
    return caption.strip().removesuffix(".")


def outcome(updated: str, kind: str, absent: str, about: str, dropped: str) -> Outcome:
    """What a pipeline made of one caption, by column."""
    values = (without_stop(updated), kind, absent, about, dropped)
    return dict(zip(COLUMNS[len(SOURCE) :], values, strict=True))


def frame(sources: Sequence[Source], made: Mapping[int, Outcome], columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """Sources and the outcomes by their caption ids, row by row, as a frame with ``columns``."""
    rows = [{**{name: getattr(one, name) for name in SOURCE}, **made[one.caption_id]} for one in sources]
    return pd.DataFrame(rows, columns=list(columns))


def write(captions: pd.DataFrame, path: Path) -> Path:
    """Write the rows with an updated caption as NegationCLIP's JSON: COCO's, with ``updated_caption`` in annotations.

    What else is known stands in the annotations too (EXTRA). ``negutil.data.negationclip`` reads the file. Raises
    NegutilError if there is none.
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
