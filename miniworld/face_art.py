"""How a face is drawn: as a stack of layers, each rendered once by resvg and kept in memory.

Head, hair, facial hair, hats, glasses and clothes come from ``python-avatars`` (Avataaars); small parts that must read
clearly at 64 pixels (eyes, eyebrows, lips, jewellery, tie, blush, make-up) are drawn here, in the coordinates of the
avatars' 264 x 280 canvas.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import python_avatars as pa
from python_avatars.svg_parser import SVGParser

from miniworld.face_parts import FABRICS, HAIR_COLOURS, SKIN_COLOURS, Face
from miniworld.layers import SIZE, compose, document, rasterise

_CROP = "36 28 192 192"  # of the avatars' 264 x 280 canvas: the face fills the picture, shoulders are cut
_BRIM = round((70 - 28) / 192 * SIZE)  # first pixel row below a hat's brim, where long hair shows again
_PARTS = Path(pa.__file__).parent
_INK = "#20140e"
_PLACES: dict[type, tuple[str, str]] = {
    pa.HairType: ("translate(0 0)", "Hair-Color"),
    pa.HatType: ("translate(0 0)", "Fabric-Color"),
    pa.FacialHairType: ("translate(49 72)", "Facial-Hair-Color"),
    pa.AccessoryType: ("translate(62 85)", ""),
    pa.ClothingType: ("translate(0 170)", "Fabric-Color"),
}


def _canvas(content: str) -> str:
    """A whole SVG document around ``content``, cropped to the face."""
    return document(content, _CROP)


@cache
def _avatar_part(kind: type, name: str, colour: str = "") -> np.ndarray:
    """Layer of one part of python-avatars, in ``colour`` where the part can be coloured."""
    place, colour_id = _PLACES[kind]
    part = SVGParser(str(_PARTS / kind.__path__ / f"{kind[name].value}.svg"))  # type: ignore[attr-defined,index]
    coloured = part.get_element_by_id(colour_id) if colour_id else None
    if coloured is not None:
        coloured.set_attr("fill", colour)
    inner = "".join(str(child) for child in part.children())
    return rasterise(_canvas(f'<g transform="{place}" fill="none">{inner}</g>'))


@cache
def _drawn(content: str) -> np.ndarray:
    """Layer of our own SVG elements, in the avatars' coordinates."""
    return rasterise(_canvas(content))


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
    inner = bare[bare.index(">") + 1 : bare.rindex("</svg>")]
    return rasterise(_canvas(inner))


def _mirror(left: str) -> str:
    """``left`` and its mirror image about the middle of the face (x = 132)."""
    return f'{left}<g transform="translate(264 0) scale(-1 1)">{left}</g>'


def _brows_svg(kind: str) -> str:
    """Eyebrows of a kind of BROWS."""
    path, width = {
        "plain": ("M90 96 L122 95", 4),
        "arched": ("M85 99 Q100 70 123 94", 5),
        "bushy": ("M87 95 Q104 87 121 93", 14),
    }[kind]
    return _mirror(f'<path d="{path}" stroke="{_INK}" stroke-width="{width}" fill="none" stroke-linecap="round"/>')


def _eyes_svg(narrow: bool, iris: str) -> str:
    """Eyes: a slit where narrow, else round and open."""
    if narrow:
        lids = '<path d="M91 113 Q106 108 121 113" stroke="#20140e" stroke-width="4.5" fill="none"/>'
        return _mirror(f'<ellipse cx="106" cy="114" rx="14" ry="3.5" fill="#fff"/>{lids}')
    white = '<ellipse cx="106" cy="112" rx="13" ry="11" fill="#fff" stroke="#20140e" stroke-width="1.5"/>'
    return _mirror(f'{white}<circle cx="107" cy="112" r="6.5" fill="{iris}"/>')


def _bags_svg() -> str:
    """Bags under the eyes."""
    return _mirror('<path d="M92 124 Q106 129 120 124 Q106 142 92 124 Z" fill="#5c3d78" fill-opacity="0.75"/>')


def _makeup_svg(colour: str) -> str:
    """Eye shadow and lashes."""
    shadow = f'<path d="M84 112 Q88 92 106 92 Q124 94 126 110 Q106 98 84 112 Z" fill="{colour}"/>'
    lashes = f'<path d="M93 105 L82 99 M91 110 L79 107" stroke="{_INK}" stroke-width="3.5"/>'
    return _mirror(shadow + lashes)


def _cheeks_svg() -> str:
    """Rosy cheeks."""
    return _mirror('<ellipse cx="88" cy="143" rx="14" ry="10" fill="#f0304f" fill-opacity="0.62"/>')


def _nose_svg(big: bool) -> str:
    """A small or a big nose."""
    if not big:
        return '<path d="M124 134 Q132 143 140 134" stroke="#000" stroke-opacity="0.4" stroke-width="4" fill="none"/>'
    tip = '<path d="M132 112 Q118 128 110 138 Q110 151 132 151 Q154 151 154 138 Q146 128 132 112 Z" '
    return f'{tip}fill="#000" fill-opacity="0.24"/>' + _mirror('<circle cx="123" cy="144" r="4" fill-opacity="0.6"/>')


def _mouth_svg(mouth: str, lipstick: str | None) -> str:
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


def _stubble_svg() -> str:
    """A five o'clock shadow over jaw, chin and upper lip, which leaves the mouth free."""
    jaw = "M77 128 C77 168 104 184 132 184 C160 184 187 168 187 128 C180 142 160 148 132 148 C104 148 84 142 77 128 Z"
    mouth = "M104 156 Q132 146 160 156 Q154 178 132 178 Q110 178 104 156 Z"
    return f'<path d="{jaw} {mouth}" fill-rule="evenodd" fill="#28323c" fill-opacity="0.5"/>'


