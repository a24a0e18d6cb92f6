"""Referring: scenes with several things of one kind, and phrases, with and without negation, that fit exactly one.

A clue is one difference between them (a colour, something worn or held, an action, a position). A negated clue names
what the others have and the one meant has not: "the car that is not red", "a person without a hat". Where a clue is
unclear for anything it could mean (a thing between left and middle), it is not used. See docs/protocols.md#negrefcocog.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from miniworld import drawing, scenes, truth
from miniworld.scenes import PLACE_NAMES, SIZE, Scene, Thing
from miniworld.truth import Instance
from negutil.captions import english
from negutil.captions.english import ACTIONS, COLOURS, HOLDABLE, HOLDERS, PLACES, PLURAL_ONLY, WEARABLE, WEARERS

KINDS = ("colour", "wearing", "holding", "action", "position")
WHERE = ("on the left", "on the right", "at the top", "at the bottom")
SAME_COLOUR = 0.5


@dataclass(frozen=True, slots=True)
class Form:
    """A pattern of a referring phrase.

    Its text has {noun}, {a_noun} (with an article), {value} and {a_value}; ``held_out`` forms are kept for testing.
    """

    text: str
    kind: str
    negated: bool
    held_out: bool = False


_TEXTS: dict[tuple[str, bool], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("colour", False): (
        (
            "the {value} {noun}",
            "{noun} that is {value}",
            "the {noun} that is {value}",
            "the {noun} in {value}",
        ),
        ("the {noun} coloured {value}",),
    ),
    ("colour", True): (
        (
            "the {noun} that is not {value}",
            "{a_noun} that is not {value}",
            "the {noun} which isn't {value}",
            "the non-{value} {noun}",
            "{a_noun}, but no {value} one",
        ),
        (
            "the {noun} that is anything but {value}",
            "the {noun} that is never {value}",
        ),
    ),
    ("wearing", False): (
        (
            "the {noun} wearing {a_value}",
            "{a_noun} with {a_value}",
            "the {noun} with {a_value} on",
        ),
        ("the {noun} that wears {a_value}",),
    ),
    ("wearing", True): (
        (
            "{a_noun} without {a_value}",
            "the {noun} without {a_value}",
            "the {noun} with no {value}",
            "the {noun} not wearing {a_value}",
            "{a_noun} that is not wearing {a_value}",
            "the {noun} wearing no {value}",
        ),
        (
            "the {noun} that lacks {a_value}",
            "the {noun} minus {a_value}",
        ),
    ),
    ("holding", False): (
        (
            "the {noun} holding {a_value}",
            "{a_noun} with {a_value}",
            "the {noun} that holds {a_value}",
        ),
        ("the {noun} carrying {a_value}",),
    ),
    ("holding", True): (
        (
            "{a_noun} without {a_value}",
            "the {noun} with no {value}",
            "the {noun} not holding {a_value}",
            "{a_noun} that isn't holding {a_value}",
            "the {noun} holding no {value}",
        ),
        (
            "the {noun} that never holds {a_value}",
            "the {noun} lacking {a_value}",
        ),
    ),
    ("action", False): (
        (
            "the {noun} {value}",
            "the {noun} who is {value}",
            "{a_noun} that is {value}",
        ),
        ("the {noun} seen {value}",),
    ),
    ("action", True): (
        (
            "{a_noun} not {value}",
            "the {noun} not {value}",
            "the {noun} who is not {value}",
            "{a_noun} that isn't {value}",
        ),
        ("the {noun} doing anything but {value}",),
    ),
    ("position", False): (
        (
            "the {noun} {value}",
            "{a_noun} {value}",
            "the {noun} that is {value}",
        ),
        ("the {noun} located {value}",),
    ),
    ("position", True): (
        (
            "the {noun} not {value}",
            "{a_noun} not {value}",
            "the {noun} that is not {value}",
            "the {noun} that isn't {value}",
        ),
        ("the {noun} anywhere but {value}",),
    ),
}
"""Forms by kind and whether they negate: those of training sets, and those that are kept for testing."""

FORMS = tuple(
    Form(text, kind, negated, held_out)
    for (kind, negated), pools in _TEXTS.items()
    for held_out, texts in zip((False, True), pools, strict=True)
    for text in texts
)


@dataclass(frozen=True, slots=True)
class Clue:
    """What singles out one instance: ``value`` fits it alone or, if negated, fits all others of its kind.

    Attributes:
        target: index into ``truth.instances(scene)``.
        noun: what the target is called.
        kind: one of ``KINDS``.
        value: a colour, a noun worn or held, an action, or one of ``WHERE``.
    """

    target: int
    noun: str
    kind: str
    value: str
    negated: bool


def fits(instance: Instance, kind: str, value: str) -> bool | None:
    """Whether ``value`` is true of an instance; None if it is unclear."""
    if kind == "colour":
        return instance.colour == value
    if kind == "action":
        return instance.action == value if instance.action else None
    if kind == "position":
        x, y = instance.centre
        distance = {"on the left": x, "on the right": SIZE - x, "at the top": y, "at the bottom": SIZE - y}[value]
        # The first third is at that side, the far half is not, and what lies between is unclear.
        return True if distance < SIZE / 3 else False if distance > SIZE / 2 else None
    return value in instance.extras


def clues(scene: Scene, kinds: Sequence[str] = KINDS) -> list[Clue]:
    """Every clue of these kinds to a thing that shares its name with others; exactly one instance fits each."""
    instances = truth.instances(scene)
    values = {"colour": COLOURS, "wearing": WEARABLE, "holding": HOLDABLE, "action": ACTIONS, "position": WHERE}
    unique = []
    for target, one in enumerate(instances):
        alike = [other for other in instances if truth.is_a(other.noun, one.noun)]
        if one.relation or len(alike) < 2 or one.noun in PLURAL_ONLY:
            continue
        for kind, value in ((each, value) for each in kinds for value in values[each]):
            fit = fits(one, kind, value)
            others = [fits(other, kind, value) for other in alike if other is not one]
            # It fits this one alone, or all but this one.
            if fit is not None and all(other is (not fit) for other in others):
                unique.append(Clue(target, one.noun, kind, value, not fit))
    return unique


def forms(clue: Clue, held_out: bool) -> list[Form]:
    """The forms that can express a clue and are (or are not) kept for testing."""
    wanted = (clue.kind, clue.negated, held_out)
    return [form for form in FORMS if (form.kind, form.negated, form.held_out) == wanted]


def say(clue: Clue, form: Form) -> str:
    """The phrase, in lower case."""
    a_noun, a_value = english.with_article(clue.noun), english.with_article(clue.value)
    return form.text.format(noun=clue.noun, a_noun=a_noun, value=clue.value, a_value=a_value)


def sample(rng: random.Random) -> Scene:
    """A scene in which at least one thing can be singled out by a clue of a kind drawn at random.

    It has two or three things of one kind, and up to two others, in a place.
    """
    kind, clued = rng.choice(KINDS), False
    while not clued:
        place = rng.choice(PLACE_NAMES)
        if kind == "action":
            noun = "person"
        elif kind in ("wearing", "holding"):
            # People wear and hold things more often than animals and robots do.
            noun = rng.choice(("person", "woman", *(WEARERS if kind == "wearing" else HOLDERS)))
        else:
            noun = rng.choice([name for name in PLACES[place].nouns if name not in PLURAL_ONLY])
        colour, same = rng.choice(COLOURS), rng.random() < SAME_COLOUR
        nouns = [noun] * rng.choice((2, 2, 3))
        nouns += rng.sample([name for name in PLACES[place].nouns if name != noun], rng.randint(0, 2))
        taken: list[Thing] = []
        for name in nouns:
            keep = same and kind != "colour" and name == noun
            thing = scenes.place_thing(rng, name, colour if keep else rng.choice(COLOURS), taken, len(nouns))
            taken += [thing] if thing else []
        scene = Scene(place, rng.randrange(drawing.VARIANTS), tuple(taken))
        clued = any(clue.target == 0 for clue in clues(scene, [kind]))
    return scene
