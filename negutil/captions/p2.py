"""NegationCLIP's pipeline P2: questions answered with "no" become negations in captions.

No code of it is published, nor how the question enters the caption. Here ``read`` turns a question into a `Denial`:
"Is the man wearing a hat?" - no - "the man is not wearing a hat". A thing that is missing ("Is there a dog?") goes to
the language annotator, as in P1. Other denials are joined to the caption by the patterns of FORMS, and reworded by
the language annotator where it can (``reword=True``), which also gets the questions that ``read`` does not understand.

A question that is itself negated is a trap: "Is there not a red shape?" - no - says that there is one. ``read`` refuses
it; ``read(naive=True)`` falls for it, to measure how often that happens. See docs/protocols.md#negationclip-captions.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from negutil.captions import p1
from negutil.captions.annotators import LanguageAnnotator
from negutil.captions.english import COLOURS
from negutil.captions.p1 import Source
from negutil.captions.statements import with_article

KINDS = ("presence", "colour", "worn", "action", "attribute", "other")
NOT_READ, NEGATED = "question not understood", "question negated itself"
"""Why a question makes no caption."""

_NOUN = r"([a-z]+(?: [a-z]+){0,2})"
_PRESENCE = (
    re.compile(rf"(?:is|was) there (?:an?|any|some) {_NOUN}"),
    re.compile(rf"(?:are|were) there (?:any |some )?{_NOUN}"),
    re.compile(rf"does (?:the|this) (?:image|picture|photo) (?:contain|show|have) (?:an?|any) {_NOUN}"),
    re.compile(rf"is (?:an?|any) {_NOUN} present"),
)
_THE_PICTURE = re.compile(r" in (?:the|this) (?:image|picture|photo)$")
_THE = r"(is|are|was|were) (?:the|this|that|these|those) (?!an? )"
_ABOUT = (
    re.compile(rf"{_THE}([a-z]+(?: [a-z]+)?) ({'|'.join(COLOURS)}|[a-z]+ing(?: [a-z -]+)?)"),
    re.compile(rf"{_THE}([a-z]+) ([a-z][a-z -]*)"),
)
_WORN = re.compile(r"(?:wearing|holding) (?:an? |any |the )?(.+)")
_CUE = re.compile(r"\b(?:not?|never|without|none)\b|n't\b")

FORMS: Mapping[str, tuple[str, ...]] = {
    "any": (
        "{caption}, and the {about} {verb} not {value}",
        "{caption}, but the {about} {verb} not {value}",
        "{caption}; the {about} {verb}n't {value}",
        "the {about} {verb} not {value}: {caption}",
        "the {about} {verb}n't {value}: {caption}",
    ),
    "colour": ("{caption}, with no {value} on the {about}", "not a {value} {about}: {caption}"),
    "action": ("{caption}, with the {about} not {value}", "the {about} not {value}: {caption}"),
    "worn": (
        "{caption}, with no {thing} on the {about}",
        "{caption}, the {about} without {a_thing}",
        "the {about} without {a_thing}: {caption}",
    ),
}
"""How a denial is joined to a caption; those under "any" do for every kind but presence."""


@dataclass(frozen=True, slots=True)
class Denial:
    """What a question answered with "no" denies; ``kind`` is one of KINDS.

    ``value`` is what is not so (a noun for presence, a colour, "wearing a hat", "running", ...), ``about`` of which
    thing ("" for presence), ``plural`` whether that is several.
    """

    kind: str
    value: str
    about: str = ""
    plural: bool = False

    @property
    def thing(self) -> str:
        """What is not worn or held; "" for other kinds."""
        found = _WORN.fullmatch(self.value)
        return found[1] if found and self.kind == "worn" else ""

    @property
    def text(self) -> str:
        """The denial as a clause: "there is no dog", "the man is not wearing a hat"."""
        if self.kind == "presence":
            return f"there is no {self.value}"
        return f"the {self.about} {'are' if self.plural else 'is'} not {self.value}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about an image with its answer, and a caption to be augmented, whose id is the question's."""

    source: Source
    question: str
    answer: str = "no"


@dataclass(frozen=True, slots=True)
class Rules:
    """How questions become captions.

    Attributes:
        held_out: nouns and colours that no denial may speak of.
        reword: for a language model: it words every denial, and reads the questions that ``read`` cannot, which are
            dropped otherwise.
        naive: fall for questions that are negated themselves.
        seed: of the patterns drawn from FORMS.
    """

    held_out: frozenset[str] = frozenset()
    reword: bool = False
    naive: bool = False
    seed: int = 0


