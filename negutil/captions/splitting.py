"""What a sentence affirms and what it denies: "a desk with no lamp" affirms a desk and denies a lamp.

One interface, :class:`Splitter`, and three ways: the mini world's grammar, which reads its own sentences back exactly
(:class:`Grammar`); rules for English, a cue and its scope up to the end of the clause (:class:`Rules`); and any
language model (:class:`Model`). A sentence that denies nothing stays as it is. See docs/protocols.md#splitting.
"""

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from negutil.captions import english, phrasing
from negutil.captions.annotators import ChatModel
from negutil.captions.prompts import Sampling, Task
from negutil.config import Profile
from negutil.data import source

JOIN = " or "
"""Between several things that one sentence denies."""

PROMPT = Task(
    "You split a caption into what it says is there and what it says is not there. Reply with a JSON list of two "
    "strings, either of which may be empty, and nothing else. Keep the words of the caption.",
    "Caption: {caption}",
    Sampling(tokens=120),
    (
        ("Caption: A desk with no lamp", '["a desk", "a lamp"]'),
        ("Caption: There is no dog in this picture.", '["", "a dog"]'),
        ("Caption: A man holds a cup but is not drinking.", '["a man holds a cup", "a man drinking"]'),
        ("Caption: Two boats on a lake.", '["two boats on a lake", ""]'),
    ),
)
"""What a language model is asked; SpaceVLM fine-tuned one for this task alone."""


@dataclass(frozen=True, slots=True)
class Split:
    """The affirmed part of a sentence, "" where it only denies, and the denied part, "" where it denies nothing."""

    affirmed: str
    denied: str = ""


class Splitter(Protocol):
    """Anything that splits sentences; ``name`` is what tables call it."""

    name: str

    def split(self, texts: Sequence[str]) -> list[Split]:
        """Return the split of each sentence, in order."""
        ...


def oracle(settings: Profile) -> Splitter | None:
    """The exact splitter of a profile's sentences; None if unknown, as for published data."""
    return Grammar() if source.is_world(settings) else None


class Grammar:
    """The mini world's grammar: exact for its own sentences; any other sentence stays whole and is counted.

    Attributes:
        unread: how many negated sentences were not of the mini world.
    """

    name = "grammar"

    def __init__(self) -> None:
        self.unread = 0

    def split(self, texts: Sequence[str]) -> list[Split]:
        """Return the split of each sentence."""
        read: Callable[[str], tuple[str, str] | None] = source.world().split
        parts = [read(text) for text in texts]
        self.unread += sum(
            bool(part is None and phrasing.of(text).cue) for part, text in zip(parts, texts, strict=True)
        )
        return [Split(*part) if part else Split(text) for part, text in zip(parts, texts, strict=True)]


class Model:
    """A language model behind the annotators' interface (``annotators.build(...).model``).

    Attributes:
        unread: how many replies could not be read; such a sentence stays whole.
    """

    def __init__(self, model: ChatModel) -> None:
        self.name, self.unread = model.name, 0
        self._model = model

    def split(self, texts: Sequence[str]) -> list[Split]:
        """Return the split of each sentence, asked for once each."""
        different = list(dict.fromkeys(texts))
        replies = self._model.replies([PROMPT.chat(caption=text) for text in different], PROMPT.sampling)
        read = dict(zip(different, map(_reply, replies), strict=True))
        self.unread += sum(part is None for part in read.values())
        return [Split(text) if (part := read[text]) is None else part for text in texts]


def _reply(reply: str) -> Split | None:
    """The split in a model's reply, a JSON list of two texts with or without words around it; None for any other."""
    found = re.search(r"\[.*\]", reply, re.DOTALL)
    try:
        parts = json.loads(found[0]) if found else None
    except ValueError:
        return None
    if not (isinstance(parts, list) and len(parts) == 2 and all(isinstance(part, str) for part in parts)):
        return None
    affirmed, denied = (part.strip() for part in parts)
    return Split(affirmed, denied) if affirmed or denied else None


# --------------------------------------------------------------------------------------------------------------------
# Rules for English

_SAME_AS = {
    r"\b(?:no[ -]one|nobody)\b": "no people",
    r"\bany(?:one|body)\b": "people",
    r"\b(?:any )?(?:signs?|evidence|trace) of\b": "",
    r"\bzero\b": "no",
    r"\b(?:omitting|excluding)\b": "without",
    r"\bclear of\b": "free of",
}
"""Ways to negate that ``phrasing`` does not know, and what they are read as."""

_FRAME = phrasing.FRAME | {
    *("anything", "else", "find", "it's", "its", "their", "his", "her", "nearby", "notable", "of", "part", "presence"),
    *("absence", "who", "place", "spotted", "us", "from", "within", "nor", "neither", "by", "whereas"),
}
"""Words around a thing that say only that it is, or is not, to be seen."""

_LEADING = frozenset({"but", "though", "although", "yet", "and", "while", "however", "just", "only", "instead", "or"})
_TRAILING = _LEADING | frozenset(
    {
        *("with", "that", "which", "who", "there", "is", "are", "it", "having", "has", "have", "it's", "in", "whereas"),
        *("noticeably", "notably", "clearly", "a", "an", "the"),
    }
)
_COPULA = re.compile(r"(?:an? |the )?((?:[\w-]+ )*?[\w-]+)(?: that| which| who)? (?:is|are|was|were)$")
_FURTHER = re.compile(r"\b(?:n?or|and no|and without|and not)\b")
_ARTICLE = re.compile(r"(?:an?|the)\s+$")
_SIGNS = frozenset({"sign", "signs"})  # those of a road: "sign of" is gone by then
_IRREGULAR = {"people": "person", "persons": "person", "men": "man", "women": "woman", "children": "child"}
_IRREGULAR |= {"knives": "knife", "mice": "mouse", "leaves": "leaf", "skis": "skis"}


