"""What language and vision models are asked, in one place: prompts, examples and sampling settings.

The procedures are the published ones (one word, two examples, ten new tokens, temperatures, ...); the wording is ours,
because only part of the published prompts is public and none of them is needed to the letter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase

from negutil.errors import NegutilError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn: at most ``tokens`` new tokens, ending before any of ``stop``; temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    tokens: int = 256
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation to be continued: (role, text) turns, and the image that the last turn is about."""

    turns: tuple[tuple[str, str], ...]
    picture: Path | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of question: an instruction, the question's pattern, how replies are drawn, and examples of both."""

    system: str
    question: str
    sampling: Sampling
    examples: tuple[tuple[str, str], ...] = ()

    def chat(self, picture: Path | None = None, **values: object) -> Chat:
        """The conversation that ends in this question, with ``values`` filled into its pattern."""
        shown = [turn for question, reply in self.examples for turn in (("user", question), ("assistant", reply))]
        system = [("system", self.system)] if self.system else []
        return Chat((*system, *shown, ("user", self.question.format(**values))), picture)


@dataclass(frozen=True, slots=True)
class Prompts:
    """The tasks of a language annotator (extract, propose, negate, paraphrase) and of a vision annotator."""

    extract: Task
    propose: Task
    negate: Task
    paraphrase: Task
    shows: Task
    answer: Task


DRAWN = Sampling(temperature=0.8, tokens=900, stop=("\n\n",))
"""NegBench, every task of its language models (docs/protocols.md#generation)."""

P1 = Sampling(temperature=0.6, top_p=0.9, tokens=256)
"""NegationCLIP, pipeline P1, language model (docs/protocols.md#negationclip-captions)."""

SHORT = Sampling(tokens=10)
"""NegationCLIP, pipeline P1, vision model: greedy, ten new tokens (docs/protocols.md#negationclip-captions)."""

SHOWS = Task("", "Is there {noun} in this picture? Reply with yes or no only.", SHORT)
"""NegationCLIP, pipeline P1, step 2; NegBench asks OWL-ViT instead."""

ANSWER = Task("", "{question}", SHORT)

EXTRACT = Task(
    "You list the objects that a caption names. Reply with a JSON list of lower-case singular nouns, and nothing else.",
    "Caption: {caption}",
    DRAWN,
    (
        ("Caption: A man in a blue shirt walks two dogs past a bench.", '["man", "shirt", "dog", "bench"]'),
        ("Caption: What a lovely evening this was", "[]"),
    ),
)
"""NegBench, step 1 for captions without object labels."""

NEGBENCH = Prompts(
    extract=EXTRACT,
    propose=Task(
        "You name objects that go well with a caption but that it does not mention. Reply with a JSON list of "
        "lower-case singular nouns, and nothing else.",
        "Caption: {caption}\nHow many: {count}",
        DRAWN,
        (("Caption: A man walks two dogs past a bench.\nHow many: 3", '["bicycle", "tree", "ball"]'),),
    ),
    negate=Task(
        "You rewrite a caption as one fluent sentence that also says that something is not there. "
        "Keep all that the caption says. The absence may come first or last. Reply with the sentence only.",
        "Caption: {caption}\nNot there: {absent}",
        DRAWN,
        (
            ("Caption: A cat sleeps on a sofa.\nNot there: pillow", "A cat sleeps on a sofa that has no pillow."),
            ("Caption: Two boats on a lake.\nNot there: bridge", "There is no bridge over the lake with two boats."),
            ("Caption: A plate of fruit\nNot there: knife", "A plate of fruit without a knife."),
        ),
    ),
    paraphrase=Task(
        "You reword a caption as one fluent sentence. Keep its meaning exactly: what is said to be there stays there, "
        "and what is said to be absent stays absent. Reply with the sentence only.",
        "Caption: {caption}",
        DRAWN,
        (
            ("Caption: This image includes a cup but not a spoon.", "There is a cup in the picture, without a spoon."),
            ("Caption: This image does not include a horse.", "No horse can be seen here."),
        ),
    ),
    shows=SHOWS,
    answer=ANSWER,
)
"""NegBench's benchmark and training captions (docs/protocols.md#generation)."""

NEGATIONCLIP = Prompts(
    extract=EXTRACT,
    propose=Task(
        "You reply with one word.",
        "A picture has the caption '{caption}'. Which object does the caption not mention that is likely to be there?",
        P1,
    ),
    negate=Task(
        "You write short captions.",
        "Say in the caption '{caption}' that there is no {absent}.",
        P1,
        (
            (
                "Say in the caption 'a boy kicks a ball on a lawn' that there is no shoe.",
                "a boy not wearing shoes kicks a ball on a lawn",
            ),
            (
                "Say in the caption 'a red kite in the sky' that there is no cloud.",
                "a red kite in the sky with no cloud",
            ),
        ),
    ),
    paraphrase=NEGBENCH.paraphrase,
    shows=SHOWS,
    answer=ANSWER,
)
"""NegationCLIP, pipeline P1: one word, verified by the vision model, then two examples.
See docs/protocols.md#negationclip-captions.
"""

NEGATIONCLIP_RANDOM = replace(NEGATIONCLIP, propose=Task("You reply with one word.", "Name any object at random.", P1))
"""NegationCLIP, the control Rand-P1 (docs/protocols.md#negationclip-captions)."""

SETS = {"negbench": NEGBENCH, "negationclip": NEGATIONCLIP, "negationclip-random": NEGATIONCLIP_RANDOM}


def named(name: str) -> Prompts:
    """The set of prompts called ``name``; raises NegutilError if there is none."""
    if name not in SETS:
        raise NegutilError(f"There are no prompts {name!r}: choose one of {', '.join(SETS)}.")
    return SETS[name]


# The exam of generative models (negutil.tasks.exam)

_CHOICE = "Which of these captions is true of the picture?\n{options}\nReply with one letter only."
_CLAIM = "Is this caption true of the picture?\n{claim}\nReply with yes or no only."


def choice_question(options: Sequence[str]) -> str:
    """A multiple-choice question whose ``options`` are lettered from A on; raises NegutilError above 26 options."""
    if len(options) > len(ascii_uppercase):
        raise NegutilError(f"A question has {len(options)} options: give at most {len(ascii_uppercase)}.")
    lines = [f"{letter}. {' '.join(option.split())}" for letter, option in zip(ascii_uppercase, options, strict=False)]
    return _CHOICE.format(options="\n".join(lines))


def claim_question(claim: str) -> str:
    """A yes/no question whether ``claim`` is true of the image."""
    return _CLAIM.format(claim=" ".join(claim.split()))


def options_of(question: str) -> list[str]:
    """The options that ``choice_question`` lettered; [] for any other question."""
    return (
        re.findall(r"^[A-Z]\. (.*)$", question, re.MULTILINE) if question.startswith(_CHOICE.partition("{")[0]) else []
    )


def claim_of(question: str) -> str | None:
    """The claim of a ``claim_question``; None for any other question."""
    return question.split("\n")[1] if question.startswith(_CLAIM.partition("{")[0]) else None
