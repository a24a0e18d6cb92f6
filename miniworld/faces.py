"""Faces of the mini world: 64 x 64 avatars with CelebA's attribute names and exact labels; they replace CelebA.

Labels say what can be seen: a hat hides short hair, a bald head and a fringe, so those labels are False under a hat,
while long hair still shows below it; dark glasses hide eyes, bags and make-up. ``No_Beard`` is True only for a
clean-shaven face (its positive class is itself a negation, docs/protocols.md#binary-probe). Head, hair, hats, glasses
and clothes come from ``python-avatars`` (Avataaars). Every phrase is affirmative: what is absent is named only by what
is there instead ("clean-shaven"), so that nothing here teaches a model a word of negation.
"""

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import python_avatars as pa
from python_avatars.svg_parser import SVGParser

from miniworld.drawing import SIZE, layer, stack
from negutil.captions.english import enumerate_phrases

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


class HairStyle(NamedTuple):
    """One hair drawing: its length, its texture (None if neither straight nor wavy) and whether it has a fringe."""

    length: str
    texture: str | None
    fringe: bool = False


HAIR_STYLES: dict[str, HairStyle] = {
    **dict.fromkeys(("STRAIGHT_1", "LONG_NOT_TOO_LONG", "BOB"), HairStyle("long", "straight")),
    **dict.fromkeys(("STRAIGHT_STRAND", "MIA_WALLACE"), HairStyle("long", "straight", fringe=True)),
    **dict.fromkeys(("BIG_HAIR", "CURVY", "CURLY", "FRO"), HairStyle("long", "wavy")),
    **dict.fromkeys(("BUN", "CAESAR", "SHORT_FLAT", "SHORT_ROUND"), HairStyle("short", None)),
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
METALS = ("#f5c211", "#f7f7fb", "#19a9a0")


@dataclass(frozen=True, slots=True)
class Face:
    """Everything that is drawn, as names or colours; None means that the part is absent.

    ``mouth`` is serious, smile, open or laugh (the last two are open), ``facial_hair`` a key of FACIAL_HAIR, ``brows``
    are plain, arched or bushy, ``makeup`` is the eye shadow's colour. ``hair_colour`` colours facial hair too.
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


def _sample_head(rng: random.Random, feminine: bool) -> dict[str, Any]:
    """Hair, fringe and hat, consistent with one another; glasses, and what dark glasses leave to see of the eyes."""
    hat = _maybe(rng, 0.17, tuple(HATS))
    weights = [3 if style.length == "long" else 2 for style in HAIR_STYLES.values()]
    hair: str | None = rng.choices(tuple(HAIR_STYLES), weights)[0]
    bald, fringe = rng.random() < 0.15, rng.random() < 0.3
    hair = None if bald else hair
    bangs = hair is not None and hat is None and (fringe or HAIR_STYLES[hair].fringe)
    if hat and hair and HAIR_STYLES[hair].fringe:
        hair = "STRAIGHT_1"
    top = {"hat": hat, "hair": hair, "bangs": bangs, "hat_colour": rng.choice(tuple(FABRICS))}
    top["hair_colour"] = rng.choices(tuple(HAIR_COLOURS), weights=(24, 22, 22, 20, 7, 5))[0]
    glasses = _maybe(rng, 0.3, ("PRESCRIPTION_2", "PRESCRIPTION_2", "ROUND", "ROUND", "SUNGLASSES", "WAYFARERS"))
    hidden = glasses is not None and GLASSES[glasses] == "sunglasses"
    makeup = _maybe(rng, 0.42 if feminine else 0.05, ("#7b3fc4", "#2a6fd6", "#d63fa0"))
    narrow, bags = rng.random() < 0.28, rng.random() < 0.25
    return top | {
        "glasses": glasses,
        "brows": rng.choices(("plain", "arched", "bushy"), weights=(5, 3, 3))[0],
        "iris": rng.choice(("#3a2412", "#2c6fb3", "#3f7d3a")),
        "makeup": None if hidden else makeup,
        "narrow_eyes": narrow and not hidden,
        "bags": bags and not hidden,
    }


def sample(rng: random.Random) -> Face:
    """A random face. Correlations are mild and of the everyday kind (beards with ties, make-up with jewellery)."""
    feminine = rng.random() < 0.5
    face = {
        "background": rng.choice(BACKGROUNDS),
        "skin": rng.choices(tuple(SKIN_COLOURS), weights=(26, 22, 20, 18, 14))[0],
        "rosy": rng.random() < (0.32 if feminine else 0.18),
        "big_nose": rng.random() < 0.27,
        "earrings": _maybe(rng, 0.5 if feminine else 0.14, METALS),
        **_sample_head(rng, feminine),
    }
    weights = (86, 3, 4, 3, 4) if feminine else (16, 20, 20, 22, 22)
    facial_hair = rng.choices(tuple(FACIAL_HAIR), weights)[0]
    necktie = _maybe(rng, 0.06 if feminine else 0.4, ("#c1121f", "#14418b", "#1f7a3d", "#e0a100"))
    necklace = _maybe(rng, 0.46 if feminine else 0.12, METALS)
    clothes = rng.choice(CLOTHES)
    return Face(
        **face,
        facial_hair=facial_hair,
        facial_hair_style=rng.choice(FACIAL_HAIR[facial_hair]),
        mouth=rng.choices(("serious", "smile", "open", "laugh"), weights=(27, 25, 20, 28))[0],
        lipstick=_maybe(rng, 0.5 if feminine else 0.06, ("#d0112b", "#e0218a", "#8c1d5b")),
        necktie=necktie,
        necklace=None if necktie else necklace,
        clothes=rng.choice(("BLAZER_SHIRT", "COLLAR_SWEATER")) if necktie else clothes,
        clothes_colour=rng.choice(tuple(FABRICS)),
    )


# --------------------------------------------------------------------------------------------------------------------
# Drawing: a stack of layers, each rendered once by resvg and kept in memory

_CROP = "36 28 192 192"  # of the avatars' 264 x 280 canvas: the face fills the image, shoulders are cut
_BRIM = round((70 - 28) / 192 * SIZE)  # first pixel row below a hat's brim, where long hair shows again
_PARTS = Path(pa.__file__).parent
_PLACES: dict[type, tuple[str, str]] = {
    pa.HairType: ("translate(0 0)", "Hair-Color"),
    pa.HatType: ("translate(0 0)", "Fabric-Color"),
    pa.FacialHairType: ("translate(49 72)", "Facial-Hair-Color"),
    pa.AccessoryType: ("translate(62 85)", ""),
    pa.ClothingType: ("translate(0 170)", "Fabric-Color"),
}


def _mirror(left: str) -> str:
    """``left`` and its mirror image about the middle of the face (x = 132)."""
    return f'{left}<g transform="translate(264 0) scale(-1 1)">{left}</g>'


# Small parts that must read clearly at 64 pixels are ours, in the coordinates of the avatars' canvas; {0} is a colour.
_BROWS = {
    kind: _mirror(f'<path d="{path}" stroke="#20140e" stroke-width="{width}" fill="none" stroke-linecap="round"/>')
    for kind, path, width in (
        ("plain", "M90 96 L122 95", 4),
        ("arched", "M85 99 Q100 70 123 94", 5),
        ("bushy", "M87 95 Q104 87 121 93", 14),
    )
}
_NARROW_EYES = _mirror(
    '<ellipse cx="106" cy="114" rx="14" ry="3.5" fill="#fff"/>'
    '<path d="M91 113 Q106 108 121 113" stroke="#20140e" stroke-width="4.5" fill="none"/>'
)
_EYES = _mirror(
    '<ellipse cx="106" cy="112" rx="13" ry="11" fill="#fff" stroke="#20140e" stroke-width="1.5"/>'
    '<circle cx="107" cy="112" r="6.5" fill="{0}"/>'
)
_BAGS = _mirror('<path d="M92 124 Q106 129 120 124 Q106 142 92 124 Z" fill="#5c3d78" fill-opacity="0.75"/>')
_MAKEUP = _mirror(
    '<path d="M84 112 Q88 92 106 92 Q124 94 126 110 Q106 98 84 112 Z" fill="{0}"/>'
    '<path d="M93 105 L82 99 M91 110 L79 107" stroke="#20140e" stroke-width="3.5"/>'
)
_CHEEKS = _mirror('<ellipse cx="88" cy="143" rx="14" ry="10" fill="#f0304f" fill-opacity="0.62"/>')
_NOSE = '<path d="M124 134 Q132 143 140 134" stroke="#000" stroke-opacity="0.4" stroke-width="4" fill="none"/>'
_BIG_NOSE = (
    '<path d="M132 112 Q118 128 110 138 Q110 151 132 151 Q154 151 154 138 Q146 128 132 112 Z" '
    'fill="#000" fill-opacity="0.24"/>'
) + _mirror('<circle cx="123" cy="144" r="4" fill-opacity="0.6"/>')
# Jaw, chin and upper lip; the mouth is left free.
_STUBBLE = (
    '<path d="M77 128 C77 168 104 184 132 184 C160 184 187 168 187 128 C180 142 160 148 132 148 C104 148 84 142 77 '
    '128 Z M104 156 Q132 146 160 156 Q154 178 132 178 Q110 178 104 156 Z" fill-rule="evenodd" fill="#28323c" '
    'fill-opacity="0.5"/>'
)
_GOATEE = '<path d="M114 174 Q132 182 150 174 Q152 196 132 207 Q112 196 114 174 Z" fill="{0}"/>'
_BANGS = (
    '<path d="M74 80 Q72 34 132 34 Q192 34 190 80 '
    + " ".join(f"L{x} {y}" for x, y in zip(range(184, 73, -6), [82, 74] * 10, strict=False))
    + ' Z" fill="{0}" stroke="#000" stroke-opacity="0.25" stroke-width="1.5"/>'
)
_CAP = (
    '<path d="M70 82 Q66 24 132 24 Q198 24 194 82 Z" fill="{0}"/>'
    '<path d="M132 24 V70" stroke="#000" stroke-opacity="0.35" stroke-width="3"/>'
    '<path d="M58 86 Q132 54 206 86 Q132 72 58 86 Z" fill="{0}"/>'
    '<path d="M58 84 Q132 58 206 84 Q132 76 58 84 Z" fill="#000" fill-opacity="0.3"/>'
)
_EARRINGS = _mirror(
    '<path d="M68 132 V142" stroke="#3a2a10" stroke-width="3"/>'
    '<circle cx="66" cy="149" r="9" fill="{0}" stroke="#3a2a10" stroke-width="2.5"/>'
)
_BEADS = ((92, 192), (101, 201), (112, 207), (125, 210), (139, 210), (152, 207), (163, 201), (172, 192))
_NECKLACE = "".join(
    f'<circle cx="{x}" cy="{y}" r="6.5" fill="{{0}}" stroke="#3a2a10" stroke-width="2"/>' for x, y in _BEADS
)
_NECKTIE = (
    _mirror('<path d="M132 202 L100 186 L92 200 L112 218 Z" fill="#fff" stroke="#888" stroke-width="1.5"/>')
    + '<path d="M121 194 H143 L139 207 L149 224 H115 L125 207 Z" fill="{0}" stroke="#111" stroke-width="2"/>'
)


def _mouth(mouth: str, lipstick: str | None) -> str:
    """A mouth; lipstick gives it full, coloured lips."""
    line, width = lipstick or "#4a1f16", 8 if lipstick else 4.5
    lips = f'stroke="{line}" stroke-width="{width}" stroke-linecap="round" stroke-linejoin="round"'
    if mouth == "serious":
        full = f'<path d="M112 160 Q124 150 132 155 Q140 150 152 160 Q132 172 112 160 Z" fill="{line}"/>'
        return full if lipstick else f'<path d="M115 161 H149" fill="none" {lips}/>'
    if mouth == "smile":
        return f'<path d="M106 152 Q132 180 158 152" fill="none" {lips}/>'
    if mouth == "open":
        return f'<ellipse cx="132" cy="163" rx="12" ry="11" fill="#30070b" {lips}/>'
    teeth = '<path d="M110 153 H154 L151 160 H113 Z" fill="#fff"/>'
    return f'<path d="M106 151 H158 Q154 177 132 177 Q110 177 106 151 Z" fill="#5a0f16" {lips}/>{teeth}'


@cache
def _drawn(content: str, colour: str = "") -> np.ndarray:
    """Layer of SVG elements in the avatars' coordinates, cropped to the face; {0} in them becomes ``colour``."""
    return layer(content.replace("{0}", colour), _CROP)


@cache
def _avatar_part(kind: type, name: str, colour: str = "") -> np.ndarray:
    """Layer of one part of python-avatars, in ``colour`` where the part can be coloured."""
    place, colour_id = _PLACES[kind]
    part = SVGParser(str(_PARTS / kind.__path__ / f"{kind[name].value}.svg"))  # type: ignore[attr-defined,index]
    coloured = part.get_element_by_id(colour_id) if colour_id else None
    if coloured is not None:
        coloured.set_attr("fill", colour)
    inner = "".join(str(child) for child in part.children())
    return _drawn(f'<g transform="{place}" fill="none">{inner}</g>')


@cache
def _body(skin: str) -> np.ndarray:
    """Head, neck and shoulders."""
    bare = pa.Avatar(
        style=pa.AvatarStyle.TRANSPARENT,
        top=pa.HairType.NONE,
        clothing=pa.ClothingType.NONE,
        skin_color=SKIN_COLOURS[skin],
        **dict.fromkeys(("eyes", "eyebrows", "nose", "mouth")),
    ).render()
    return _drawn(bare[bare.index(">") + 1 : bare.rindex("</svg>")])


def draw(face: Face) -> np.ndarray:
    """The face as uint8 [64, 64, 3]; the same face gives the same bytes."""
    hair, fabric = HAIR_COLOURS[face.hair_colour], FABRICS[face.hat_colour]
    layers = [_body(face.skin), _avatar_part(pa.ClothingType, face.clothes, FABRICS[face.clothes_colour])]
    layers += [_drawn(_CHEEKS)] if face.rosy else []
    layers += [_drawn(_BIG_NOSE if face.big_nose else _NOSE)]
    layers += [_drawn(_BAGS)] if face.bags else []
    layers += [_drawn(_MAKEUP, face.makeup)] if face.makeup else []
    layers += [_drawn(_NARROW_EYES if face.narrow_eyes else _EYES, face.iris)]
    if face.hair and face.visible_hair:
        layers.append(_avatar_part(pa.HairType, face.hair, hair))
        if face.hat:  # everything above its brim is cut away
            layers[-1] = layers[-1].copy()
            layers[-1][:_BRIM, :, :3], layers[-1][:_BRIM, :, 3] = 0.0, 1.0
    layers += [_drawn(_BANGS, hair)] if face.bangs else []
    if face.hat:
        layers.append(_drawn(_CAP, fabric) if face.hat == "CAP" else _avatar_part(pa.HatType, face.hat, fabric))
    layers.append(_drawn(_BROWS[face.brows]))
    if face.facial_hair in ("stubble", "goatee"):
        layers.append(_drawn(_STUBBLE) if face.facial_hair == "stubble" else _drawn(_GOATEE, hair))
    elif face.facial_hair_style:
        layers.append(_avatar_part(pa.FacialHairType, face.facial_hair_style, hair))
    layers.append(_drawn(_mouth(face.mouth, face.lipstick)))
    layers += [_avatar_part(pa.AccessoryType, face.glasses)] if face.glasses else []
    worn = ((face.earrings, _EARRINGS), (face.necklace, _NECKLACE), (face.necktie, _NECKTIE))
    layers += [_drawn(svg, colour) for colour, svg in worn if colour]
    return np.rint(stack(bytes.fromhex(face.background[1:]), layers)).clip(0, 255).astype(np.uint8)


# --------------------------------------------------------------------------------------------------------------------
# Language

ANTONYM_PHRASES: dict[str, str] = {
    "Arched_Eyebrows": "with flat eyebrows",
    "Bald": "with a full head of hair",
    "Big_Nose": "with a small nose",
    "Bushy_Eyebrows": "with thin eyebrows",
    "Mouth_Slightly_Open": "with a closed mouth",
    "Narrow_Eyes": "with round eyes",
    "No_Beard": "with facial hair",
    "Pale_Skin": "with dark skin",
    "Smiling": "with a serious face",
    "Straight_Hair": "with wavy hair",
    "Wavy_Hair": "with straight hair",
    "Wearing_Hat": "with a bare head",
}
"""Affirmative phrase for the lack of an attribute, where ordinary language has one."""

_PHRASES: dict[str, tuple[str, ...]] = {
    "5_o_Clock_Shadow": ("with stubble", "with a five o'clock shadow", "with a stubbly chin", "adj:stubbly"),
    "Arched_Eyebrows": ("with arched eyebrows", "with arched brows", "with high arched eyebrows"),
    "Bags_Under_Eyes": ("with bags under the eyes", "with dark circles under the eyes", "with tired eye bags"),
    "Bald": ("adj:bald", "with a bald head", "with a shaved head", "adj:bald-headed"),
    "Bangs": ("with bangs", "with a fringe", "with blunt bangs", "with bangs over the forehead"),
    "Big_Nose": ("with a big nose", "with a large nose", "adj:big-nosed", "with a broad nose"),
    "Bushy_Eyebrows": ("with bushy eyebrows", "with thick eyebrows", "with bushy brows", "with heavy eyebrows"),
    "Eyeglasses": ("wearing glasses", "wearing eyeglasses", "wearing spectacles", "with glasses on"),
    "Goatee": ("with a goatee", "with a chin beard", "sporting a goatee"),
    "Heavy_Makeup": ("wearing heavy makeup", "wearing eye shadow", "with heavy eye makeup", "wearing makeup"),
    "Mouth_Slightly_Open": ("with an open mouth", "adj:open-mouthed", "with lips parted", "with the mouth open"),
    "Mustache": ("with a mustache", "with a moustache", "sporting a mustache", "adj:mustachioed"),
    "Narrow_Eyes": ("with narrow eyes", "with narrowed eyes", "squinting", "adj:narrow-eyed"),
    "No_Beard": ("adj:clean-shaven", "with a clean-shaven face", "with a smooth chin", "with a clean-shaven chin"),
    "Pale_Skin": ("with pale skin", "adj:pale", "with very fair skin", "with a pale face"),
    "Rosy_Cheeks": ("with rosy cheeks", "with red cheeks", "adj:rosy-cheeked", "with blushing cheeks"),
    "Smiling": ("adj:smiling", "with a smile", "smiling", "adj:happy", "with a big smile"),
    "Wearing_Earrings": ("wearing earrings", "with earrings", "with round earrings", "wearing a pair of earrings"),
    "Wearing_Hat": ("wearing a hat", "with a hat on", "in a hat"),
    "Wearing_Lipstick": ("wearing lipstick", "with painted lips", "with bright lipstick", "with lipstick on"),
    "Wearing_Necklace": ("wearing a necklace", "with a necklace", "wearing a bead necklace", "with a string of beads"),
    "Wearing_Necktie": ("wearing a tie", "wearing a necktie", "in a shirt and tie", "with a tie"),
    "arch:plain": ("with flat eyebrows", "with thin eyebrows", "with thin flat brows"),
    "arch:bushy": ("with flat eyebrows", "with flat thick eyebrows"),
    "arch:arched": ("with thin eyebrows",),
    "hairy": ("with a full head of hair", "with a good head of hair"),
    "small nose": ("with a small nose", "with a button nose", "adj:small-nosed"),
    "closed": ("with a closed mouth", "with lips together", "with the mouth closed"),
    "round eyes": ("with round eyes", "with wide open eyes", "adj:wide-eyed"),
    "facial hair": ("with facial hair", "with hair on the face"),
    "beard": ("with a beard", "with a full beard", "adj:bearded"),
    "dark skin": ("with dark skin", "adj:dark-skinned"),
    "serious": ("with a serious face", "adj:serious", "with a serious expression", "looking serious"),
    "surprised": ("with a serious face", "adj:surprised", "looking surprised", "with a startled look"),
    "bare head": ("with a bare head", "adj:bareheaded"),
    "sunglasses": ("wearing sunglasses", "in dark sunglasses", "wearing dark glasses"),
}

_FORMS: tuple[str, ...] = (
    "a {adj} person {rest}",
    "a photo of a {adj} person {rest}",
    "portrait of a {adj} person {rest}",
    "a {adj} face {rest}",
    "{adj} person {rest}, stock photo",
    "close-up of a {adj} person {rest}",
    "headshot of a {adj} person {rest}",
    "this is a {adj} person {rest}",
    "a picture of a {adj} person {rest}",
    "the {adj} person in this photo, {rest}",
    "profile picture: {adj} person {rest}",
    "cartoon avatar of a {adj} person {rest}",
    "vector illustration of a {adj} person {rest} | stock vector",
    "meet a {adj} neighbour {rest}",
    "someone {adj}, {rest}, looks at the camera",
    "a {adj} character {rest}",
    "my {adj} friend {rest}",
    "flat icon of a {adj} person {rest} - {background} background",
    "a studio shot of a {adj} person {rest}",
    "user avatar {number}: {adj} person {rest}",
    "here we see a {adj} person {rest}",
    "team member {rest}, {adj} portrait",
    "{list}",
    "portrait, {list}",
    "avatar: {list}",
    "face | {list} | licensed image {number}",
    "#portrait #avatar {list}",
    "the face has these features: {list}",
)

_BACKGROUND_WORDS: tuple[str, ...] = ("plain", "pastel", "simple", "solid")


def _hair_phrases(face: Face, chosen: list[str], rng: random.Random) -> list[str]:
    """Phrases for the chosen facts about hair, at times joined ("with long wavy blond hair")."""
    if not chosen:
        return []
    texture = [word for word in ("straight", "wavy") if f"{word.title()}_Hair" in chosen]
    if texture == ["wavy"]:
        texture = [rng.choice(("wavy", "wavy", "curly"))]
    length = ["length"] if "length" in chosen else []
    style = face.visible_hair
    colour = [face.hair_colour] if "colour" in chosen else []
    words = [*([style.length] if length and style else []), *texture, *colour]
    if rng.random() < 0.7:
        return [f"with {' '.join(words)} hair"]
    return [f"with {word} hair" for word in words]


def _facts(face: Face) -> tuple[list[str], list[str]]:
    """Keys of what can be said affirmatively of ``face``: attributes present, and the markers of absent ones."""
    labels = face.attributes
    hair_names = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
    present = [name for name in DRAWN if labels[name] and name not in hair_names]
    present += ["colour"] if face.visible_hair else []
    present += [
        key for key, there in (("beard", face.facial_hair == "beard"), ("sunglasses", face.dark_glasses)) if there
    ]
    instead = {
        f"arch:{face.brows}": True,
        "length": face.visible_hair is not None,
        "hairy": face.visible_hair is not None and face.hat is None,
        "small nose": not face.big_nose,
        "closed": not labels["Mouth_Slightly_Open"],
        "round eyes": not face.narrow_eyes and not face.dark_glasses,
        "facial hair": not labels["No_Beard"],
        "dark skin": face.skin in ("dark", "brown"),
        "serious": face.mouth == "serious",
        "surprised": face.mouth == "open",
        "bare head": face.hat is None,
    }
    return present, [key for key, there in instead.items() if there]


def _phrases(face: Face, rng: random.Random) -> list[str]:
    """Phrases for a random choice of facts: usually 1 to 6, at times all attributes that are present."""
    present, instead = _facts(face)
    if rng.random() < 0.1:
        chosen = present
    else:
        count = rng.randint(1, 6)
        pool = [key for key in instead if rng.random() < 0.35]
        keys = present + pool
        chosen = rng.sample(keys, min(count, len(keys)))
    hair = [key for key in chosen if key in ("Straight_Hair", "Wavy_Hair", "colour", "length")]
    phrases = _hair_phrases(face, hair, rng)
    for key in chosen:
        if key not in hair:
            options = _PHRASES[key]
            named = key == "Wearing_Hat" and face.hat and rng.random() < 0.4
            phrases.append(f"wearing a {HATS[face.hat]}" if named and face.hat else rng.choice(options))
    rng.shuffle(phrases)
    return phrases


def describe(face: Face, rng: random.Random) -> str:
    """A web-like or plain caption that names a random subset of what is there; it holds no negation cue."""
    phrases = _phrases(face, rng)
    adjectives = [phrase[4:] for phrase in phrases if phrase.startswith("adj:")]
    others = [phrase for phrase in phrases if not phrase.startswith("adj:")]
    # A run of the same first word is said once: "wearing a hat and earrings".
    groups: dict[str, list[str]] = {}
    for phrase in others:
        first, _, tail = phrase.partition(" ")
        groups.setdefault(first if tail else phrase, []).append(tail)
    tags = ", ".join([*adjectives, *(phrase.removeprefix("with ").removeprefix("wearing ") for phrase in others)])
    caption = rng.choice(_FORMS).format(
        adj=", ".join(adjectives),
        rest=", ".join(f"{first} {enumerate_phrases(tails)}".strip() for first, tails in groups.items()),
        list=tags,
        background=rng.choice(_BACKGROUND_WORDS),
        number=rng.randint(100, 99999),
    )
    # Empty slots leave gaps, and "a" or "an" is as the next word wants it.
    for wrong, right in ((" ,", ","), ("is,", ","), (",,", ","), (", ,", ",")):
        caption = " ".join(caption.split()).replace(wrong, right)
    words = caption.strip(" ,").split(" ")
    for position, word in enumerate(words[:-1]):
        if word in ("a", "an"):
            words[position] = "an" if words[position + 1][0] in "aeio" else "a"
    return " ".join(words)
