"""Radiograph-like chest images with findings under CheXpert's column names, drawn and labelled exactly.

They replace CheXpert in NegBench's medical task (docs/protocols.md#medical) and are not medical images: nine findings
are drawn as plain signs that can be distinguished at 64 x 64 pixels. As in CheXpert, "No Finding" may go with "Support
Devices". Left and right are the patient's, so the right lung is on the left of the image.
"""

import random
from dataclasses import dataclass
from functools import cache

import numpy as np

from miniworld.drawing import SIZE, layer, stack
from negutil.captions.english import enumerate_phrases

CHEXPERT_FINDINGS: tuple[str, ...] = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
    *("Fracture", "Support Devices"),
)
"""The 14 label columns of CheXpert's CSV files, in their order."""

NOT_DRAWN: tuple[str, ...] = ("Enlarged Cardiomediastinum", "Consolidation", "Pneumonia", "Pleural Other")
"""Columns that are never positive here."""

DRAWN: tuple[str, ...] = tuple(name for name in CHEXPERT_FINDINGS if name not in NOT_DRAWN)
"""Columns that vary in the mini world."""

SIDES: tuple[str, ...] = ("right", "left")
DEVICES: tuple[str, ...] = ("pacemaker", "tube", "line")
_SIDED: tuple[str, ...] = ("Lung Opacity", "Lung Lesion", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Fracture")


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign: its CheXpert name, its side ("both" where it has none), and which of a few drawings it is."""

    name: str
    side: str
    variant: int


@dataclass(frozen=True, slots=True)
class Radiograph:
    """One image: its findings, the view, and what varies between patients and exposures.

    ``build`` is 0 (narrow), 1 or 2 (broad); ``shift`` is in pixels (right, down); ``gain`` multiplies the exposure;
    ``noise_seed`` seeds the film grain.
    """

    findings: tuple[Finding, ...]
    view: str
    build: int
    shift: tuple[int, int]
    gain: float
    noise_seed: int

    @property
    def labels(self) -> dict[str, bool]:
        """Label of each of the 14 CheXpert columns, in their order."""
        names = {finding.name for finding in self.findings}
        labels = {name: name in names for name in CHEXPERT_FINDINGS}
        labels["No Finding"] = names <= {"Support Devices"}
        return labels


def sample(rng: random.Random) -> Radiograph:
    """A random radiograph: a normal chest or an independent choice of signs; devices come with both."""
    normal = rng.random() < 0.15
    chance = {"Lung Opacity": 0.36, "Atelectasis": 0.36}
    findings = []
    for name in DRAWN[1:]:
        there = rng.random() < (0.25 if name == "Support Devices" else 0.0 if normal else chance.get(name, 0.24))
        side, variant = rng.choice(SIDES), rng.randrange(3)
        if there:
            findings.append(Finding(name, side if name in _SIDED else "both", variant))
    return Radiograph(
        findings=tuple(findings),
        view=rng.choice(("frontal PA", "frontal AP")),
        build=rng.randrange(3),
        shift=(rng.randint(-2, 2), rng.randint(-2, 2)),
        gain=round(rng.uniform(0.88, 1.12), 3),
        noise_seed=rng.randrange(2**32),
    )


# --------------------------------------------------------------------------------------------------------------------
# Drawing, in a frame of 128 x 128 units whose left half is the patient's right side

_BUILDS: tuple[str, ...] = ("-8 0 144 128", "0 0 128 128", "5 0 118 128")
_LUNG = "M56 20 C42 16 27 38 22 74 C19 94 21 104 25 108 C36 99 50 99 57 106 C60 80 61 40 56 20 Z"


def _mirror(right: str) -> str:
    """``right`` as it looks on the patient's left side."""
    return f'<g transform="translate(128 0) scale(-1 1)">{right}</g>'


def _both(right: str) -> str:
    """``right`` on both sides."""
    return right + _mirror(right)


def _haze(x: float, y: float, rx: float, ry: float, strength: float) -> str:
    """A soft white cloud."""
    name = f"h{x:.0f}{y:.0f}"
    stops = f'<stop offset="0.35" stop-color="#fff" stop-opacity="{strength}"/><stop offset="1" stop-color="#fff" '
    gradient = f'<defs><radialGradient id="{name}">{stops}stop-opacity="0"/></radialGradient></defs>'
    return f'{gradient}<ellipse cx="{x}" cy="{y}" rx="{rx}" ry="{ry}" fill="url(#{name})"/>'


_WIRE = 'fill="none" stroke="#fff" stroke-width="2.6"'
_DEVICES_DRAWN = {
    "pacemaker": '<rect x="90" y="22" width="24" height="17" rx="6" fill="#fff" stroke="#222" stroke-width="2"/>'
    f'<path d="M92 38 Q70 44 72 90" {_WIRE}/>',
    "tube": f'<path d="M62 0 V56 M67 0 V56" {_WIRE}/><path d="M62 56 H67" {_WIRE}/>',
    "line": '<circle cx="20" cy="36" r="4.5" fill="#fff"/><circle cx="108" cy="92" r="4.5" fill="#fff"/>'
    f'<path d="M20 36 Q64 10 60 72 M108 92 Q122 110 118 128" {_WIRE}/>',
}


def _signs(variant: int) -> dict[str, str]:
    """Every sign in one of its three drawings, in the order of drawing; what has a side is on the right."""
    low = (70, 84, 98)[variant]
    edge = f"M50 24 Q36 40 34 {low}"
    # Black air between the chest wall and a lung that has shrunk to a white edge.
    air = f'<path d="{edge} L23 {low} C24 60 32 20 50 17 Z" fill="#000"/>'
    shrunk = f'<path d="{edge}" fill="none" stroke="#f4f4f4" stroke-width="2.6"/>'
    # Haze that spreads from both hila like wings, with streaks.
    streaks = "".join(f'<path d="M54 {62 + k} L{24 + abs(k)} {56 + 2.2 * k}"/>' for k in range(-12, 13, 6))
    wings = _haze(50, 62, 16 + variant, 24, 0.55)
    # White plates across the lung.
    plate = (62, 70, 78)[variant]
    plates = "".join(f'<path d="M{26 + k} {plate + 9 * k} L56 {plate + 9 * k - 5}"/>' for k in range(2))
    # A small, dense, sharply edged nodule.
    x, y = ((34, 58), (44, 40), (46, 70))[variant]
    # White fluid at the base with a curved upper edge.
    top = (74, 82, 88)[variant]
    # A rib whose two ends have slipped past each other.
    rib = (44, 57, 70)[variant]
    ends = f'<path d="M52 {rib - 1} L33 {rib + 1}"/><path d="M31 {rib + 9} L16 {rib + 15}"/>'
    gap = f'<path d="M36 {rib - 5} L26 {rib + 16}" stroke="#000" stroke-width="3.5"/>'
    return {
        "Pneumothorax": air + shrunk,
        "Lung Opacity": _haze(40, (42, 50, 58)[variant], 19, 17, 0.9),
        "Edema": _both(f'{wings}<g stroke="#fff" stroke-opacity="0.75" stroke-width="1.8">{streaks}</g>'),
        "Atelectasis": f'<g stroke="#fff" stroke-width="4" stroke-linecap="round">{plates}</g>',
        "Lung Lesion": f'<circle cx="{x}" cy="{y}" r="5.5" fill="#fff" stroke="#111" stroke-width="2"/>',
        "Pleural Effusion": f'<path d="M18 {top - 12} Q30 {top + 6} 60 {top + 6} V112 H18 Z" fill="#f2f2f2"/>',
        "Fracture": f'<g stroke="#fff" stroke-width="4.5" fill="none">{ends}</g>{gap}',
        "Support Devices": _DEVICES_DRAWN[DEVICES[variant]],
    }


@cache
def _base(build: int, large_heart: bool) -> tuple[np.ndarray, np.ndarray]:
    """What lies under the signs (chest), and what lies over the lungs (ribs and heart)."""
    torso = '<path d="M0 30 Q30 12 50 10 L52 0 H76 L78 10 Q98 12 128 30 V128 H0 Z" fill="#6e6e6e"/>'
    lungs = _both(f'<path d="{_LUNG}" fill="#333"/>')
    spine = '<rect x="59" y="0" width="10" height="128" fill="#a0a0a0"/>'
    arcs = "".join(
        f'<path d="M58 {y} Q34 {y - 10} {20 - 0.2 * (60 - abs(60 - y)) + 6:.1f} {y + 14}"/>' for y in range(28, 100, 13)
    )
    style = 'fill="none" stroke="#fff" stroke-opacity="0.22" stroke-width="4"'
    bone = '<path d="M60 24 Q40 14 16 22" fill="none" stroke="#fff" stroke-opacity="0.45" stroke-width="5"/>'
    ribs = _both(f"<g {style}>{arcs}</g>{bone}")
    # The heart's shadow: about a third of the chest's width, or well over half of it.
    shape = 'cx="67" cy="86" rx="38" ry="25"' if large_heart else 'cx="71" cy="86" rx="17" ry="21"'
    heart = f'<path d="M56 60 Q64 28 74 60 Z" fill="#c4c4c4"/><ellipse {shape} fill="#c4c4c4"/>'
    return layer(torso + lungs + spine, _BUILDS[build]), layer(ribs + heart, _BUILDS[build])


@cache
def _sign(finding: Finding, build: int) -> np.ndarray:
    """The layer of one sign."""
    svg = _signs(finding.variant)[finding.name]
    return layer(_mirror(svg) if finding.side == "left" else svg, _BUILDS[build])


def draw(item: Radiograph) -> np.ndarray:
    """The radiograph as uint8 [64, 64, 3] with three equal channels; the same item gives the same bytes."""
    findings = {finding.name: finding for finding in item.findings}
    chest, bones = _base(item.build, "Cardiomegaly" in findings)
    signs = [_sign(findings[name], item.build) for name in _signs(0) if name in findings]
    first = 1 if "Pneumothorax" in findings else 0
    grey = stack((4, 4, 4), [chest, *signs[:first], bones, *signs[first:]])[..., 0]
    right, down = item.shift
    grey = np.pad(grey, 2, mode="edge")[2 - down : 2 - down + SIZE, 2 - right : 2 - right + SIZE]
    grey = grey * np.float32(item.gain)
    grain = np.random.default_rng(item.noise_seed).standard_normal((SIZE, SIZE), dtype=np.float32)
    return np.repeat(np.rint(grey + 6.0 * grain).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


# --------------------------------------------------------------------------------------------------------------------
# Language: affirmative, in the manner of reports and of teaching files

_PHRASES: dict[str, tuple[str, ...]] = {
    "Cardiomegaly": ("cardiomegaly", "an enlarged heart", "an enlarged cardiac silhouette", "a big heart shadow"),
    "Lung Opacity": (
        "{side} lung opacity",
        "lung opacity",
        "a hazy opacity in the {side} lung",
        "opacity on the {side}",
    ),
    "Lung Lesion": ("a {side} lung nodule", "a lung nodule", "a round lesion in the {side} lung", "a lung lesion"),
    "Edema": ("pulmonary edema", "edema of both lungs", "bilateral perihilar edema", "lung edema"),
    "Atelectasis": ("atelectasis", "{side} atelectasis", "plate-like atelectasis", "atelectasis in the {side} lung"),
    "Pneumothorax": ("pneumothorax", "a {side} pneumothorax", "a collapsed {side} lung with pneumothorax"),
    "Pleural Effusion": ("pleural effusion", "a {side} pleural effusion", "fluid at the {side} lung base"),
    "Fracture": ("a rib fracture", "a broken rib on the {side}", "a {side} rib fracture", "a displaced rib"),
    "pacemaker": ("a pacemaker", "support devices", "a pacemaker with its lead", "an implanted device"),
    "tube": ("a breathing tube", "support devices", "an endotracheal tube", "tube in place"),
    "line": ("a central line", "support devices", "a central venous line", "lines and leads"),
}
_NORMAL: tuple[str, ...] = (
    *("clear lungs", "a normal chest", "normal heart and lungs", "clear lung fields", "a healthy chest"),
    *("normal heart size and clear lungs", "normal findings"),
)
_FORMS: tuple[str, ...] = (
    "chest x-ray showing {list}",
    "frontal chest radiograph with {list}",
    "{view} chest x-ray: {list}",
    "a chest x-ray with {list}",
    "this radiograph shows {list}",
    "impression: {list}",
    "findings: {list}",
    "there is {list}",
    "radiology teaching file: {list}",
    "an x-ray of the chest that shows {list}",
    "case {number}: {list}",
    "the patient has {list}",
    "medical image of {list}",
    "x-ray image, {list}",
    "{list} on chest x-ray",
    "{list}, {view} view",
    "chest film demonstrating {list}",
    "radiograph consistent with {list}",
    "evidence of {list}",
    "a grey chest radiograph, {list} visible",
)


def describe(item: Radiograph, rng: random.Random) -> str:
    """An affirmative caption that names some of the findings (at times all), or a normal chest."""
    if item.findings and not (item.labels["No Finding"] and rng.random() < 0.5):
        count = len(item.findings) if rng.random() < 0.4 else rng.randint(1, len(item.findings))
        chosen = rng.sample(item.findings, count)
        keys = [DEVICES[one.variant] if one.name == "Support Devices" else one.name for one in chosen]
        phrases = [rng.choice(_PHRASES[key]).format(side=one.side) for key, one in zip(keys, chosen, strict=True)]
    else:
        phrases = [rng.choice(_NORMAL)]
    return rng.choice(_FORMS).format(list=enumerate_phrases(phrases), view=item.view, number=rng.randint(10, 9999))
