"""What can truthfully be said of a scene, affirmatively and with negation, in forms of ``negutil.captions.english``.

Wide enough that no model can win by knowing one template. Design: "Rules for it".
"""

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from miniworld.scenes import SIZE, Scene, Thing
from negutil.captions import english
from negutil.captions.english import NOUN, PLACES, PLURAL_ONLY, Form, enumerate_phrases, plural, with_article

EVENTFUL = 0.9  # how often an action and things worn or held are said where other details are not
EXTRA_ALONE = 0.2  # how often a caption that merely names things is about something worn or held alone
VAGUE = 0.15  # how often a short caption calls a woman or a baby "a person"
NUMBERS = ("zero", "one", "two", "three", "four", "five")


def name(noun: str, rng: random.Random, synonyms: bool = True) -> str:
    """The noun or, one time in five, one of its synonyms."""
    others = NOUN[noun].synonyms
    return rng.choice(others) if synonyms and others and rng.random() < 0.2 else noun


def noun_phrase(thing: Thing, rng: random.Random, detail: float = 1.0) -> str:
    """One thing with an article. Its colour is said with probability ``detail``, its size with a third of that, and its
    action and what it wears and holds with ``detail`` or ``EVENTFUL``, whichever is more: they are what a caption is
    about. Where not all is said (``detail`` below 1), a woman or a baby is at times only "a person"."""
    words = [thing.size] if thing.size != "medium" and rng.random() < detail / 3 else []
    if rng.random() < detail:
        words.append(thing.colour)
    vague = detail < 1 and NOUN[thing.noun].group == "person" and rng.random() < VAGUE
    words.append("person" if vague else name(thing.noun, rng))
    phrase = with_article(" ".join(words))
    if thing.action and rng.random() < max(detail, EVENTFUL):
        phrase = f"{phrase} {thing.action}"
    if thing.extras and rng.random() < max(detail, EVENTFUL):
        coloured = [f"{extra.colour} {extra.noun}" if rng.random() < detail else extra.noun for extra in thing.extras]
        gear = (f"{extra.relation} {with_article(said)}" for extra, said in zip(thing.extras, coloured, strict=True))
        phrase = f"{phrase} {' and '.join(gear)}"
    return phrase


def _alike(things: Sequence[Thing], by_colour: bool) -> list[list[Thing]]:
    """Things of the same noun (and colour) together, in order of appearance; dressed or acting ones stay alone."""
    groups: dict[tuple[object, ...], list[Thing]] = {}
    for index, thing in enumerate(things):
        alone = index if thing.extras or thing.action else None
        groups.setdefault((thing.noun, thing.colour if by_colour else "", alone), []).append(thing)
    return list(groups.values())


def things_phrase(things: Sequence[Thing], rng: random.Random, detail: float = 1.0) -> str:
    """All ``things`` in random order, equal ones counted together; "an empty place" where there are none."""
    if not things:
        return "an empty place"
    phrases = []
    for first, *others in _alike(things, by_colour=detail > 0):
        if not others:
            phrases.append(noun_phrase(first, rng, detail))
            continue
        number = "two pairs of" if first.noun in PLURAL_ONLY and len(others) == 1 else NUMBERS[1 + len(others)]
        colour = f"{first.colour} " if rng.random() < detail else ""
        phrases.append(f"{number} {colour}{plural(name(first.noun, rng))}")
    rng.shuffle(phrases)
    return enumerate_phrases(phrases)


def position(thing: Thing) -> str:
    """Where a thing is in the image, e.g. "at the top left"; "in the middle" for the central third."""
    x, y = thing.centre
    column = "left" if x < SIZE / 3 else "right" if x > 2 * SIZE / 3 else ""
    row = "top" if y < SIZE / 3 else "bottom" if y > 2 * SIZE / 3 else ""
    where = f"{row} {column}".strip()
    if not where:
        return "in the middle"
    return f"on the {where}" if where in ("left", "right") else f"at the {where}"


def relation(first: Thing, second: Thing) -> str:
    """How ``first`` lies to ``second``: "to the left of", "to the right of", "above" or "below"."""
    across, down = first.centre[0] - second.centre[0], first.centre[1] - second.centre[1]
    if abs(across) >= abs(down):
        return "to the left of" if across < 0 else "to the right of"
    return "above" if down < 0 else "below"


