"""Pictures of the mini world with phrases and masks, from which MiniCLIPSeg's decoder learns.

Phrases are affirmative, as PhraseCut's and RefCOCOg's mostly are: a name with a colour or with what is worn or held
(every instance that it fits), or what singles out one of several things. One phrase in a few is about nothing in the
picture, as in PhraseCut+ (CLIPSeg, Sec. 4), and its mask is empty. Scenes are of the training share, so none is in the
evaluation sets.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miniworld import referring, scenes, truth
from miniworld.scenes import SIZE, Scene
from miniworld.truth import Instance
from miniworld.writers import phrasecut
from miniworld.writers.phrasecut import Phrase
from negutil import progress
from negutil.captions.english import COLOURS, NOUNS

PHRASES = 6
"""Of each picture: the last is absent, the others are present."""

REPEATED = 0.5
TEMPLATES = ("{}", "{}", "{}", "a photo of {}", "an image of {}", "{}.")
"""One is drawn for each phrase: half of them stay as they are."""

_BITS = SIZE * SIZE // 8


@dataclass(frozen=True, slots=True)
class SegmentPool:
    """Phrases about pictures.

    Attributes:
        pictures: uint8 [N, 64, 64, 3].
        bits: masks, packed by ``numpy.packbits``: uint8 [N, PHRASES, 512].
        texts: int32 [N, PHRASES], the number of each phrase in ``sentences``.
        sentences: every different phrase, sorted.
    """

    pictures: NDArray[np.uint8]
    bits: NDArray[np.uint8]
    texts: NDArray[np.int32]
    sentences: tuple[str, ...]

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.pictures)

    @property
    def fingerprint(self) -> str:
        """sha256 of everything in the pool."""
        digest = hashlib.sha256("\n".join(self.sentences).encode())
        for array in (self.pictures, self.bits, self.texts):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def masks(self, rows: NDArray[np.int64], which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Masks bool [B, K, 64, 64] of the phrases ``which`` [B, K] of the pictures ``rows`` [B]."""
        packed = self.bits[rows[:, None], which]
        return np.unpackbits(packed, axis=-1).reshape(*which.shape, SIZE, SIZE).astype(bool)


def build(count: int, seed: int = 0, reserved: bool = False) -> SegmentPool:
    """Draw ``count`` pictures with their phrases; picture i depends on (seed, reserved, i) alone.

    ``reserved`` takes scenes that no training set has, to watch learning by. About 4 ms a picture.
    """
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    bits = np.empty((count, PHRASES, _BITS), np.uint8)
    said: list[list[str]] = []
    for row in progress.bar("drawing images", range(count), unit="image"):
        rng = random.Random(f"segments/{'val' if reserved else 'train'}/{seed}/{row}")
        scene = _scene(rng, reserved)
        pairs = _pairs(scene, rng)
        pictures[row] = scenes.draw(scene)
        bits[row] = np.packbits(np.stack([mask.ravel() for _, mask in pairs]), axis=-1)
        said.append([rng.choice(TEMPLATES).format(text) for text, _ in pairs])
    sentences = tuple(sorted({text for texts in said for text in texts}))
    number = {text: place for place, text in enumerate(sentences)}
    texts = np.array([[number[text] for text in texts] for texts in said], np.int32)
    return SegmentPool(pictures, bits, texts, sentences)


def _scene(rng: random.Random, reserved: bool) -> Scene:
    """Half of the scenes have several things of one kind."""
    while True:
        scene = referring.sample(rng) if rng.random() < REPEATED else scenes.sample(rng)
        if scene.things and scenes.is_reserved(scene) == reserved:
            return scene


def _pairs(scene: Scene, rng: random.Random) -> list[tuple[str, NDArray[np.bool_]]]:
    """PHRASES phrases with their masks, drawn again in turn where there are too few different ones; the last absent."""
    visible, shapes = truth.instances(scene), truth.masks(scene)
    present: list[tuple[str, NDArray[np.bool_]]] = []
    for phrase, region in phrasecut.phrases(scene, rng):
        present.append((phrase.text, np.asarray(shapes[list(region)].any(axis=0))))
    present += [(text, shapes[target]) for text, target in _referring(scene, rng)]
    rng.shuffle(present)
    chosen = [present[place % len(present)] for place in range(PHRASES - 1)]
    nothing: NDArray[np.bool_] = np.zeros((SIZE, SIZE), bool)
    return [*chosen, (_absent(visible, rng).text, nothing)]


def _referring(scene: Scene, rng: random.Random) -> Iterator[tuple[str, int]]:
    """Affirmative phrases that fit exactly one of several things, in forms that are not kept for testing."""
    for clue in referring.clues(scene):
        if not clue.negated:
            yield referring.say(clue, rng.choice(referring.forms(clue, held_out=False))), clue.target


def _absent(visible: Sequence[Instance], rng: random.Random) -> Phrase:
    """A phrase that fits nothing: half of the time about a thing that is there, but in another colour."""
    while True:
        noun = rng.choice([one.noun for one in visible] if rng.random() < 0.5 else NOUNS)
        phrase = Phrase(noun, colour=rng.choice(("", *COLOURS)))
        if not any(phrase.fits(one) for one in visible):
            return phrase
