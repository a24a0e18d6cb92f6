"""Hard-negative pairs: the same scene with one kind of thing taken away (HardNeg-Syn, docs/protocols.md#hardneg).

NegBench draws both pictures of a pair with Stable Diffusion and does not publish them; here the second is the first
without one noun, exactly. Scenes are of the share that no training set has.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from miniworld import grammar, scenes, truth
from miniworld.scenes import Scene
from miniworld.writers import _shared
from miniworld.writers._shared import Entry
from negutil import progress
from negutil.captions import negbench
from negutil.captions.negbench import Paraphraser, Question
from negutil.captions.statements import Statement
from negutil.errors import NegutilError

RETRIEVAL = ("filepath", "captions")
"""Columns of synthetic_retrieval_v1.csv and synthetic_retrieval_v2.csv."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A scene with both nouns, the same scene without `removed`, and the names of their two files."""

    kept: str
    removed: str
    positive: Scene
    negative: Scene
    names: tuple[str, str]


def pairs(count: int, seed: int = 0, folder: str = "") -> list[Pair]:
    """`count` pairs whose pictures all differ; pair i comes from Random(f"hardneg/{seed}/{i}").

    Files are called `folder`/positive/00000.jpg and `folder`/negative/00000.jpg. Raises NegutilError where no new pair
    can be found.
    """
    seen: set[bytes] = set()
    found = []
    for number in progress.bar("drawing pairs of images", range(count), unit="pair", leave=False):
        rng = random.Random(f"hardneg/{seed}/{number}")
        drawn = _shared.unseen(rng, _sample, _draw, seen, accept=lambda draft: draft is not None)
        if drawn is None or drawn[0] is None:
            raise NegutilError(f"Hard negatives: no new pair after {number}; ask for fewer.")
        start = f"{folder}/" if folder else ""
        names = (f"{start}positive/{number:05d}.jpg", f"{start}negative/{number:05d}.jpg")
        found.append(Pair(*drawn[0], names=names))
    return found


_Draft = tuple[str, str, Scene, Scene]


def _sample(rng: random.Random) -> _Draft | None:
    """(kept noun, removed noun, both scenes), or None where the scene drawn allows no pair.

    Both scenes are of the reserved share. The removed noun is surely absent afterwards: while a woman is there, so is a
    person.
    """
    scene = scenes.sample(rng)
    nouns = sorted(scene.nouns) if scenes.is_reserved(scene) else []
    for removed in rng.sample(nouns, len(nouns)):
        rest = scenes.without(scene, removed)
        if rest.things and removed not in truth.sayable(rest.nouns) and scenes.is_reserved(rest):
            return rng.choice(sorted(rest.nouns)), removed, scene, rest
    return None


def _draw(draft: _Draft | None) -> np.ndarray:
    """Both pictures of a draft, so that pairs count as different only where both of them differ."""
    if draft is None:
        raise NegutilError("Hard negatives: a scene without a pair was to be drawn; report this.")
    return np.stack([scenes.draw(scene) for scene in draft[2:]])


def write_pictures(root: Path, drawn: Sequence[Pair]) -> None:
    """Write both pictures of every pair under `root`, and the truth about them beside (`truth.json`)."""
    shown = [row for pair in drawn for row in zip(pair.names, (pair.positive, pair.negative), strict=True)]
    _shared.write_pictures(root, [Entry(number, name, "test", scene) for number, (name, scene) in enumerate(shown)])


def _caption(scene: Scene, seed: int, name: str) -> str:
    return grammar.full_caption(scene, random.Random(f"hardneg/caption/{seed}/{name}"))


def retrieval_v1(drawn: Sequence[Pair], seed: int = 0) -> pd.DataFrame:
    """The positive pictures, each with one affirmative caption: NegBench's control. Columns: RETRIEVAL."""
    rows = [(pair.names[0], str([_caption(pair.positive, seed, pair.names[0])])) for pair in drawn]
    return pd.DataFrame(rows, columns=list(RETRIEVAL))


def retrieval_v2(drawn: Sequence[Pair], seed: int = 0, annotator: Paraphraser | None = None) -> pd.DataFrame:
    """Both pictures of each pair with one caption each: as in v1, and what is left without what was taken away.

    Half of the negations, at random, come first. An annotator paraphrases the captions with negation. Columns:
    RETRIEVAL.
    """
    said = [
        Statement(
            absent=(pair.removed,),
            caption=_caption(pair.negative, seed, pair.names[1]),
            negation_first=random.Random(f"hardneg/order/{seed}/{pair.names[1]}").random() < 0.5,
        )
        for pair in drawn
    ]
    negated = negbench.worded(said, annotator)
    rows = []
    for pair, sentence in zip(drawn, negated, strict=True):
        rows.append((pair.names[0], str([_caption(pair.positive, seed, pair.names[0])])))
        rows.append((pair.names[1], str([sentence])))
    return pd.DataFrame(rows, columns=list(RETRIEVAL))


def mcq(drawn: Sequence[Pair], annotator: Paraphraser | None = None) -> pd.DataFrame:
    """Two questions a pair: 0 A and B; 1 A not B; 2 B not A; 3 neither (docs/protocols.md#hardneg). Columns:
    `negbench.MCQ`.

    B is what was taken away: 0 is right for the first picture ("positive"), 1 for the second ("hybrid").
    """
    questions = []
    for pair in drawn:
        options = negbench.pair_options(pair.kept, pair.removed)
        for correct, (name, kind) in enumerate(zip(pair.names, ("positive", "hybrid"), strict=True)):
            questions.append(Question(name, options, correct, kind))
    return negbench.table(questions, negbench.MCQ, annotator)
