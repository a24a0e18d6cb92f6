"""What the mini world is made of: nouns with their icons, colours, places, what goes with what, and what is held out.

The icons are those of Font Awesome Free (solid), which the package ``fontawesomefree`` ships. Design: "The mini world".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Noun:
    """One kind of thing: its English names, its icon and the group that COCO would call its supercategory."""

    name: str
    plural: str
    icon: str
    group: str
    synonyms: tuple[str, ...] = ()


def _nouns(group: str, *rows: str) -> list[Noun]:
    """Read rows of the form ``name/plural/icon/synonym,synonym``; an empty field falls back to the regular one."""
    nouns = []
    for row in rows:
        name, plural, icon, synonyms = [*row.split("/"), "", "", ""][:4]
        names = tuple(part for part in synonyms.split(",") if part)
        nouns.append(Noun(name, plural or f"{name}s", icon or name, group, names))
    return nouns


NOUN_LIST: tuple[Noun, ...] = tuple(
    _nouns("person", "person/people/person", "woman/women/person-dress/lady", "baby/babies")
    + _nouns(
        "animal", "cat///kitty", "dog///puppy", "horse///pony", "fish/fish", "frog", "crow///raven", "hippo",
        "spider", "cow", "otter", "dragon", "shrimp",
    )
    + _nouns(
        "vehicle", "car///automobile", "bus/buses", "truck///lorry", "train", "bicycle///bike",
        "motorcycle///motorbike", "plane///airplane", "helicopter", "rocket", "ship", "sailboat", "tractor",
    )
    + _nouns(
        "food", "apple//apple-whole", "carrot", "lemon", "pizza//pizza-slice", "hamburger//burger/burger",
        "cake//cake-candles", "cheese", "cookie", "egg", "ice cream//ice-cream", "mug//mug-hot/cup",
        "bottle//wine-bottle",
    )
    + _nouns(
        "household", "chair", "couch/couches//sofa", "bed", "toilet", "lamp//lightbulb/light bulb", "clock", "key",
        "umbrella", "suitcase", "book", "bell", "camera", "phone///telephone", "laptop", "scissors/scissors",
        "hammer",
    )
    + _nouns(
        "play", "guitar", "drum", "basketball", "robot", "snowman/snowmen", "gift", "trophy/trophies", "crown",
        "hat//hat-cowboy", "flag", "bag//bag-shopping", "anchor", "ghost",
    )
    + _nouns("nature", "tree", "leaf/leaves", "cloud", "star", "moon", "house", "tent", "church/churches", "fire")
)  # fmt: skip

NOUNS: tuple[str, ...] = tuple(noun.name for noun in NOUN_LIST)
NOUN: dict[str, Noun] = {noun.name: noun for noun in NOUN_LIST}
SUPERCATEGORY: dict[str, str] = {noun.name: noun.group for noun in NOUN_LIST}
PLURAL_ONLY: frozenset[str] = frozenset({"scissors"})

#: Colour names with their RGB values.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "orange": (255, 140, 0),
    "yellow": (250, 225, 40),
    "green": (20, 150, 50),
    "blue": (30, 80, 220),
    "purple": (150, 60, 200),
    "pink": (255, 130, 190),
    "brown": (145, 90, 40),
    "black": (66, 66, 70),
    "white": (250, 250, 250),
}

#: Icons of what a person does; "standing" is the plain figure.
ACTIONS: dict[str, str] = {
    "standing": "person",
    "walking": "person-walking",
    "running": "person-running",
    "swimming": "person-swimming",
    "skiing": "person-skiing",
    "skating": "person-skating",
    "kneeling": "person-praying",
}
#: Where a hat sits (fractions of the box, x then y) and where a hand is, by icon.
HEAD: dict[str, tuple[float, float]] = {
    "person": (0.50, 0.06),
    "person-dress": (0.50, 0.06),
    "person-walking": (0.55, 0.06),
    "person-running": (0.62, 0.06),
    "dog": (0.76, 0.06),
    "cat": (0.74, 0.04),
    "horse": (0.72, 0.06),
    "robot": (0.50, 0.05),
    "snowman": (0.50, 0.04),
}
HAND: dict[str, tuple[float, float]] = {
    "person": (0.98, 0.52),
    "person-dress": (0.98, 0.52),
    "person-walking": (0.98, 0.48),
    "person-running": (1.00, 0.46),
    "robot": (1.00, 0.60),
}
WEARABLE: tuple[str, ...] = ("hat", "crown")
HOLDABLE: tuple[str, ...] = ("umbrella", "bag", "flag", "guitar", "book", "camera", "suitcase")


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of place: how captions speak of it and which nouns are at home there."""

    name: str
    phrase: str
    nouns: tuple[str, ...]


