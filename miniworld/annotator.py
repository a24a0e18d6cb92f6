"""The mini world as an annotator: its grammar is the language model, its truth the vision model.

Right by construction, and wrong at a declared rate for each operation, so that the effect of annotation noise can be
measured. Whether an item is wrong, and how, follows from the seed and the item alone, not from its place in a batch.
"""

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path, PurePath
from string import ascii_uppercase
from typing import Any

from miniworld import truth
from negutil import files
from negutil.captions import annotators, english, prompts, statements
from negutil.captions.english import COMPANIONS, NOUNS, PLACES
from negutil.captions.statements import Statement
from negutil.errors import NegutilError

UNSURE = "I cannot tell."
"""The reply to a question that the mini world does not understand."""


@dataclass(frozen=True, slots=True)
class ErrorRates(files.Settings):
    """Share of items, from 0 to 1, that each operation gets wrong.

    extract drops an object or adds one; propose proposes something that the caption names; negate and paraphrase lose
    the negation or put it on the wrong object; shows and answer say the opposite. Raises NegutilError for other values.
    """

    extract: float = 0.0
    propose: float = 0.0
    negate: float = 0.0
    paraphrase: float = 0.0
    shows: float = 0.0
    answer: float = 0.0

    def __post_init__(self) -> None:
        for operation, rate in asdict(self).items():
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
                raise NegutilError(f"The error rate of {operation} is {rate!r}: give a number from 0 to 1.")


@dataclass(frozen=True, slots=True)
class World(files.Settings):
    """Settings: seed, error rates, share of paraphrases in held-out forms, nouns that may be proposed, and whether
    proposals go with the caption (``plausible``) or are drawn at random (the control Rand-P1,
    docs/protocols.md#negationclip-captions)."""

    seed: int = 0
    errors: ErrorRates = field(default_factory=ErrorRates)
    held_out_share: float = statements.HELD_OUT_SHARE
    nouns: tuple[str, ...] = NOUNS
    plausible: bool = True


class WorldAnnotator:
    """Both annotators of the mini world.

    Attributes:
        name: "world".
        asked: number of items by operation.
        injected: number of errors made on purpose by operation. An item that cannot be made wrong in the declared way
            (nothing is negated in it, nothing is named in it) stays right and is not counted.
    """

    def __init__(self, things: Mapping[str, Collection[str]] | None = None, settings: World | None = None) -> None:
        """``things``: by the end of an image's path ("val2017/000000000001.jpg"), all that may truly be said to be in
        it (``truth.sayable``); needed for ``shows`` and ``answer`` alone."""
        self.name = "world"
        self.settings = settings or World()
        self.asked: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self._things = {PurePath(name).parts: frozenset(nouns) for name, nouns in (things or {}).items()}

    def extract(self, captions: Sequence[str]) -> list[list[str]]:
        """The nouns of the mini world that each caption names, in order; wrong: one dropped or one added."""
        found = []
        for caption in captions:
            named = list(english.mentions(caption))
            rng = self._error("extract", caption)
            if rng is not None:
                self.injected["extract"] += 1
                if named and rng.random() < 0.5:
                    named.remove(rng.choice(named))
                else:
                    named.append(rng.choice([noun for noun in NOUNS if noun not in named]))
            found.append(named)
        return found

    def propose(self, captions: Sequence[str], count: int) -> list[list[str]]:
        """At most ``count`` nouns for each caption that it does not name, the likeliest first, from the caption alone:
        some of them may be in the image. Wrong: one that the caption names is among them."""
        found = []
        for caption in captions:
            named = list(english.mentions(caption))
            rng = self._chance("propose", f"{caption}/items")
            proposed = list(islice(_proposals(named, self.settings, rng), count))
            wrong = self._error("propose", caption)
            if wrong is not None and named and proposed:
                self.injected["propose"] += 1
                proposed[wrong.randrange(len(proposed))] = wrong.choice(named)
            found.append(proposed)
        return found

    def negate(self, captions: Sequence[str], absent: Sequence[str]) -> list[str]:
        """Each caption with the absence woven in by one of the forms of ``statements``, either clause first."""
        annotators.require_same_length(captions, absent, "captions", "absent objects")
        said = []
        for caption, noun in zip(captions, absent, strict=True):
            rng = self._chance("negate", f"{caption}/{noun}/wording")
            said.append(self._worded("negate", statements.woven(caption, noun, rng), rng))
        return said

    def paraphrase(self, captions: Sequence[str]) -> list[str]:
        """Each templated sentence in other words; raises NegutilError for one that ``statements.read`` cannot read."""
        said = []
        for caption in captions:
            wanted = statements.require(caption, "The mini world")
            said.append(self._worded("paraphrase", wanted, self._chance("paraphrase", f"{caption}/wording")))
        return said

    def shows(self, pictures: Sequence[Path], nouns: Sequence[str]) -> list[bool | None]:
        """Whether each image shows its noun, under any name; raises NegutilError for an image without truth."""
        annotators.require_same_length(pictures, nouns, "pictures", "nouns")
        found: list[bool | None] = []
        for picture, noun in zip(pictures, nouns, strict=True):
            name, things = self._truth(Path(picture))
            wrong = self._error("shows", f"{name}/{noun}") is not None
            if wrong:
                self.injected["shows"] += 1
            found.append((_canonical(noun) in things) != wrong)
        return found

    def answer(self, pictures: Sequence[Path], questions: Sequence[str]) -> list[str]:
        """The letter of the first true option, or "yes" or "no", to the questions of ``prompts``; templated sentences
        alone are understood, anything else gets UNSURE. Raises NegutilError for an image without truth."""
        annotators.require_same_length(pictures, questions, "pictures", "questions")
        found = []
        for picture, question in zip(pictures, questions, strict=True):
            name, things = self._truth(Path(picture))
            right, replies = _right_answer(question, things)
            wrong = self._error("answer", f"{name}/{question}")
            if wrong is not None and right != UNSURE:
                self.injected["answer"] += 1
                right = wrong.choice([reply for reply in replies if reply != right])
            found.append(right)
        return found

    def _worded(self, operation: str, wanted: Statement, rng: random.Random) -> str:
        """The statement in free words, or a wrong one in its place."""
        held_out = rng.random() < self.settings.held_out_share
        wrong = self._error(operation, repr(wanted))
        if wrong is None or not wanted.absent:
            return statements.paraphrase(wanted, rng, held_out)
        self.injected[operation] += 1
        said = _misread(wanted, wrong)
        return said if isinstance(said, str) else statements.paraphrase(said, rng, held_out)

    def _truth(self, picture: Path) -> tuple[str, frozenset[str]]:
        """The longest end of an image's path that is known, and what is in the image."""
        for start in range(len(picture.parts)):
            tail = picture.parts[start:]
            if tail in self._things:
                return "/".join(tail), self._things[tail]
        raise NegutilError(f"{picture}: the mini world has no truth about this image; give it among things.")

    def _chance(self, operation: str, item: str) -> random.Random:
        return random.Random(f"annotator/{self.settings.seed}/{operation}/{item}")

    def _error(self, operation: str, item: str) -> random.Random | None:
        """The source of chance for an item that is to be wrong; None for one that is to be right."""
        self.asked[operation] += 1
        rate = getattr(self.settings.errors, operation)
        # Without errors nothing is drawn: making a source of chance takes longer than most of the work.
        rng = self._chance(operation, f"{item}/error") if rate else None
        return rng if rng is not None and rng.random() < rate else None


