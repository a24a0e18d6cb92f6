"""Prompts for text to image that deny something, of the published kinds and forms, each with two yes/no questions.

They are in ``prompts_with_questions.json``, in the format of the published file, so that every encoder and every
release gets the same prompts; ``make`` is how they were made.

See docs/protocols.md#neg-score.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

from negutil.captions import english, picture_facts
from negutil.captions.english import COLOURS, COMPANIONS, NOUNS, PLACES, PLURAL_ONLY
from negutil.captions.picture_facts import (
    ACTION,
    COLOUR,
    DENIED_FEATURES,
    FACE,
    OBJECT,
    PLACE,
    WORN,
    WORN_FEATURES,
    Fact,
)
from negutil.config import Profile

SPOTS = ("beach", "meadow", "street", "kitchen", "desert", "forest", "bedroom", "lake")
"""Places with a name of their own, which a prompt can be about."""

COUNTS = {OBJECT: 40, COLOUR: 24, ACTION: 18, WORN: 26, FACE: 24}
Row = tuple[str, Fact, Fact]
"""A prompt, what should be there and what should not."""


def build(_: Profile) -> Path:
    """The folder with the file, which is that of this module."""
    return Path(__file__).parent


def make(seed: int = 0) -> list[dict[str, str]]:
    """The prompts of the mini world in the published format: keys Prompt, Question1 (want yes), Question2 (want no)."""
    chosen: list[Row] = []
    for kind, count in COUNTS.items():
        rng = random.Random(f"t2i/{seed}/{kind}")
        different: dict[str, Row] = {}
        while len(different) < count:
            for row in _rows(kind, rng):
                different.setdefault(row[0], row)
        chosen += list(different.values())[:count]
    return [
        {"Prompt": prompt, "Question1": picture_facts.question(wanted), "Question2": picture_facts.question(denied)}
        for prompt, wanted, denied in chosen
    ]


def text(seed: int = 0) -> str:
    """The content of the file."""
    return json.dumps(make(seed), indent=1) + "\n"


def _rows(kind: str, rng: random.Random) -> Iterator[Row]:
    """One prompt of a kind, or two: a place without what belongs there, a thing without what goes with it."""
    if kind == OBJECT:
        place = rng.choice(SPOTS)
        noun = rng.choice([name for name in PLACES[place].nouns if name not in PLURAL_ONLY])
        yield f"a {place} {_lacking(noun, rng)}", Fact(PLACE, "", place), Fact(OBJECT, noun)
        subject, other = rng.sample(sorted(rng.choice(COMPANIONS) - PLURAL_ONLY - {"baby"}), 2)
        if "person" not in (subject, other):
            yield f"{english.with_article(subject)} {_lacking(other, rng)}", Fact(OBJECT, subject), Fact(OBJECT, other)
    elif kind == COLOUR:
        noun, colour = rng.choice([noun for noun in NOUNS if noun not in PLURAL_ONLY]), rng.choice(tuple(COLOURS))
        prompt = f"{english.with_article(noun)} that {rng.choice(('is not', 'is by no means'))} {colour}"
        yield prompt, Fact(OBJECT, noun), Fact(COLOUR, noun, colour)
    elif kind == ACTION:
        where = ("", *(f" {PLACES[place].phrase}" for place in ("beach", "snow", "street", "lake")))
        action, cue = rng.choice(picture_facts.DOING), rng.choice(("not", "who is not"))
        yield f"a person{rng.choice(where)} {cue} {action}", Fact(OBJECT, "person"), Fact(ACTION, "person", action)
    elif kind == WORN:
        fact = rng.choice([fact for fact in picture_facts.RELATIONS if fact.kind == WORN])
        relation, _, noun = fact.value.partition(" ")
        gear = english.with_article(noun)
        form = rng.choice((f"not {relation} {gear}", f"with no {noun}", f"without {gear}"))
        yield f"a {fact.subject} {form}", Fact(OBJECT, fact.subject), fact
    else:
        name = rng.choice(DENIED_FEATURES)
        noun = picture_facts.FEATURES[name].partition(" ")[2]
        forms = [f"with no {noun.removeprefix('a ')}", f"without {noun}"]
        forms += [f"not wearing {noun}"] * 2 if name in WORN_FEATURES else []
        yield f"a person {rng.choice(forms)}", Fact(OBJECT, "person"), Fact(FACE, "person", name)


def _lacking(noun: str, rng: random.Random) -> str:
    forms = (f"with no {noun}", f"without {english.with_article(noun)}", f"without any {english.plural(noun)}")
    return rng.choice(forms)