PLACES: dict[str, Place] = {
    place.name: place
    for place in (
        Place("beach", "on the beach", ("person", "dog", "umbrella", "sailboat", "ship", "crow", "ice cream", "hat",
                                         "bag", "shrimp", "anchor", "basketball", "bottle")),
        Place("meadow", "in a meadow", ("cow", "horse", "dog", "tree", "leaf", "tractor", "frog", "tent", "house",
                                         "bicycle", "basketball", "woman")),
        Place("street", "on a street", ("car", "bus", "truck", "bicycle", "motorcycle", "person", "woman", "dog",
                                         "house", "church", "suitcase", "bag", "phone")),
        Place("kitchen", "in a kitchen", ("apple", "carrot", "lemon", "pizza", "hamburger", "cake", "cheese", "cookie",
                                           "egg", "mug", "bottle", "chair", "cat", "clock")),
        Place("desert", "in the desert", ("horse", "hat", "truck", "motorcycle", "tent", "spider", "person", "dragon",
                                           "fire", "hippo", "plane")),
        Place("forest", "in a forest", ("tree", "leaf", "frog", "spider", "tent", "fire", "crow", "otter", "person",
                                         "ghost", "dog", "bicycle")),
        Place("bedroom", "in a bedroom", ("bed", "chair", "couch", "lamp", "clock", "book", "laptop", "phone", "cat",
                                           "baby", "guitar", "scissors", "key", "toilet", "gift")),
        Place("snow", "in the snow", ("snowman", "person", "tree", "hat", "dog", "house", "gift", "star", "train",
                                       "woman", "bell", "church")),
        Place("lake", "on a lake", ("fish", "ship", "sailboat", "otter", "hippo", "frog", "shrimp", "person", "anchor",
                                     "cloud", "flag")),
        Place("space", "in space", ("rocket", "star", "moon", "robot", "plane", "helicopter", "dragon", "ghost",
                                     "flag", "camera", "laptop")),
    )
}  # fmt: skip

#: Things that come together wherever they are: what makes an absent object plausible.
COMPANIONS: tuple[frozenset[str], ...] = tuple(
    frozenset(group)
    for group in (
        ("cat", "dog", "fish"), ("chair", "couch", "bed", "lamp"), ("car", "bus", "truck", "motorcycle"),
        ("apple", "carrot", "lemon"), ("pizza", "hamburger", "bottle"), ("cake", "cookie", "mug", "ice cream"),
        ("laptop", "phone", "camera"), ("guitar", "drum", "bell"), ("star", "moon", "rocket"),
        ("ship", "sailboat", "anchor"), ("trophy", "crown", "flag"), ("book", "clock", "key"),
        ("horse", "cow", "tractor"), ("scissors", "hammer", "key"), ("plane", "helicopter", "cloud"),
        ("cheese", "egg", "bottle"), ("suitcase", "umbrella", "bag", "train"), ("baby", "woman", "gift"),
    )
)  # fmt: skip

#: Held out of every *negation* training set (never negated there), so that generalisation can be measured. MiniCLIP
#: does meet them affirmatively in pretraining: a model cannot exclude what it has never seen.
HELD_OUT_NOUNS: frozenset[str] = frozenset(
    {"otter", "helicopter", "lemon", "umbrella", "robot", "tent", "woman", "bus", "couch", "guitar", "church", "cake"}
)
HELD_OUT_COLOURS: frozenset[str] = frozenset({"purple", "orange"})