NOTHING = Denial("other", "")
"""A question that was not understood."""


def is_negated(question: str) -> bool:
    """Whether a question has a negation cue itself."""
    return _CUE.search(question.lower()) is not None


def read(question: str, naive: bool = False) -> Denial:
    """What the answer "no" to a question denies; NOTHING for a question that is not understood or negated itself.

    ``naive`` overlooks the cue of a negated question, and so takes what is there for absent.
    """
    plain = question.lower().strip().rstrip("?").strip()
    if is_negated(plain):
        if not naive:
            return NOTHING
        plain = re.sub(r"\bis no\b", "is a", re.sub(r" not\b", "", plain))
    for pattern in _PRESENCE:
        if found := pattern.fullmatch(_THE_PICTURE.sub("", plain)):
            return Denial("presence", found[1])
    for pattern in _ABOUT:
        if found := pattern.fullmatch(plain):
            verb, thing, value = found.groups()
            doing = "action" if re.fullmatch(r"[a-z]+ing", value) else "attribute"
            kind = "worn" if _WORN.fullmatch(value) else "colour" if value in COLOURS else doing
            return Denial(kind, value, thing, plural=verb in ("are", "were"))
    return NOTHING


def weave(caption: str, denial: Denial, rng: random.Random) -> str:
    """A caption with a denial joined to it by one of FORMS, either part first."""
    form = rng.choice((*FORMS["any"], *FORMS.get(denial.kind, ())))
    return form.format(
        caption=p1.without_stop(caption),
        about=denial.about,
        value=denial.value,
        verb="are" if denial.plural else "is",
        thing=denial.thing,
        a_thing=with_article(denial.thing),
    )


def make(
    questions: Sequence[Asked],
    language: LanguageAnnotator,
    rules: Rules = Rules(),
    *,
    kept_in: Path | None = None,
    facts: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """One row for every question that is answered with "no", with the columns of ``p1``; ``kind`` is one of KINDS.

    ``kept_in`` and ``facts`` as in ``p1.make``.
    """

    def work(batch: Sequence[Asked]) -> list[p1.Outcome]:
        denials = [read(each.question, rules.naive) for each in batch]
        reasons = [_dropped(each.question, denial, rules) for each, denial in zip(batch, denials, strict=True)]
        left = [row for row, reason in enumerate(reasons) if not reason]
        presences = [row for row in left if denials[row].kind == "presence"]
        captions, nouns = [batch[row].source.caption for row in presences], [denials[row].value for row in presences]
        updated = dict(zip(presences, language.negate(captions, nouns), strict=True))
        others = [row for row in left if denials[row].kind != "presence"]
        if rules.reword:
            pairs = [(p1.without_stop(batch[row].source.caption), batch[row].question) for row in others]
            joined = language.paraphrase([f"{caption}. {question} No." for caption, question in pairs])
        else:
            draws = {row: random.Random(f"p2/{rules.seed}/{batch[row].source.caption_id}") for row in others}
            joined = [weave(batch[row].source.caption, denials[row], rng) for row, rng in draws.items()]
        updated |= zip(others, joined, strict=True)
        return [
            p1.outcome(updated.get(row, ""), denial.kind, denial.value, denial.about, reason)
            for row, (denial, reason) in enumerate(zip(denials, reasons, strict=True))
        ]

    chosen = {each.source.caption_id: each for each in questions if each.answer == "no"}
    head = {"pipeline": "p2", **asdict(rules), "held_out": sorted(rules.held_out), "language": language.name}
    made = p1.outcomes(chosen, work, kept_in, head | dict(facts or {}))
    return p1.frame([each.source for each in questions if each.answer == "no"], made)


def _dropped(question: str, denial: Denial, rules: Rules) -> str:
    """Why a question makes no caption, or ""."""
    if is_negated(question) and not rules.naive:
        return NEGATED
    if denial == NOTHING and not rules.reword:
        return NOT_READ
    # Neither "no bus" nor "the bus is not red": a held-out noun stands in no negated clause.
    held_out = any(p1.is_held_out(text, rules.held_out) for text in (denial.value, denial.about))
    return p1.HELD_OUT if held_out else ""