class Rules:
    """Rules for English: a cue of negation and its scope up to the end of the clause (``captions.phrasing``).

    What follows the cue is denied, or, where nothing does ("a car is not present"), what stands before it in the
    clause; everything else is affirmed. Parts are in lower case.
    """

    name = "rules"

    def split(self, texts: Sequence[str]) -> list[Split]:
        """Return the split of each sentence; each different one is read once."""
        return [_by_rules(text) for text in texts]


@functools.lru_cache(maxsize=200_000)
def _by_rules(text: str) -> Split:
    plain = text
    for pattern, same in _SAME_AS.items():
        plain = re.sub(pattern, same, plain, flags=re.IGNORECASE)
    _, before, negated, after = phrasing.parts(plain)
    match = phrasing.pattern().search(negated)
    if match is None or match.group() in ("nothing", "none"):
        return Split(text)
    start = negated.rfind(" ", 0, match.start()) + 1 if match.group() == "n't" else match.start()
    left, right, kept = negated[:start], negated[match.end() :], [before]
    if any(denied := [_thing(part) for part in _FURTHER.split(right)]):
        kept.append(left)
        verb = negated[start : match.start()] if match.group() == "n't" else ""
        subject = _COPULA.match(f"{before}{left}{verb}".strip()) if not _words(right)[1:] else None
        if subject and content(subject[1]):  # "the frog is not green" denies a green frog
            denied = [english.with_article(f"{_words(right)[0]} {subject[1]}")]
    else:
        # "a child in a dress with a hat absent": all of the clause is affirmed but for what the cue belongs to.
        first, found, last = left.rpartition(" with ")
        kept += [first] if found else []
        denied = [_thing(part) for part in _FURTHER.split(last)]
    rest = _by_rules(after) if _words(after) else Split("")
    affirmed = [part for part in (*map(_tidy, kept), _tidy(rest.affirmed)) if content(part)]
    return Split(", ".join(affirmed), JOIN.join(filter(None, (*denied, rest.denied))))


def _words(text: str) -> list[str]:
    return phrasing.WORD.findall(text.lower())


def content(text: str) -> list[str]:
    """The words of a text that name something, plurals as singulars."""
    return [_singular(word) for word in _words(text) if word not in _FRAME - _SIGNS]


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending, singular in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("uses", "us")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + singular
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _thing(text: str) -> str:
    """The denied thing in a part of a clause, with an article where English wants one; "" where nothing is named."""
    words = text.strip(" ,;:.\"'").split()
    first, last = 0, len(words)
    while first < last and words[first].strip(",.\"'") in _FRAME - _SIGNS:
        first += 1
    while last > first and words[last - 1].strip(",.\"'") in _FRAME - _SIGNS:
        last -= 1
    phrase = " ".join(words[first:last]).strip(" ,;:.\"'")
    if not phrase:
        return ""
    article = _ARTICLE.search(" ".join(words[:first]) + " ")
    head = words[last - 1].strip(",.\"'")
    if article:
        return f"{article[0].strip()} {phrase}"
    is_bare = _singular(head) != head or head in _IRREGULAR or words[first].endswith("ing")
    return phrase if is_bare else english.with_article(phrase)


def _tidy(text: str) -> str:
    """An affirmed part without the words that joined it to what was denied."""
    words = text.strip(" ,;:.\"'").split()
    while words and words[0].strip(",") in _LEADING:
        words = words[1:]
    while words and words[-1].strip(",;:") in _TRAILING:
        words = words[:-1]
    return " ".join(words).strip(" ,;:.\"'")


# --------------------------------------------------------------------------------------------------------------------
# How often two splits agree


def agree(one: Split, other: Split) -> tuple[bool, bool]:
    """Whether two splits affirm the same and deny the same: the same words that name something, in any order.

    Number, articles and spaces inside compounds ("dining table", "diningtable") do not matter.
    """
    sides = ((one.affirmed, other.affirmed), (one.denied, other.denied))
    same = [Counter(content(a)) == Counter(content(b)) or _joined(a) == _joined(b) for a, b in sides]
    return same[0], same[1]


def _joined(text: str) -> str:
    return _singular("".join(word for word in _words(text) if word not in _FRAME - _SIGNS))


def agreement(texts: Sequence[str], splits: Sequence[Split], others: Sequence[Split]) -> pd.DataFrame:
    """Return how far two splits of each of ``texts`` agree: columns text, cue, affirmed, denied, both.

    The last three are flags; their means are shares of agreement, and one minus the mean of ``both`` is the error rate
    of the one where the other is right.
    """
    flags = [agree(one, other) for one, other in zip(splits, others, strict=True)]
    table = pd.DataFrame({"text": list(texts), "cue": [phrasing.of(text).cue for text in texts]})
    affirmed, denied = ([flag[side] for flag in flags] for side in (0, 1))
    return table.assign(affirmed=affirmed, denied=denied, both=[a and b for a, b in flags])
