"""The grammar's forms as sentences about given things alone: no place is said, and each has a short name.

Design: "Rules for it" (a quarter of the forms is held out for testing).
"""

import random
from collections.abc import Iterable
from dataclasses import replace

from negutil.captions import english, statements
from negutil.captions.english import Form

CLOSING_WORDS = {"just", "only"}
"""Words that say that there is nothing else: a sentence with one is false of images that show more."""


def tidy(sentence: str) -> str:
    """``sentence`` without the gaps and commas that an unsaid place leaves."""
    return " ".join(sentence.split()).replace(" ,", ",").replace(" ;", ";").strip(" ,")


def placeless(pool: Iterable[Form]) -> tuple[Form, ...]:
    """The forms of ``pool`` with no place in them, each wording once."""
    bare = [replace(form, text=tidy(form.text.replace("{place}", ""))) for form in pool]
    return tuple({form.text: form for form in bare}.values())


def closed(form: Form) -> bool:
    """Whether the form says that there is nothing else in the image."""
    return bool(CLOSING_WORDS & set(form.text.replace(",", " ").split()))


AFFIRMATIVE = placeless(english.AFFIRMATIVE)
"""Forms that say what is there."""

NEGATED_ALONE = placeless(form for form in english.NEGATED if form.order == "only")
"""Forms that say only that something is missing."""

EXCLUDING = placeless(form for form in english.NEGATED if "{things}" in form.text and not closed(form))
"""Forms that say that one thing is there and another is not, and nothing about the rest of the image."""


def fill(form: Form, things: str = "", missing: str = "") -> str:
    """The sentence of ``form`` about ``things`` (a phrase with its article) and the noun ``missing``."""
    about = {}
    if missing:
        about = {"absent": statements.with_article(missing), "bare": missing, "plural": statements.plural(missing)}
    return form.text.format(things=things, **about)


def name(form: Form, things: str = "X", missing: str = "Y") -> str:
    """The form in short, such as "X, but no Y"."""
    return form.text.format(things=things, absent=missing, bare=missing, plural=f"{missing}s")


def negation_pairs(count: int = 400, seed: int = 0) -> list[tuple[str, str]]:
    """Return ``count`` sentences with their negations: of two things, or one, the last of which is denied.

    No noun is held out, and no wording is.
    """
    rng = random.Random(f"negation pairs/{seed}")
    nouns = [noun for noun in english.NOUNS if noun not in english.HELD_OUT_NOUNS]
    affirmative, excluding, alone = (
        english.forms(pool, held_out=False) for pool in (AFFIRMATIVE, EXCLUDING, NEGATED_ALONE)
    )
    pairs = []
    for number in range(count):
        there, gone = rng.sample(nouns, 2)
        first, second = english.with_article(there), english.with_article(gone)
        both = number % 2 == 0
        affirmed = fill(rng.choice(affirmative), f"{first} and {second}" if both else second)
        negated = fill(rng.choice(excluding if both else alone), first if both else "", gone)
        pairs.append((affirmed, negated))
    return pairs
