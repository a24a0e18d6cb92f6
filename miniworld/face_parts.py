"""What a face of the mini world is made of, what is true of it under CelebA's names, and how faces are made up.

Labels say what can be seen: a hat hides short hair, a bald head and a fringe, so those labels are False under a hat,
while long hair still shows below it; dark glasses hide eyes, bags and make-up. ``No_Beard`` is True only for a
clean-shaven face (its positive class is itself a negation, docs/protocols.md#binary-probe).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

CELEBA_ATTRIBUTES: tuple[str, ...] = (
    *("5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose"),
    *("Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses"),
    *("Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache"),
    *("Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks"),
    *("Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick"),
    *("Wearing_Necklace", "Wearing_Necktie", "Young"),
)
"""The 40 names of CelebA's ``list_attr_celeba.txt``, in its order."""

NOT_DRAWN: tuple[str, ...] = (
    *("Attractive", "Big_Lips", "Blurry", "Chubby", "Double_Chin", "High_Cheekbones", "Male", "Oval_Face"),
    *("Pointy_Nose", "Receding_Hairline", "Sideburns", "Young"),
)
"""Attributes that the avatars cannot express; their label is always False."""

DRAWN: tuple[str, ...] = tuple(name for name in CELEBA_ATTRIBUTES if name not in NOT_DRAWN)
"""Attributes that vary in the mini world."""


@dataclass(frozen=True, slots=True)
class HairStyle:
    """One hair drawing: its length, its texture (None where neither straight nor wavy) and whether it has a fringe."""

    length: str
    texture: str | None
    fringe: bool = False


HAIR_STYLES: dict[str, HairStyle] = {
    "STRAIGHT_1": HairStyle("long", "straight"),
    "LONG_NOT_TOO_LONG": HairStyle("long", "straight"),
    "BOB": HairStyle("long", "straight"),
    "STRAIGHT_STRAND": HairStyle("long", "straight", fringe=True),
    "MIA_WALLACE": HairStyle("long", "straight", fringe=True),
    "BIG_HAIR": HairStyle("long", "wavy"),
    "CURVY": HairStyle("long", "wavy"),
    "CURLY": HairStyle("long", "wavy"),
    "FRO": HairStyle("long", "wavy"),
    "BUN": HairStyle("short", None),
    "CAESAR": HairStyle("short", None),
    "SHORT_FLAT": HairStyle("short", None),
    "SHORT_ROUND": HairStyle("short", None),
}
HAIR_COLOURS: dict[str, str] = {
    "black": "#17171c",
    "blond": "#ecc94b",
    "brown": "#6b3f22",
    "gray": "#9ea3a8",
    "red": "#c8401a",
    "pink": "#ee7fae",
}
SKIN_COLOURS: dict[str, str] = {
    "pale": "#fdf1e8",
    "light": "#edb98a",
    "tanned": "#e39a5b",
    "brown": "#c07c4c",
    "dark": "#8a5230",
}
FACIAL_HAIR: dict[str, tuple[str, ...]] = {
    "clean-shaven": ("",),
    "stubble": ("",),
    "mustache": ("MOUSTACHE_FANCY", "MOUSTACHE_MAGNUM", "EINSTEIN_MOUSTACHE"),
    "goatee": ("",),
    "beard": ("BEARD_LIGHT", "BEARD_MEDIUM", "BEARD_MAGESTIC"),
}
HATS: dict[str, str] = {
    "HAT": "brimmed hat",
    "WINTER_HAT_1": "winter hat",
    "WINTER_HAT_2": "woolly hat",
    "WINTER_HAT_3": "beanie",
    "WINTER_HAT_4": "beanie",
    "CAP": "cap",
}
GLASSES: dict[str, str] = {
    "PRESCRIPTION_2": "glasses",
    "ROUND": "round glasses",
    "SUNGLASSES": "sunglasses",
    "WAYFARERS": "sunglasses",
}
CLOTHES: tuple[str, ...] = (
    *("SHIRT_CREW_NECK", "SHIRT_V_NECK", "SHIRT_SCOOP_NECK", "HOODIE", "BLAZER_SHIRT", "COLLAR_SWEATER"),
)
FABRICS: dict[str, str] = {
    "blue": "#3b7dd8",
    "red": "#c8322f",
    "green": "#2f8f5b",
    "gray": "#7c848c",
    "white": "#f4f4f4",
    "pink": "#f2a1b8",
    "orange": "#e88a2e",
    "purple": "#7d55b0",
    "black": "#2a2c31",
}
BACKGROUNDS: tuple[str, ...] = (
    *("#cfe3f5", "#f5e1c8", "#d8efd3", "#e6dcf3", "#f6d9de", "#e4e6e8", "#b9d7d9", "#f3efb9", "#9fb8d0", "#c9b8a4"),
)
LIPSTICKS: tuple[str, ...] = ("#d0112b", "#e0218a", "#8c1d5b")
SHADOWS: tuple[str, ...] = ("#7b3fc4", "#2a6fd6", "#d63fa0")
IRISES: tuple[str, ...] = ("#3a2412", "#2c6fb3", "#3f7d3a")
METALS: tuple[str, ...] = ("#f5c211", "#f7f7fb", "#19a9a0")
TIES: tuple[str, ...] = ("#c1121f", "#14418b", "#1f7a3d", "#e0a100")
MOUTHS: tuple[str, ...] = ("serious", "smile", "open", "laugh")
BROWS: tuple[str, ...] = ("plain", "arched", "bushy")


