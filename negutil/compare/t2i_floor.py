"""Can the pipeline draw what it is asked for at all? Affirmative prompts, before negation is asked of it.

Prompts for one thing, for two things, and for a face with a feature; the judge says whether all that was asked for is
there. A pipeline that fails here cannot show anything about negation.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from negutil.captions import english, picture_facts
from negutil.captions.english import NOUNS, PLACES, SUPERCATEGORY
from negutil.captions.picture_facts import FACE, OBJECT, Fact
from negutil.tasks import picture_judge
from negutil.tasks.picture_judge import Judge, Pictures, Rates

SINGLE, PAIR, PORTRAIT = KINDS = ("one thing", "two things", "face")
SHOWN, CORRECTED = "all asked things shown", "all asked things shown, corrected"


@dataclass(frozen=True, slots=True)
class Asked:
    """An affirmative prompt and what it asks for."""

    kind: str
    prompt: str
    facts: tuple[Fact, ...]


def prompts(count: int, seed: int = 0) -> list[Asked]:
    """``count`` different prompts of each kind."""
    makers = {SINGLE: _single, PAIR: _pair, PORTRAIT: _portrait}
    found: list[Asked] = []
    for kind, maker in makers.items():
        rng = random.Random(f"t2i/floor/{seed}/{kind}")
        own: dict[str, Asked] = {}
        while len(own) < count:
            prompt, facts = maker(rng)
            own.setdefault(prompt, Asked(kind, prompt, facts))
        found += own.values()
    return found


def _place(rng: random.Random) -> str:
    return rng.choice(list(PLACES.values())).phrase


def _single(rng: random.Random) -> tuple[str, tuple[Fact, ...]]:
    noun = rng.choice(NOUNS)
    return f"{english.with_article(noun)} {_place(rng)}", (Fact(OBJECT, noun),)


def _pair(rng: random.Random) -> tuple[str, tuple[Fact, ...]]:
    first, second = rng.sample(NOUNS, 2)
    if SUPERCATEGORY[first] == SUPERCATEGORY[second] == "person":
        return _pair(rng)
    said = f"{english.with_article(first)} and {english.with_article(second)} {_place(rng)}"
    return said, (Fact(OBJECT, first), Fact(OBJECT, second))


def _portrait(rng: random.Random) -> tuple[str, tuple[Fact, ...]]:
    count = rng.choice((1, 2))
    chosen = rng.sample(sorted(picture_facts.FEATURES), count)
    said = " and ".join(picture_facts.FEATURES[name] for name in chosen)
    if count == 2 and not possible(chosen):
        return _portrait(rng)
    return f"a person {said}", tuple(Fact(FACE, "person", name) for name in chosen)


_ONE_OF = (
    {"Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Bald"},
    {"Straight_Hair", "Wavy_Hair", "Bald"},
    {"5_o_Clock_Shadow", "Goatee", "Mustache", picture_facts.BEARD},
    {"Arched_Eyebrows", "Bushy_Eyebrows"},
    {"Bald", "Bangs"},
    {"Wearing_Necklace", "Wearing_Necktie"},
)


def possible(features: Sequence[str]) -> bool:
    """Whether one face of the mini world can have both features."""
    return not any(set(features) <= group for group in _ONE_OF)


def judge(look: Judge, asked: Sequence[Asked], pictures: Pictures, rates: Mapping[str, Rates] | None) -> pd.DataFrame:
    """Whether everything asked for is in pictures [N, H, W, 3]: a row each with kind, prompt, and 1 or 0.

    With ``rates``, also corrected for the judge's errors (taken to be independent, given the truth).
    """
    place = [row for row, one in enumerate(asked) for _ in one.facts]
    facts = [fact for one in asked for fact in one.facts]
    yes = look.yes(pictures[place], [picture_facts.question(fact) for fact in facts]) > 0.5
    table = pd.DataFrame({"kind": [one.kind for one in asked], "prompt": [one.prompt for one in asked]})
    found = {SHOWN: _product(yes.astype(float), place)}
    if rates:
        own = [rates[fact.kind] for fact in facts]
        sensitivity, specificity = (
            np.array([getattr(rate, name) for rate in own]) for name in ("sensitivity", "specificity")
        )
        found[CORRECTED] = _product(picture_judge.corrected(yes, sensitivity, specificity), place)
    return table.assign(**found)


def _product(values: picture_judge.Floats, place: Sequence[int]) -> pd.Series:
    return pd.Series(values).groupby(list(place), sort=False).prod()
