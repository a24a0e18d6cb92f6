"""Pretraining of MiniCLIPSeg: its decoder learns to mark what affirmative phrases name; both towers stay as they are.

As CLIPSeg was trained (Lüddecke and Ecker 2022, Sec. 4): binary cross-entropy over the pixels, AdamW with a cosine down
to a tenth, prompts in a few templates, phrases about nothing in the image among them. Their prompts that are images
are left out. Negated phrases are never seen. What a step sees depends on (seed, step) alone.

Phrases are affirmative, as PhraseCut's and RefCOCOg's mostly are: a name with a colour or with what is worn or held
(every instance that it fits), or what singles out one of several things. One phrase in a few is about nothing in the
image, as in PhraseCut+, and its mask is empty. Scenes are of the training share, so none is in the evaluation sets.
"""

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from miniworld import referring, scenes, truth
from miniworld.scenes import SIZE, Scene
from miniworld.writers import phrasecut
from miniworld.writers.phrasecut import Phrase
from negutil import progress
from negutil.captions.english import COLOURS, NOUNS
from negutil.errors import NegutilError
from negutil.models import loader, miniclipseg
from negutil.models.loader import LoadedModel
from negutil.train.loop import cosine, fast_kernels
from negutil.train.pretraining import Pretraining, Settings, rows_of

Rows = NDArray[np.int64]
CODE_VERSION = 2  # counts changes that change weights
PHRASES = 6
"""Of each image in a pool: the last is absent, the others are present."""

TEMPLATES = ("{}", "{}", "{}", "a photo of {}", "an image of {}", "{}.")
"""One is drawn for each phrase: half of them stay as they are."""


@dataclass(frozen=True, slots=True)
class SegmentPool:
    """Phrases about images.

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
        """How many images there are."""
        return len(self.pictures)

    @property
    def fingerprint(self) -> str:
        """sha256 of everything in the pool."""
        digest = hashlib.sha256("\n".join(self.sentences).encode())
        for array in (self.pictures, self.bits, self.texts):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def masks(self, rows: NDArray[np.int64], which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Masks bool [B, K, 64, 64] of the phrases ``which`` [B, K] of the images ``rows`` [B]."""
        packed = self.bits[rows[:, None], which]
        return np.unpackbits(packed, axis=-1).reshape(*which.shape, SIZE, SIZE).astype(bool)