@dataclass(frozen=True, slots=True)
class Face:
    """Everything that is drawn, as names or colours; None means that the part is absent.

    ``mouth`` is one of MOUTHS ("open" and "laugh" are open, "smile" and "laugh" smile), ``facial_hair`` a key of
    FACIAL_HAIR, ``makeup`` the eye shadow's colour. ``hair_colour`` colours facial hair too.
    """

    background: str
    skin: str
    hair: str | None
    hair_colour: str
    bangs: bool
    hat: str | None
    hat_colour: str
    facial_hair: str
    facial_hair_style: str
    brows: str
    narrow_eyes: bool
    iris: str
    bags: bool
    makeup: str | None
    rosy: bool
    big_nose: bool
    mouth: str
    lipstick: str | None
    glasses: str | None
    clothes: str
    clothes_colour: str
    earrings: str | None
    necklace: str | None
    necktie: str | None

    @property
    def dark_glasses(self) -> bool:
        """Whether the eyes are hidden behind sunglasses."""
        return self.glasses is not None and GLASSES[self.glasses] == "sunglasses"

    @property
    def visible_hair(self) -> HairStyle | None:
        """The hair that can be seen: any hair of a bare head, only long hair under a hat."""
        style = HAIR_STYLES[self.hair] if self.hair else None
        return None if style and self.hat and style.length == "short" else style

    @property
    def attributes(self) -> dict[str, bool]:
        """Label of each of the 40 CelebA names, in the official order, from what is visible."""
        hair, drawn = self.visible_hair, dict.fromkeys(CELEBA_ATTRIBUTES, False)
        colour = self.hair_colour if hair else None
        drawn |= {f"{name.title()}_Hair": colour == name for name in ("black", "blond", "brown", "gray")}
        drawn |= {
            "Straight_Hair": hair is not None and hair.texture == "straight",
            "Wavy_Hair": hair is not None and hair.texture == "wavy",
            "Bald": self.hair is None and self.hat is None,
            "Bangs": self.bangs,
            "5_o_Clock_Shadow": self.facial_hair == "stubble",
            "Goatee": self.facial_hair == "goatee",
            "Mustache": self.facial_hair in ("mustache", "beard"),
            "No_Beard": self.facial_hair == "clean-shaven",
            "Arched_Eyebrows": self.brows == "arched",
            "Bushy_Eyebrows": self.brows == "bushy",
            "Narrow_Eyes": self.narrow_eyes,
            "Bags_Under_Eyes": self.bags,
            "Heavy_Makeup": self.makeup is not None,
            "Rosy_Cheeks": self.rosy,
            "Pale_Skin": self.skin == "pale",
            "Big_Nose": self.big_nose,
            "Smiling": self.mouth in ("smile", "laugh"),
            "Mouth_Slightly_Open": self.mouth in ("open", "laugh"),
            "Wearing_Lipstick": self.lipstick is not None,
            "Eyeglasses": self.glasses is not None,
            "Wearing_Hat": self.hat is not None,
            "Wearing_Earrings": self.earrings is not None,
            "Wearing_Necklace": self.necklace is not None,
            "Wearing_Necktie": self.necktie is not None,
        }
        return drawn