def _goatee_svg(colour: str) -> str:
    """A goatee: hair on the chin only."""
    return f'<path d="M114 174 Q132 182 150 174 Q152 196 132 207 Q112 196 114 174 Z" fill="{colour}"/>'


def _bangs_svg(colour: str) -> str:
    """A straight-cut fringe over the forehead."""
    top = "M74 80 Q72 34 132 34 Q192 34 190 80"
    teeth = " ".join(f"L{x} {y}" for x, y in zip(range(184, 73, -6), [82, 74] * 10, strict=False))
    return f'<path d="{top} {teeth} Z" fill="{colour}" stroke="#000" stroke-opacity="0.25" stroke-width="1.5"/>'


def _cap_svg(colour: str) -> str:
    """A peaked cap."""
    crown = f'<path d="M70 82 Q66 24 132 24 Q198 24 194 82 Z" fill="{colour}"/>'
    panel = '<path d="M132 24 V70" stroke="#000" stroke-opacity="0.35" stroke-width="3"/>'
    peak = '<path d="M58 84 Q132 58 206 84 Q132 76 58 84 Z" fill="#000" fill-opacity="0.3"/>'
    return f'{crown}{panel}<path d="M58 86 Q132 54 206 86 Q132 72 58 86 Z" fill="{colour}"/>{peak}'


def _earrings_svg(colour: str) -> str:
    """Large earrings that hang in front of any hair."""
    drop = f'<circle cx="66" cy="149" r="9" fill="{colour}" stroke="#3a2a10" stroke-width="2.5"/>'
    return _mirror(f'<path d="M68 132 V142" stroke="#3a2a10" stroke-width="3"/>{drop}')


def _necklace_svg(colour: str) -> str:
    """A string of large beads."""
    beads = [(92, 192), (101, 201), (112, 207), (125, 210), (139, 210), (152, 207), (163, 201), (172, 192)]
    ring = f'r="6.5" fill="{colour}" stroke="#3a2a10" stroke-width="2"'
    return "".join(f'<circle cx="{x}" cy="{y}" {ring}/>' for x, y in beads)


def _necktie_svg(colour: str) -> str:
    """A white collar with a tie."""
    collar = _mirror('<path d="M132 202 L100 186 L92 200 L112 218 Z" fill="#fff" stroke="#888" stroke-width="1.5"/>')
    edge = f'fill="{colour}" stroke="#111" stroke-width="2"'
    return f'{collar}<path d="M121 194 H143 L139 207 L149 224 H115 L125 207 Z" {edge}/>'


def _hair_layers(face: Face) -> list[np.ndarray]:
    """Hair, fringe and hat."""
    layers: list[np.ndarray] = []
    colour = HAIR_COLOURS[face.hair_colour]
    if face.hair and face.visible_hair:
        layers.append(_hair_under_hat(face.hair, colour) if face.hat else _avatar_part(pa.HairType, face.hair, colour))
    if face.bangs:
        layers.append(_drawn(_bangs_svg(colour)))
    if face.hat:
        fabric = FABRICS[face.hat_colour]
        cap = face.hat == "CAP"
        layers.append(_drawn(_cap_svg(fabric)) if cap else _avatar_part(pa.HatType, face.hat, fabric))
    return layers


@cache
def _hair_under_hat(hair: str, colour: str) -> np.ndarray:
    """Long hair with everything above the hat's brim cut away."""
    layer = _avatar_part(pa.HairType, hair, colour).copy()
    layer[:_BRIM, :, :3], layer[:_BRIM, :, 3] = 0.0, 1.0
    return layer


def _facial_hair_layers(face: Face) -> list[np.ndarray]:
    """Stubble, goatee, or a part of python-avatars."""
    colour = HAIR_COLOURS[face.hair_colour]
    if face.facial_hair == "stubble":
        return [_drawn(_stubble_svg())]
    if face.facial_hair == "goatee":
        return [_drawn(_goatee_svg(colour))]
    return [_avatar_part(pa.FacialHairType, face.facial_hair_style, colour)] if face.facial_hair_style else []


def _optional(parts: list[tuple[Any, Callable[[Any], str]]]) -> list[np.ndarray]:
    """Our own layers whose value is present."""
    return [_drawn(svg(value)) for value, svg in parts if value]


def _layers(face: Face) -> list[np.ndarray]:
    """All layers from back to front."""
    glasses = [_avatar_part(pa.AccessoryType, face.glasses)] if face.glasses else []
    return [
        _body(face.skin),
        _avatar_part(pa.ClothingType, face.clothes, FABRICS[face.clothes_colour]),
        *_optional([(face.rosy, lambda _: _cheeks_svg())]),
        _drawn(_nose_svg(face.big_nose)),
        *_optional([(face.bags, lambda _: _bags_svg()), (face.makeup, _makeup_svg)]),
        _drawn(_eyes_svg(face.narrow_eyes, face.iris)),
        *_hair_layers(face),
        _drawn(_brows_svg(face.brows)),
        *_facial_hair_layers(face),
        _drawn(_mouth_svg(face.mouth, face.lipstick)),
        *glasses,
        *_optional([(face.earrings, _earrings_svg), (face.necklace, _necklace_svg), (face.necktie, _necktie_svg)]),
    ]


def draw(face: Face) -> np.ndarray:
    """The face as uint8 [64, 64, 3]; the same face gives the same bytes."""
    return compose(bytes.fromhex(face.background[1:]), _layers(face))