def _located_phrase(things: Sequence[Thing], rng: random.Random) -> str:
    """Every thing with its position, or two of them by their relation and the rest plainly."""
    order = list(things)
    rng.shuffle(order)
    if len(order) >= 2 and rng.random() < 0.5:
        first, second, *rest = order
        pair = f"{noun_phrase(first, rng)} {relation(first, second)} {noun_phrase(second, rng)}"
        return enumerate_phrases([pair, *(noun_phrase(thing, rng) for thing in rest)])
    return enumerate_phrases([f"{noun_phrase(thing, rng)} {position(thing)}" for thing in order])


TRAINING_FORMS = english.forms(english.AFFIRMATIVE, held_out=False)


def _agree(sentence: str) -> str:
    """Repair "there is two ..." and blanks left by an unsaid place."""
    sentence = re.sub(r"\bis (two|three|four|five)\b", r"are \1", sentence)
    return re.sub(r"\s+([,;])", r"\1", re.sub(r"\s{2,}", " ", sentence)).strip(" ,")


def full_caption(scene: Scene, rng: random.Random, pool: Sequence[Form] = TRAINING_FORMS) -> str:
    """An affirmative sentence about every thing with its colour, action and extras, and about the place."""
    located = scene.things and rng.random() < 0.3
    things = _located_phrase(scene.things, rng) if located else things_phrase(scene.things, rng)
    return _agree(rng.choice(pool).text.format(things=things, place=PLACES[scene.place].phrase))


def partial_caption(scene: Scene, rng: random.Random, pool: Sequence[Form] = TRAINING_FORMS) -> str:
    """An affirmative sentence about some of the things, with less detail and at times without the place."""
    if not scene.things:
        return full_caption(scene, rng, pool)
    chosen = rng.sample(scene.things, rng.randint(1, len(scene.things)))
    place = PLACES[scene.place].phrase if rng.random() < 0.5 else ""
    return _agree(rng.choice(pool).text.format(things=things_phrase(chosen, rng, detail=0.55), place=place))


def incomplete_caption(scene: Scene, rng: random.Random, pool: Sequence[Form] = TRAINING_FORMS) -> str:
    """A ``partial_caption`` that leaves at least one noun unsaid, as most captions of COCO do.

    Where the scene has things of one noun alone, it names them.
    """
    nouns = sorted({thing.noun for thing in scene.things})
    said = rng.sample(nouns, rng.randint(1, max(1, len(nouns) - 1))) if nouns else []
    shown = replace(scene, things=tuple(thing for thing in scene.things if thing.noun in said))
    return partial_caption(shown, rng, pool)


def naming_caption(scene: Scene, rng: random.Random, pool: Sequence[Form] = TRAINING_FORMS) -> str:
    """An affirmative sentence that names all or some of the things and says little else, as most captions do.

    At times it is about something worn or held alone ("a photo of a hat").
    """
    if not scene.things:
        return full_caption(scene, rng, pool)
    extras = [Thing(extra.noun, extra.colour, "medium", extra.box) for extra in scene.extras]
    if extras and rng.random() < EXTRA_ALONE:
        chosen: Sequence[Thing] = [rng.choice(extras)]
    else:
        count = len(scene.things) if rng.random() < 0.5 else rng.randint(1, len(scene.things))
        chosen = rng.sample(scene.things, count)
    place = PLACES[scene.place].phrase if rng.random() < 0.15 else ""
    return _agree(rng.choice(pool).text.format(things=things_phrase(chosen, rng, detail=0.0), place=place))


def negated_caption(scene: Scene, absent: str, form: Form, rng: random.Random) -> str:
    """A sentence of the negated ``form`` saying that ``absent`` is missing.

    The sentence is true of the scene if ``absent`` is; what is said to be there is all that is there.

    Args:
        absent: a noun of the vocabulary.
    """
    said = name(absent, rng, synonyms=False)
    return _agree(
        form.text.format(
            things=things_phrase(scene.things, rng),
            place=PLACES[scene.place].phrase,
            absent=with_article(said),
            bare=said,
            plural=plural(said),
        )
    )