def things(folder: Path, split: str = "train") -> dict[str, frozenset[str]]:
    """What may truly be said of each image of a split of a part of the world, by its file name."""
    return {one.file_name: truth.sayable(one.scene.nouns) for one in truth.read(folder) if one.split == split}


def annotator(options: Mapping[str, Any], things: Mapping[str, Collection[str]] | None) -> WorldAnnotator:
    """A mini world's annotator from settings; raises NegutilError for wrong ones."""
    return WorldAnnotator(things, files.checked(World, options, "annotator world"))


def _proposals(named: Sequence[str], settings: World, rng: random.Random) -> Iterator[str]:
    """Nouns that are not named: first those that go with a named one, then those at home in the same places, then all;
    without ``plausible`` all in random order."""
    taboo = {*named, *truth.sayable(frozenset(named))}
    tiers = [set(NOUNS)]
    if settings.plausible:
        companions = {noun for group in COMPANIONS if group & set(named) for noun in group}
        neighbours = {noun for place in PLACES.values() if set(named) & set(place.nouns) for noun in place.nouns}
        tiers = [companions, neighbours, set(NOUNS)]
    for tier in tiers:
        new = [noun for noun in settings.nouns if noun in tier and noun not in taboo]
        taboo.update(new)
        yield from rng.sample(new, len(new))


def _misread(wanted: Statement, rng: random.Random) -> Statement | str:
    """A statement, or a sentence, that loses the negation or puts it on something that is there."""
    lost = rng.random() < 0.5
    (gone, *_) = wanted.absent
    if wanted.caption:
        named = [noun for noun in english.mentions(wanted.caption) if noun != gone]
        if lost or not named:
            return f"{wanted.caption.strip().rstrip('.')}, and there is {statements.with_article(gone)}."
        return Statement((), (rng.choice(named),), wanted.caption, wanted.negation_first, wanted.medium)
    if lost or not wanted.present:
        return Statement((*wanted.present, *wanted.absent), (), "", False, wanted.medium)
    (there, *others) = wanted.present
    return Statement((gone, *others), (there,), "", wanted.negation_first, wanted.medium)


def _right_answer(question: str, things: frozenset[str]) -> tuple[str, Sequence[str]]:
    """The reply to a question of ``prompts`` about an image with these things, and all possible replies."""
    options, claim = prompts.options_of(question), prompts.claim_of(question)
    if options:
        letters = ascii_uppercase[: len(options)]
        true = (letter for letter, said in zip(letters, options, strict=True) if _is_true(said, things))
        return next(true, UNSURE), letters
    verdict = None if claim is None else _is_true(claim, things)
    return UNSURE if verdict is None else "yes" if verdict else "no", ("yes", "no")


def _is_true(sentence: str, things: frozenset[str]) -> bool | None:
    """Whether a templated sentence is true of an image with these things; None if it cannot be read."""
    said = statements.read(sentence)
    if said is None:
        return None
    present = [*map(_canonical, said.present), *english.mentions(said.caption)]
    return set(present) <= things and not set(map(_canonical, said.absent)) & things


def _canonical(noun: str) -> str:
    """The mini world's own name for a noun that it knows by another ("sofa", "people"); other nouns as they are."""
    found = list(english.mentions(noun))
    return found[0] if len(found) == 1 else noun
