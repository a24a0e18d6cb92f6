"""Prompts for text to image that deny something, of the published kinds and forms, each with two yes/no questions.

They stand in ``prompts_with_questions.json``, in the format of the published file, so that every encoder and every
release is asked the same; ``make`` is how they were made.

See docs/protocols.md#neg-score.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from negutil.captions import english, picture_facts
from negutil.captions.english import COLOURS, COMPANIONS, NOUNS, PLACES, PLURAL_ONLY
from negutil.captions.picture_facts import ACTION, COLOUR, FACE, OBJECT, PLACE, WORN, Fact
from negutil.config import Profile

SPOTS = ("beach", "meadow", "street", "kitchen", "desert", "forest", "bedroom", "lake")
"""Places with a name of their own, which a prompt can be about."""

WORN_THINGS = ("Eyeglasses", "Wearing_Necktie", "Wearing_Necklace", "Wearing_Earrings", "Wearing_Lipstick")
PARTS = ("Mustache", picture_facts.BEARD, "Goatee", "Smiling", "Bangs", "Rosy_Cheeks", "Bushy_Eyebrows")
COUNTS = {OBJECT: 40, COLOUR: 24, ACTION: 18, WORN: 26, FACE: 24}
Row = tuple[str, Fact, Fact]
"""A prompt, what should be there and what should not."""


def build(_: Profile) -> Path:
    """The folder with the file, which is that of this module."""
    return Path(__file__).parent


def make(seed: int = 0) -> list[dict[str, str]]:
    """The prompts of the mini world in the published format: keys Prompt, Question1 (want yes), Question2 (want no)."""
    makers = {OBJECT: _objects, COLOUR: _colours, ACTION: _actions, WORN: _gear, FACE: _faces}
    rows: list[Row] = []
    for name, maker in makers.items():
        different: dict[str, Row] = {}
        made = maker(random.Random(f"t2i/{seed}/{name}"))
        while len(different) < COUNTS[name]:
            row = next(made)
            different.setdefault(row[0], row)
        rows += different.values()
    return [
        {"Prompt": prompt, "Question1": picture_facts.question(wanted), "Question2": picture_facts.question(denied)}
        for prompt, wanted, denied in rows
    ]


def text(seed: int = 0) -> str:
    """The content of the file."""
    return json.dumps(make(seed), indent=1) + "\n"


def _objects(rng: random.Random) -> Iterator[Row]:
    """Places without what belongs there, and things without what goes with them, by turns."""
    while True:
        place = rng.choice(SPOTS)
        noun = rng.choice([name for name in PLACES[place].nouns if name not in PLURAL_ONLY])
        yield f"a {place} {_lacking(noun, rng)}", Fact(PLACE, "", place), Fact(OBJECT, noun)
        group = sorted(rng.choice(COMPANIONS) - PLURAL_ONLY - {"baby"})
        subject, other = rng.sample(group, 2)
        if "person" not in (subject, other):
            yield f"{english.with_article(subject)} {_lacking(other, rng)}", Fact(OBJECT, subject), Fact(OBJECT, other)


def _lacking(noun: str, rng: random.Random) -> str:
    return rng.choice(
        (f"with no {noun}", f"without {english.with_article(noun)}", f"without any {english.plural(noun)}")
    )


def _colours(rng: random.Random) -> Iterator[Row]:
    nouns = [noun for noun in NOUNS if noun not in PLURAL_ONLY]
    while True:
        noun, colour = rng.choice(nouns), rng.choice(tuple(COLOURS))
        form = rng.choice((f"a not {colour} {noun}", f"{english.with_article(noun)} that is not {colour}"))
        yield form, Fact(OBJECT, noun), Fact(COLOUR, noun, colour)


def _actions(rng: random.Random) -> Iterator[Row]:
    where = ("", *(f" {PLACES[place].phrase}" for place in ("beach", "snow", "street", "lake")))
    while True:
        action = rng.choice(picture_facts.DOING)
        cue = rng.choice(("not", "who is not"))
        prompt = f"a person{rng.choice(where)} {cue} {action}"
        yield prompt, Fact(OBJECT, "person"), Fact(ACTION, "person", action)


def _gear(rng: random.Random) -> Iterator[Row]:
    options = [fact for fact in picture_facts.RELATIONS if fact.kind == WORN]
    while True:
        fact = rng.choice(options)
        relation, _, noun = fact.value.partition(" ")
        gear = english.with_article(noun)
        form = rng.choice((f"not {relation} {gear}", f"with no {noun}", f"without {gear}"))
        yield f"a {fact.subject} {form}", Fact(OBJECT, fact.subject), fact


def _faces(rng: random.Random) -> Iterator[Row]:
    while True:
        name = rng.choice((*WORN_THINGS, *PARTS))
        noun = picture_facts.FEATURES[name].partition(" ")[2]
        bare = noun.removeprefix("a ")
        forms = [f"with no {bare}", f"without {noun}"]
        forms += [f"not wearing {noun}"] * 2 if name in WORN_THINGS else []
        yield f"a person {rng.choice(forms)}", Fact(OBJECT, "person"), Fact(FACE, "person", name)
