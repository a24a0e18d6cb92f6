"""The object that a caption's negation will be about: plausible there, unmentioned, not in the picture.

Step 1 and 2 of NegationCLIP's pipeline P1, and of NegBench's training captions (docs/protocols.md#negbench-training): a
language model proposes objects from the caption alone, a vision model is asked whether they are in the picture.

See docs/protocols.md#negationclip-captions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from negutil.captions import english
from negutil.captions.annotators import LanguageAnnotator, VisionAnnotator

NONE, HELD_OUT, SHOWN, UNREAD = "nothing proposed", "held out", "in the picture", "reply not readable"
"""Why a caption gets no negation."""


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
    captions: Sequence[str],
    pictures: Sequence[Path],
    language: LanguageAnnotator,
    vision: VisionAnnotator | None,
    *,
    proposals: int = 1,
    wanted: int = 1,
    held_out: Collection[str] = frozenset(),
    keep_unread: bool = True,
) -> list[Choice]:
    """For each caption the first ``wanted`` of its ``proposals`` that are not held out and not in the picture.

    Without ``vision`` nothing is verified: the ablation. ``keep_unread`` takes a reply that is neither yes nor no for a
    no, as the released code does (it drops what contains "yes").
    """
    proposed = language.propose(captions, proposals)
    asked = [(row, noun) for row, nouns in enumerate(proposed) for noun in nouns if not is_held_out(noun, held_out)]
    answers: Sequence[bool | None] = [False] * len(asked)
    if vision is not None:
        answers = vision.shows([pictures[row] for row, _ in asked], [noun for _, noun in asked])
    shown = dict(zip(asked, answers, strict=True))
    reasons: dict[bool | str | None, str] = {
        True: SHOWN,
        False: "",
        None: "" if keep_unread else UNREAD,
        HELD_OUT: HELD_OUT,
    }
    found = []
    for row, nouns in enumerate(proposed):
        verdicts = [(noun, reasons[shown.get((row, noun), HELD_OUT)]) for noun in nouns]
        kept = tuple(noun for noun, reason in verdicts if not reason)[:wanted]
        found.append(Choice(kept, tuple((noun, reason) for noun, reason in verdicts if reason)))
    return found
