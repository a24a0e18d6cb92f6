"""Hard-negative pairs: the same scene with one kind of thing taken away (HardNeg-Syn, docs/protocols.md#hardneg).

NegBench draws both images of a pair with Stable Diffusion and does not publish them; here the second is the first
without one noun, exactly. Scenes are of the share that no training set has.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from miniworld import grammar, scenes, truth
from miniworld.scenes import Scene
from miniworld.truth import Known
from miniworld.writers import _shared
from negutil import progress
from negutil.captions import negbench
from negutil.captions.negbench import Paraphraser, Question
from negutil.captions.statements import Statement


@dataclass(frozen=True, slots=True)
class Pair:
    """A scene with both nouns, the same scene without `removed`, and the names of their two files."""

    kept: str
    removed: str
    positive: Scene
    negative: Scene
    names: tuple[str, str]


def pairs(count: int, seed: int = 0) -> list[Pair]:
    """`count` pairs whose images all differ; pair i comes from Random(f"hardneg/{seed}/{i}").

    Raises NegutilError if no new pair can be found.
    """

    def both(pair: Pair) -> np.ndarray:
        return np.stack([scenes.draw(pair.positive), scenes.draw(pair.negative)])

    seen: set[bytes] = set()
    drawn: list[Pair] = []
    for number in progress.bar("drawing pairs of images", range(count), unit="pair", leave=False):
        rng, problem = random.Random(f"hardneg/{seed}/{number}"), f"Hard negatives: no new pair after {number}"
        names = (f"hardneg/positive/{number:05d}.jpg", f"hardneg/negative/{number:05d}.jpg")
        drawn.append(_shared.unseen(rng, partial(_sample, names), both, seen, f"{problem}; ask for fewer.")[0])
    return drawn


def _sample(names: tuple[str, str], rng: random.Random) -> Pair | None:
    """A pair of scenes of the reserved share, or None if the scene drawn allows none.

    The removed noun is surely absent afterwards: while a woman is there, so is a person.
    """
    scene = scenes.sample(rng)
    nouns = sorted(scene.nouns) if scenes.is_reserved(scene) else []
    for removed in rng.sample(nouns, len(nouns)):
        rest = scenes.without(scene, removed)
        if rest.things and removed not in truth.sayable(rest.nouns) and scenes.is_reserved(rest):
            return Pair(rng.choice(sorted(rest.nouns)), removed, scene, rest, names)
    return None


def write_pictures(root: Path, drawn: Sequence[Pair]) -> None:
    """Write both images of every pair under `root`, and the truth about them beside (`truth.json`)."""
    shown = [row for pair in drawn for row in zip(pair.names, (pair.positive, pair.negative), strict=True)]
    _shared.write_pictures(root, [Known(name, "test", number, scene) for number, (name, scene) in enumerate(shown)])


def _caption(scene: Scene, seed: int, name: str) -> str:
    return grammar.full_caption(scene, random.Random(f"hardneg/caption/{seed}/{name}"))


def retrieval_v1(drawn: Sequence[Pair], seed: int = 0) -> pd.DataFrame:
    """The positive images, each with one affirmative caption: NegBench's control."""
    captions = [str([_caption(pair.positive, seed, pair.names[0])]) for pair in drawn]
    return pd.DataFrame({"filepath": [pair.names[0] for pair in drawn], "captions": captions})


def retrieval_v2(drawn: Sequence[Pair], seed: int = 0, annotator: Paraphraser | None = None) -> pd.DataFrame:
    """Both images of each pair with one caption each: as in v1, and what is left without what was taken away.

    Half of the negations, at random, come first. An annotator paraphrases the captions with negation.
    """
    statements = []
    for pair in drawn:
        first = random.Random(f"hardneg/order/{seed}/{pair.names[1]}").random() < 0.5
        statements.append(Statement((), (pair.removed,), _caption(pair.negative, seed, pair.names[1]), first))
    positive = retrieval_v1(drawn, seed)
    sentences = [str([sentence]) for sentence in negbench.worded(statements, annotator)]
    negative = pd.DataFrame({"filepath": [pair.names[1] for pair in drawn], "captions": sentences})
    return pd.concat([positive, negative]).sort_index(kind="stable", ignore_index=True)


def mcq(drawn: Sequence[Pair], annotator: Paraphraser | None = None) -> pd.DataFrame:
    """Two questions a pair: 0 A and B; 1 A not B; 2 B not A; 3 neither (docs/protocols.md#hardneg).

    B is what was taken away: 0 is right for the first image ("positive"), 1 for the second ("hybrid").
    """
    questions = []
    for pair in drawn:
        options = negbench.pair_options(pair.kept, pair.removed)
        for correct, (name, kind) in enumerate(zip(pair.names, ("positive", "hybrid"), strict=True)):
            questions.append(Question(name, options, correct, kind))
    return negbench.table(questions, negbench.MCQ, annotator)