def build_pool(count: int, seed: int = 0, reserved: bool = False) -> SegmentPool:
    """Draw ``count`` images with their phrases; image i depends on (seed, reserved, i) alone.

    ``reserved`` takes scenes that no training set has, to watch learning by. About 4 ms an image.
    """
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    bits = np.empty((count, PHRASES, SIZE * SIZE // 8), np.uint8)
    drawn: list[list[str]] = []
    for row in progress.bar("drawing images", range(count), unit="image"):
        rng = random.Random(f"segments/{'val' if reserved else 'train'}/{seed}/{row}")
        scene = phrasecut.sample(rng)
        while not scene.things or scenes.is_reserved(scene) != reserved:
            scene = phrasecut.sample(rng)
        pairs = _pairs(scene, rng)
        pictures[row] = scenes.draw(scene)
        bits[row] = np.packbits(np.stack([mask.ravel() for _, mask in pairs]), axis=-1)
        drawn.append([rng.choice(TEMPLATES).format(text) for text, _ in pairs])
    sentences, numbers = np.unique(np.array(drawn, dtype=object), return_inverse=True)
    return SegmentPool(pictures, bits, numbers.reshape(count, PHRASES).astype(np.int32), tuple(sentences))


def _pairs(scene: Scene, rng: random.Random) -> list[tuple[str, NDArray[np.bool_]]]:
    """PHRASES phrases with their masks, drawn again in turn where there are too few different ones; the last absent."""
    visible, shapes = truth.instances(scene), truth.masks(scene)
    present: list[tuple[str, NDArray[np.bool_]]] = []
    for phrase, region in phrasecut.phrases(scene, rng):
        present.append((phrase.text, np.asarray(shapes[list(region)].any(axis=0))))
    # What fits exactly one of several things, in forms that are not kept for testing.
    for clue in referring.clues(scene):
        if not clue.negated:
            text = referring.say(clue, rng.choice(referring.forms(clue, held_out=False)))
            present.append((text, shapes[clue.target]))
    rng.shuffle(present)
    chosen = [present[place % len(present)] for place in range(PHRASES - 1)]
    # A phrase that fits nothing: half of the time about a thing that is there, but in another colour.
    absent = None
    while absent is None or any(absent.fits(one) for one in visible):
        noun = rng.choice([one.noun for one in visible] if rng.random() < 0.5 else NOUNS)
        absent = Phrase(noun, colour=rng.choice(("", *COLOURS)))
    return [*chosen, (absent.text, np.zeros((SIZE, SIZE), bool))]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentConfig(Settings):
    """Settings of MiniCLIPSeg: ``batch`` counts images, of each of which ``phrases`` are drawn.

    ``floor`` is the share of the rate that is left at the end; ``pictures`` and ``validation`` are how many the pool
    and its held-out part have.
    """

    base: str = "miniclip-b-8"
    steps: int = 1000
    batch: int = 64
    phrases: int = 4
    lr: float = 1e-3
    floor: float = 0.1
    warmup: int = 100
    pictures: int = 16_000
    validation: int = 400


class Trainer(Pretraining[tuple[Rows, Rows]]):
    """The decoder in training; a batch has images [B] and which of their phrases [B, K]."""

    def __init__(self, config: SegmentConfig, base: LoadedModel, pool: SegmentPool, held_out: SegmentPool) -> None:
        self.config, self.base, self.pool, self.held_out = config, base, pool, held_out
        torch.manual_seed(config.seed)
        self.segmenter = miniclipseg.untrained(base)
        self.decoder: Any = self.segmenter.model.decoder.train()
        self.texts = miniclipseg.conditions(self.segmenter, pool.sentences)
        self.mean, self.std = (torch.tensor(each).view(3, 1, 1) for each in (base.entry.mean, base.entry.std))
        sources = {"pool": pool.fingerprint, "base": base.fingerprint["weights_sha256"], "code_version": CODE_VERSION}
        super().__init__(
            config,
            {"decoder": self.decoder},
            torch.optim.AdamW(self.decoder.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True),
            loss=self.loss,
            sampler=lambda step: sample(config, len(pool), step),
            schedule=cosine(config.lr, config.steps, config.warmup, config.floor),
            sources=sources,
            unit="phrases",
            size=config.batch * config.phrases,
        )

    def loss(self, batch: tuple[Rows, Rows]) -> torch.Tensor:
        """Binary cross-entropy over the pixels of all phrases of a batch."""
        wanted = torch.from_numpy(self.pool.masks(*batch)).flatten(0, 1).float()
        return functional.binary_cross_entropy_with_logits(self.logits(self.pool, self.texts, *batch), wanted)

    def logits(self, pool: SegmentPool, texts: torch.Tensor, rows: Rows, which: Rows) -> torch.Tensor:
        """Scores [B * K, 64, 64] before the sigmoid for the phrases ``which`` [B, K] of the images ``rows`` [B]."""
        pixels = torch.from_numpy(pool.pictures[rows]).permute(0, 3, 1, 2).float().div_(255)
        with torch.no_grad():
            layers = miniclipseg.activations(self.segmenter, (pixels - self.mean) / self.std)
        steering = texts[torch.from_numpy(pool.texts[rows[:, None], which].astype(np.int64)).flatten()]
        repeated = [layer.repeat_interleave(which.shape[1], dim=0) for layer in layers]
        logits: torch.Tensor = self.decoder(repeated, steering).logits
        return logits

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """Mean intersection over union of what is there at 0.5, and the share of absent things that get any pixel."""
        pool = self.held_out
        texts = miniclipseg.conditions(self.segmenter, pool.sentences)
        self.decoder.eval()
        ious, marked = [], []
        for rows in np.array_split(np.arange(len(pool)), max(1, len(pool) // self.config.batch)):
            which = np.tile(np.arange(PHRASES), (len(rows), 1))
            pixels = (self.logits(pool, texts, rows, which) > 0).flatten(1).numpy()
            wanted = pool.masks(rows, which).reshape(len(pixels), -1)
            both, either = (pixels & wanted).sum(axis=1), (pixels | wanted).sum(axis=1)
            there = wanted.any(axis=1)
            ious.append(both[there] / either[there])
            marked.append(pixels[~there].any(axis=1))
        self.decoder.train()
        means = (float(np.concatenate(each).mean()) for each in (ious, marked))
        return dict(zip(("validation_iou", "validation_marked"), means, strict=True))

    def export(self, weights: Path, command: str) -> None:
        """Write the decoder in float16; raises NegutilError as :meth:`write` does."""
        state = {name: value.detach().half().contiguous() for name, value in self.decoder.state_dict().items()}
        metadata = {"base": self.base.name, "base_sha256": str(self.base.fingerprint["weights_sha256"])}
        self.write(weights, state, metadata, {"command": command, "pool_sha256": self.pool.fingerprint, **metadata})


def sample(config: SegmentConfig, n: int, step: int) -> tuple[Rows, Rows]:
    """Images [B] and which of their phrases [B, K] a step sees; each image comes once an epoch."""
    _, rows = rows_of(n, config.batch, step, config.seed)
    keys = np.random.default_rng([config.seed, step, 1]).random((len(rows), PHRASES))
    return rows, keys.argsort(axis=1)[:, : config.phrases]


def pretrain(config: SegmentConfig, out: Path, stop_after: int | None = None) -> Trainer:
    """Draw the images, which takes a minute or two, and train in ``out`` as :meth:`Pretraining.fit` does.

    Raises NegutilError, too, where there are too few images for a batch.
    """
    if config.pictures < config.batch:
        raise NegutilError(f"A batch of {config.batch} needs as many images, not {config.pictures}; ask for more.")
    base = loader.load(config.base)
    with fast_kernels(config.threads, config.matmul_precision, "cpu"):
        pool = build_pool(config.pictures, config.seed)
        held_out = build_pool(config.validation, config.seed, reserved=True)
        trainer = Trainer(config, base, pool, held_out)
        trainer.fit(out, stop_after)
    return trainer