def _maybe(rng: random.Random, probability: float, options: tuple[str, ...]) -> str | None:
    """One of ``options`` with ``probability``, else None; always draws twice so that later parts keep their numbers."""
    wanted, choice = rng.random() < probability, rng.choice(options)
    return choice if wanted else None


def _sample_top(rng: random.Random) -> dict[str, Any]:
    """Hair, fringe and hat, consistent with one another."""
    hat = _maybe(rng, 0.17, tuple(HATS))
    hair: str | None = rng.choices(
        tuple(HAIR_STYLES), weights=[3 if style.length == "long" else 2 for style in HAIR_STYLES.values()]
    )[0]
    bald, fringe = rng.random() < 0.15, rng.random() < 0.3
    hair = None if bald else hair
    fringed = hair is not None and (fringe or HAIR_STYLES[hair].fringe)
    if hat and hair and HAIR_STYLES[hair].fringe:
        hair = "STRAIGHT_1"
    return {
        "hat": hat,
        "hat_colour": rng.choice(tuple(FABRICS)),
        "hair": hair,
        "hair_colour": rng.choices(tuple(HAIR_COLOURS), weights=(24, 22, 22, 20, 7, 5))[0],
        "bangs": fringed and hat is None,
    }


def _sample_eyes(rng: random.Random, feminine: bool) -> dict[str, Any]:
    """Glasses and what lies around the eyes; dark glasses leave only the eyebrows to see."""
    glasses = _maybe(rng, 0.3, ("PRESCRIPTION_2", "PRESCRIPTION_2", "ROUND", "ROUND", "SUNGLASSES", "WAYFARERS"))
    hidden = glasses is not None and GLASSES[glasses] == "sunglasses"
    makeup = _maybe(rng, 0.42 if feminine else 0.05, SHADOWS)
    narrow, bags = rng.random() < 0.28, rng.random() < 0.25
    return {
        "glasses": glasses,
        "brows": rng.choices(BROWS, weights=(5, 3, 3))[0],
        "iris": rng.choice(IRISES),
        "makeup": None if hidden else makeup,
        "narrow_eyes": narrow and not hidden,
        "bags": bags and not hidden,
    }


def _sample_lower(rng: random.Random, feminine: bool) -> dict[str, Any]:
    """Facial hair, mouth and what is worn below the chin."""
    weights = (86, 3, 4, 3, 4) if feminine else (16, 20, 20, 22, 22)
    kind = rng.choices(tuple(FACIAL_HAIR), weights=weights)[0]
    necktie = _maybe(rng, 0.06 if feminine else 0.4, TIES)
    necklace = _maybe(rng, 0.46 if feminine else 0.12, METALS)
    clothes = rng.choice(CLOTHES)
    return {
        "facial_hair": kind,
        "facial_hair_style": rng.choice(FACIAL_HAIR[kind]),
        "mouth": rng.choices(MOUTHS, weights=(27, 25, 20, 28))[0],
        "lipstick": _maybe(rng, 0.5 if feminine else 0.06, LIPSTICKS),
        "necktie": necktie,
        "necklace": None if necktie else necklace,
        "clothes": rng.choice(("BLAZER_SHIRT", "COLLAR_SWEATER")) if necktie else clothes,
        "clothes_colour": rng.choice(tuple(FABRICS)),
    }


def sample(rng: random.Random) -> Face:
    """A random face. Correlations are mild and of the everyday kind (beards with ties, make-up with jewellery)."""
    feminine = rng.random() < 0.5
    return Face(
        background=rng.choice(BACKGROUNDS),
        skin=rng.choices(tuple(SKIN_COLOURS), weights=(26, 22, 20, 18, 14))[0],
        rosy=rng.random() < (0.32 if feminine else 0.18),
        big_nose=rng.random() < 0.27,
        earrings=_maybe(rng, 0.5 if feminine else 0.14, METALS),
        **_sample_top(rng),
        **_sample_eyes(rng, feminine),
        **_sample_lower(rng, feminine),
    )
