"""NegRefCOCOg from RefCOCOg: a phrase with a negation, the crop that it means, another of its kind.

A row needs a phrase with a cue and, in the same image, a second object of the same category. Both boxes are grown by
their own width and height on each side, cut at the image's border and at the other object, as those published rows
are that also occur in RefCOCOg. Pairs that overlap much or differ much in size are left out, by the limits that the
published file keeps, and so are crops that show what the phrase denies, such as the neighbour's hat. In the published
file the right box is always the first; here the order is drawn at random. See docs/protocols.md#negrefcocog.
"""

import json
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from negutil import files
from negutil.data import _reading, coco, refcocog
from negutil.errors import NegutilError

Box = tuple[float, float, float, float]
"""x, y, width, height in pixels."""

FILE = "NegRefCOCOg.json"
CUES = re.compile(r"\b(?:no|not|without|never)\b|n ?' ?t\b|\bnon-", re.IGNORECASE)
NUMBER = re.compile(r"\bno ?\. ?\d", re.IGNORECASE)
""" "no. 1" counts, it does not negate."""

_PLACES = re.compile(r"\b(?:left|right|top|bottom|middle|cent(?:er|re)|corner)\b", re.IGNORECASE)
DROPS = (
    *("no cue", "about a number", "about a place in the image", "no other of its kind", "boxes overlap or differ"),
    "crop shows what is denied",
)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows are kept (limits: the largest values in the published file, docs/protocols.md#negrefcocog).

    Attributes:
        overlap: largest intersection over union of the two grown boxes.
        inside: largest intersection over the smaller grown box.
        ratio: largest ratio of their areas.
        places: keep phrases about a place in the image ("not on the left"), which a crop cannot answer; the published
            file has some.
    """

    overlap: float = 0.30
    inside: float = 0.5
    ratio: float = 5.11
    places: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """The rows in the published format, and why the other phrases with a cue were left out (count by DROPS)."""

    rows: list[dict[str, Any]]
    dropped: Mapping[str, int]


def build(
    folder: Path, split: str | None = "val", split_by: str = "umd", filters: Filters = Filters(), seed: int = 0
) -> Made:
    """Rows from a folder with REFER's refs and instances files; one for every phrase that passes the filters.

    Where several other objects would do, the one nearest in size is taken. Raises NegutilError for damaged files, and
    where nothing is left.
    """
    phrases = refcocog.load(folder, split_by, split).to_pandas()
    path = folder / "instances.json"
    content = _reading.read_json(path)
    names, _ = coco.categories(content, path)
    # Boxes by image, category and id of the object; groups ("crowds") are left out.
    shown: dict[int, dict[str, dict[int, Box]]] = defaultdict(dict)
    for record in _reading.section(content, "annotations", path):
        if not record.get("iscrowd"):
            alike = shown[record["image_id"]].setdefault(names[record["category_id"]], {})
            alike[record["id"]] = _box(record["bbox"])
    rows, dropped = [], dict.fromkeys(DROPS, 0)
    for phrase in phrases.itertuples():
        reason = ""
        if not CUES.search(phrase.sentence):
            reason = DROPS[0]
        elif NUMBER.search(phrase.sentence):
            reason = DROPS[1]
        elif not filters.places and _PLACES.search(phrase.sentence):
            reason = DROPS[2]
        box, size, pair = _box(phrase.box), (phrase.width, phrase.height), None
        others = {k: one for k, one in shown[phrase.image_id].get(phrase.category, {}).items() if k != phrase.ann_id}
        area = box[2] * box[3]
        for _, other in sorted(others.items(), key=lambda item: (abs(item[1][2] * item[1][3] - area), item[0])):
            grown = context(box, other, size), context(other, box, size)
            if not reason and allowed(*grown, filters):
                pair = grown
                break
        if pair is None:
            dropped[reason or (DROPS[4] if others else DROPS[3])] += 1
        elif _denied(phrase.sentence, phrase.category, pair[0], shown[phrase.image_id]):
            dropped[DROPS[5]] += 1
        else:
            boxes = [list(box) for box in random.Random(f"{seed}/{phrase.sent_id}").sample(pair, 2)]
            row = {"image": phrase.file_name, "phrase": phrase.sentence}
            rows.append({**row, "ref_bbox": list(pair[0]), "bbox_list": boxes})
    if not rows:
        raise NegutilError(f"{folder}: no phrase of {split or 'any split'} passes ({dropped}): loosen the filters.")
    return Made(rows, dropped)


def _box(numbers: Sequence[float]) -> Box:
    x, y, width, height = map(float, numbers)
    return x, y, width, height


def _denied(phrase: str, category: str, box: Box, shown: Mapping[str, Mapping[int, Box]]) -> bool:
    """Whether more than half of something that the phrase names after its cue, a neighbour's hat, lies in ``box``."""
    cue = CUES.search(phrase)
    after = phrase[cue.end() :] if cue else ""
    named = [name for name in shown if name != category and re.search(rf"\b{re.escape(name)}\b", after)]
    return any(_shared(one, box) > one[2] * one[3] / 2 for name in named for one in shown[name].values())


def _shared(first: Box, second: Box) -> float:
    """Area that two boxes have in common."""
    across = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    down = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    return max(across, 0.0) * max(down, 0.0)


def context(box: Box, other: Box, size: tuple[int, int]) -> Box:
    """``box`` grown by its width and height on each side, cut at the border of an image of ``size`` (width, height).

    It is also cut at the ``other`` object, where that lies wholly on one side.
    """
    x, y, width, height = box
    left, right = max(0.0, x - width), min(float(size[0]), x + 2 * width)
    top, bottom = max(0.0, y - height), min(float(size[1]), y + 2 * height)
    if other[0] >= x + width:
        right = min(right, other[0])
    elif other[0] + other[2] <= x:
        left = max(left, other[0] + other[2])
    elif other[1] >= y + height:
        bottom = min(bottom, other[1])
    elif other[1] + other[3] <= y:
        top = max(top, other[1] + other[3])
    return left, top, right - left, bottom - top


def allowed(first: Box, second: Box, filters: Filters) -> bool:
    """Whether two grown boxes overlap and differ no more than the filters say."""
    shared = _shared(first, second)
    areas = first[2] * first[3], second[2] * second[3]
    if min(areas) <= 0:
        return False
    within = shared / (sum(areas) - shared) <= filters.overlap and shared / min(areas) <= filters.inside
    return within and max(areas) / min(areas) <= filters.ratio


def write(made: Made, folder: Path) -> Path:
    """Write the rows as ``NegRefCOCOg.json``, which ``negutil.data.negrefcocog`` reads."""
    path = folder / FILE
    files.write_text(path, json.dumps(made.rows, indent=1) + "\n")
    return path


# The same phrases without their negation, as a control.
_AFFIRM = (
    (re.compile(r"\b(is|are|was|were|does|do|has|have)(?: not|n ?' ?t)\b"), r"\1"),
    (re.compile(r"\bwithout\b"), "with"),
    (re.compile(r"\bnever\b ?"), ""),
    (re.compile(r"\bnon-"), ""),
    (re.compile(r"\bno one\b"), "someone"),
    (re.compile(r"\bno (?=[a-z]+s\b)"), ""),
    (re.compile(r"\bno\b"), "a"),
    (re.compile(r"\bnot\b ?"), ""),
    (re.compile(r"\bdoes have\b"), "has"),
    (re.compile(r"\bdoes ([a-z]+)\b"), r"\1s"),
)
_CLAUSE = re.compile(
    r"(?:,? ?\b(?:and|but|with|that|who|which|is|are|has|have|wearing|holding|does|do|the one)\b)*"
    r" ?(?:\b(?:no|not|without|never)\b|[a-z]+n ?' ?t\b|(?<= )non-).*$",
    re.IGNORECASE,
)


def affirmed(phrase: str) -> str:
    """The phrase with only the negation deleted: "the car that is not red" becomes "the car that is red".

    It means the other object then, so a model that overlooks negation scores as well by it as by the phrase itself.
    """
    for pattern, replacement in _AFFIRM:
        phrase = pattern.sub(replacement, phrase)
    return " ".join(phrase.split())


def bare(phrase: str) -> str:
    """The phrase up to its negated clause: "a boy without hat" becomes "a boy". It fits both objects of most rows.

    A negation in front of the noun ("the non-red car") is deleted with its word. Where nothing would be left, the
    phrase stays as it is.
    """
    without_word = re.sub(r"\bnon-[a-z]+ ?", "", phrase)
    cut = _CLAUSE.sub("", without_word).strip(" ,;")
    return cut or phrase


def controls(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Every phrase with its two controls: phrase, affirmed, bare."""
    phrases = [str(row["phrase"]) for row in rows]
    return pd.DataFrame({"phrase": phrases, "affirmed": map(affirmed, phrases), "bare": map(bare, phrases)})
