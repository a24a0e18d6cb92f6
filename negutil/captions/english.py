"""The project's own English: word lists, sentence patterns with and without negation, articles and plurals.

The words are those that the mini world can draw; captions, prompts and questions about published images take theirs
from here too. Of the patterns a quarter is held out (``held_out=True``) for testing only.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

# --------------------------------------------------------------------------------------------------------------------
# Words


@dataclass(frozen=True, slots=True)
class Noun:
    """One kind of thing: its English names, and the group that COCO would call its supercategory."""

    name: str
    plural: str
    group: str
    synonyms: tuple[str, ...] = ()


def _nouns(group: str, *rows: str) -> list[Noun]:
    """Read rows of the form ``name/plural/synonym``; an empty plural is the regular one.

    A slash at the end makes the name a string of its own, which pickled files of the mini world tell apart.
    """
    nouns = []
    for row in rows:
        name, plural, synonym = [*row.split("/"), "", ""][:3]
        nouns.append(Noun(name, plural or f"{name}s", group, (synonym,) if synonym else ()))
    return nouns


NOUN_LIST: tuple[Noun, ...] = tuple(
    _nouns("person", "person/people", "woman/women/lady", "baby/babies")
    + _nouns(
        "animal", "cat//kitty", "dog//puppy", "horse//pony", "fish/fish", "frog", "crow//raven", "hippo",
        "spider", "cow", "otter", "dragon", "shrimp",
    )
    + _nouns(
        "vehicle", "car//automobile", "bus/buses", "truck//lorry", "train", "bicycle//bike",
        "motorcycle//motorbike", "plane//airplane", "helicopter", "rocket", "ship", "sailboat", "tractor",
    )
    + _nouns(
        "food", "apple/", "carrot", "lemon", "pizza/", "hamburger//burger", "cake/", "cheese", "cookie", "egg",
        "ice cream/", "mug//cup", "bottle/",
    )
    + _nouns(
        "household", "chair", "couch/couches/sofa", "bed", "toilet", "lamp//light bulb", "clock", "key",
        "umbrella", "suitcase", "book", "bell", "camera", "phone//telephone", "laptop", "scissors/scissors",
        "hammer",
    )
    + _nouns(
        "play", "guitar", "drum", "basketball", "robot", "snowman/snowmen", "gift", "trophy/trophies", "crown",
        "hat/", "flag", "bag/", "anchor", "ghost",
    )
    + _nouns("nature", "tree", "leaf/leaves", "cloud", "star", "moon", "house", "tent", "church/churches", "fire")
)  # fmt: skip

NOUNS: tuple[str, ...] = tuple(noun.name for noun in NOUN_LIST)
NOUN: dict[str, Noun] = {noun.name: noun for noun in NOUN_LIST}
SUPERCATEGORY: dict[str, str] = {noun.name: noun.group for noun in NOUN_LIST}
PLURAL_ONLY: frozenset[str] = frozenset({"scissors"})

COLOURS: tuple[str, ...] = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
ACTIONS: tuple[str, ...] = ("standing", "walking", "running", "swimming", "skiing", "skating", "kneeling")
"""What a person does."""

WEARABLE: tuple[str, ...] = ("hat", "crown")
HOLDABLE: tuple[str, ...] = ("umbrella", "bag", "flag", "guitar", "book", "camera", "suitcase")
WEARERS: tuple[str, ...] = ("person", "woman", "cat", "dog", "horse", "robot", "snowman")
HOLDERS: tuple[str, ...] = ("person", "woman", "robot")
"""What can be worn and held, and who can wear a hat and hold something."""


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

FACE_PHRASES: dict[str, str] = {
    "5_o_Clock_Shadow": "with stubble",
    "Arched_Eyebrows": "with arched eyebrows",
    "Bags_Under_Eyes": "with bags under the eyes",
    "Bald": "with a bald head",
    "Bangs": "with bangs",
    "Big_Nose": "with a big nose",
    "Black_Hair": "with black hair",
    "Blond_Hair": "with blond hair",
    "Brown_Hair": "with brown hair",
    "Bushy_Eyebrows": "with bushy eyebrows",
    "Eyeglasses": "wearing glasses",
    "Goatee": "with a goatee",
    "Gray_Hair": "with gray hair",
    "Heavy_Makeup": "wearing heavy makeup",
    "Mouth_Slightly_Open": "with an open mouth",
    "Mustache": "with a mustache",
    "Narrow_Eyes": "with narrow eyes",
    "No_Beard": "with a clean-shaven face",
    "Pale_Skin": "with pale skin",
    "Rosy_Cheeks": "with rosy cheeks",
    "Smiling": "with a smile",
    "Straight_Hair": "with straight hair",
    "Wavy_Hair": "with wavy hair",
    "Wearing_Earrings": "wearing earrings",
    "Wearing_Hat": "wearing a hat",
    "Wearing_Lipstick": "wearing lipstick",
    "Wearing_Necklace": "wearing a necklace",
    "Wearing_Necktie": "wearing a tie",
}
"""Affirmative phrase of attributes of CelebA, to follow "a person"."""

FINDING_PHRASES: dict[str, str] = {
    "No Finding": "clear lungs",
    "Cardiomegaly": "cardiomegaly",
    "Lung Opacity": "lung opacity",
    "Lung Lesion": "a lung nodule",
    "Edema": "pulmonary edema",
    "Atelectasis": "atelectasis",
    "Pneumothorax": "pneumothorax",
    "Pleural Effusion": "pleural effusion",
    "Fracture": "a rib fracture",
    "Support Devices": "support devices",
}
"""Affirmative phrase of columns of CheXpert, to follow "a chest x-ray showing"."""

# --------------------------------------------------------------------------------------------------------------------
# Sentences


@dataclass(frozen=True, slots=True)
class Form:
    """A sentence pattern.

    Attributes:
        text: pattern with {things} (what is there), {place} (a phrase such as "on the beach") and, if negated, {absent}
            (with an article), {bare} (without) or {plural}.
        cue: the word that negates, empty for an affirmative form.
        order: where the negation stands: "first", "last", "only" (nothing else is said) or "" for affirmative forms.
        held_out: kept for testing, never in a training set.
    """

    text: str
    cue: str = ""
    order: str = ""
    held_out: bool = False


AFFIRMATIVE: tuple[Form, ...] = (
    Form("{things} {place}"),
    Form("a photo of {things} {place}"),
    Form("a picture of {things} {place}"),
    Form("there is {things} {place}"),
    Form("an image of {things} {place}"),
    Form("{place}, {things}"),
    Form("this picture shows {things} {place}"),
    Form("we see {things} {place}"),
    Form("a scene with {things} {place}"),
    Form("{things} can be seen {place}"),
    Form("the photo features {things} {place}"),
    Form("you can see {things} {place}"),
    Form("a view of {things} {place}"),
    Form("a photograph of {things} {place}"),
    Form("the image includes {things} {place}"),
    Form("{place} there is {things}"),
    Form("a snapshot of {things} {place}"),
    Form("here is {things} {place}"),
    Form("look: {things} {place}"),
    Form("a close look at {things} {place}", held_out=True),
    Form("the lens caught {things} {place}", held_out=True),
    Form("{place} one finds {things}", held_out=True),
    Form("this shot is of {things} {place}", held_out=True),
    Form("what appears in this photo: {things} {place}", held_out=True),
    Form("depicted here: {things} {place}", held_out=True),
)

NEGATED: tuple[Form, ...] = (
    Form("there is no {bare} {place}", "no", "only"),
    Form("no {bare} is present in this image", "no", "only"),
    Form("a photo with no {bare}", "no", "only"),
    Form("this image does not include {absent}", "does not", "only"),
    Form("a picture without {absent}", "without", "only"),
    Form("there are not any {plural} {place}", "not any", "only"),
    Form("{things} {place}, but no {bare}", "no", "last"),
    Form("{things} {place} with no {bare}", "no", "last"),
    Form("{things} {place} without {absent}", "without", "last"),
    Form("{things} {place}, but not {absent}", "not", "last"),
    Form("this image features {things}, but does not feature {absent}", "does not", "last"),
    Form("{things} {place}; there is no {bare} in the picture", "no", "last"),
    Form("{things} can be seen {place} and there isn't {absent}", "n't", "last"),
    Form("{things} {place}, with no {bare} around", "no", "last"),
    Form("there is no {bare}, but {things} {place}", "no", "first"),
    Form("no {bare} here, just {things} {place}", "no", "first"),
    Form("without {absent}, the image shows {things} {place}", "without", "first"),
    Form("not {absent} but {things} {place}", "not", "first"),
    Form("this image does not feature {absent}, but it features {things}", "does not", "first"),
    Form("there aren't any {plural}, only {things} {place}", "n't", "first"),
    Form("{things} {place}, free of {plural}", "free of", "last", held_out=True),
    Form("{things} {place}; {absent} is absent", "absent", "last", held_out=True),
    Form("the picture lacks {absent} but has {things} {place}", "lacks", "first", held_out=True),
    Form("{things} {place}, never {absent}", "never", "last", held_out=True),
    Form("neither {absent} nor another {bare}, only {things} {place}", "neither", "first", held_out=True),
    Form("{absent} is nowhere to be seen", "nowhere", "only", held_out=True),
    Form("a scene devoid of {plural}", "devoid of", "only", held_out=True),
)


def forms(pool: Iterable[Form], held_out: bool) -> tuple[Form, ...]:
    """The forms of ``pool`` that are (or are not) kept for testing."""
    return tuple(form for form in pool if form.held_out == held_out)


def with_article(phrase: str) -> str:
    """``phrase`` with "a" or "an", or "a pair of" before a plural-only noun."""
    if phrase.rsplit(maxsplit=1)[-1] in PLURAL_ONLY:
        return f"a pair of {phrase}"
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def plural(noun: str) -> str:
    """Plural of a noun or of one of its synonyms."""
    if noun in NOUN:
        return NOUN[noun].plural
    stem, last = noun[:-1], noun[-1]
    return f"{stem}ies" if last == "y" and stem[-1] not in "aeiou" else f"{noun}s"


def enumerate_phrases(phrases: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


@cache
def _lexicon() -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern of every way to name a noun (longest first) and what each names."""
    names: dict[str, str] = {}
    for noun in NOUN_LIST:
        for said in (noun.name, *noun.synonyms):
            names[said] = noun.name
            names[plural(said)] = noun.name
    words = sorted(names, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})\b"), names


def mentions(caption: str) -> Counter[str]:
    """How often each noun of the vocabulary is named in a caption, under any of its names."""
    pattern, names = _lexicon()
    return Counter(names[match] for match in pattern.findall(caption.lower()))
