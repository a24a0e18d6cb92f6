"""Pretraining of MiniSD: a latent diffusion model with dropped captions, as Stable Diffusion's.

Text tower and autoencoder are frozen; the UNet alone learns (Rombach et al. 2022), under a cosine schedule (Nichol and
Dhariwal 2021), to predict the clean latents: a small network need not carry the noise of many components through its
layers, as it must to predict noise or v (Li and He 2025). The loss is that of v (Salimans and Ho 2022) with its weight
capped (Hang et al. 2023). One caption in ten is empty, which makes classifier-free guidance possible (Ho and Salimans
2021). Captions are padded with the end token to 77 tokens, and the UNet sees the states of all 77.
Batch, noise and times depend on (seed, step) alone.

It learns from images of the mini world with affirmative web-like captions: faces, and one or two large things in
fixed places, images about which a prompt can be kept. Where a thing may be anywhere, noise hides for most of the
training what it is said to look like, and a network this small, trained within the hour, learns smudges.
Design: "MiniSD".
"""

import dataclasses
import importlib
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from miniworld import alttext, drawing, faces, grammar, scenes
from miniworld.pretrain.pool import Item, Pool, pool_in, validation_of
from miniworld.scenes import Scene, Thing
from negutil.captions.english import COLOURS, NOUNS
from negutil.errors import NegutilError
from negutil.models import encoder_swap, loader, minisd
from negutil.models.minisd import Shape
from negutil.train.loop import cosine, fast_kernels
from negutil.train.pretraining import Pretraining, Settings, rows_of

FIT_PICTURES = 4000  # that the principal components are computed from
PICTURES = 60_000
FACES = 0.35  # share of the images; the rest are scenes
PLACES = {1: ((16, 16),), 2: ((0, 16), (32, 16))}  # left and top of each thing, in pixels, by their number
SIZE = "large"
TRIES = 1000  # to place a thing so
PEOPLE, PEOPLE_SHARE = ("person", "woman"), 0.2  # they act, wear and hold; otherwise every noun is as frequent
CAPTION_KINDS = (grammar.full_caption, grammar.partial_caption, grammar.naming_caption)
CAPTION_WEIGHTS = (50, 25, 25)  # an image can follow only what its caption says: fuller ones than the web's


def pairs(count: int, texts_per_picture: int, seed: int, split: str = "train") -> Iterator[Item]:
    """``count`` images (uint8 [64, 64, 3]) with ``texts_per_picture`` captions each, none of which negates.

    Pair i depends on (split, seed, i) alone. Scenes that are reserved for evaluation are not among the "train" ones,
    and they are all of the "val" ones.
    """
    for index in range(count):
        rng = random.Random(f"minisd/{split}/{seed}/{index}")
        if rng.random() < FACES:
            face = faces.sample(rng)
            yield faces.draw(face), [alttext.dress(faces.describe(face, rng), rng) for _ in range(texts_per_picture)]
        else:
            scene = _sample(rng, reserved=split != "train")
            yield scenes.draw(scene), [alttext.dress(_caption(scene, rng), rng) for _ in range(texts_per_picture)]


def pool(folder: Path, pictures: int = PICTURES, seed: int = 0) -> Pool:
    """Open the pool in ``folder``, or build it where the folder does not exist.

    Raises NegutilError if the pool in the folder is damaged or has not that many images.
    """
    return pool_in(folder, pictures, seed, pairs, lambda count, seed: pairs(count, 1, seed, "val"))


def _caption(scene: Scene, rng: random.Random) -> str:
    """A caption that, of two things, names the left one first: the order is all that can tell which is where."""
    kind = rng.choices(CAPTION_KINDS, CAPTION_WEIGHTS)[0]
    while True:
        text = kind(scene, rng)
        positions = [text.find(thing.noun) for thing in scene.things]
        if -1 in positions or positions == sorted(positions):
            return text


def _sample(rng: random.Random, reserved: bool) -> Scene:
    """A scene of the training share, or of the reserved one, with one or two things of SIZE in their PLACES."""
    wanted = rng.choice(tuple(PLACES))
    while True:
        place, variant = rng.choice(scenes.PLACE_NAMES), rng.randrange(drawing.VARIANTS)
        taken: list[Thing] = []
        for corner in PLACES[wanted]:
            noun, colour = rng.choice(PEOPLE if rng.random() < PEOPLE_SHARE else NOUNS), rng.choice(COLOURS)
            drafts = (scenes.place_thing(rng, noun, colour, taken, wanted) for _ in range(TRIES))
            fitting = (thing for thing in drafts if thing and thing.size == SIZE and thing.box[:2] == corner)
            taken += [thing for thing in (next(fitting, None),) if thing]
        scene = Scene(place, variant, tuple(taken))
        if len(scene.things) == wanted and scenes.is_reserved(scene) == reserved:
            return scene


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniSDConfig(Settings):
    """Settings of MiniSD: ``empty`` is the share of captions dropped, ``ema`` the largest decay of the mean of weights
    that is shipped, ``weight_cap`` the highest weight of an image in the loss.
    """

    batch: int = 64
    lr: float = 1e-3
    warmup: int = 100
    empty: float = 0.1
    weight_cap: float = 5.0
    ema: float = 0.999
    shape: Shape = field(default_factory=Shape)
    validate_every: int = 200
    checkpoint_every: int = 200
    validation_pictures: int = 256


RECIPE = MiniSDConfig(steps=5500)


@dataclass(frozen=True, slots=True)
class Batch:
    """``latents`` and ``noise`` float32 [B, K, 8, 8], ``times`` int64 [B] in the schedule, ``tokens`` int64 [B, 77]."""

    latents: torch.Tensor
    noise: torch.Tensor
    times: torch.Tensor
    tokens: torch.Tensor


class Trainer(Pretraining[Batch]):
    """UNet and mean of its weights in training."""

    def __init__(self, config: MiniSDConfig, pool: Pool) -> None:
        self.config, self.pool = config, pool
        model = loader.load(minisd.BASE)
        self.base_sha256 = str(model.fingerprint["weights_sha256"])
        self.encoder = encoder_swap.to_transformers(model.model).to(config.device).requires_grad_(False)
        self.vae = minisd.fit_transform(np.array(pool.pictures[:FIT_PICTURES]), config.shape)
        torch.manual_seed(config.seed)
        self.unet = minisd.build_unet(config.shape).to(config.device).train()
        self.mean = minisd.build_unet(config.shape).to(config.device).eval().requires_grad_(False)
        self.mean.load_state_dict(self.unet.state_dict())
        self.alphas = minisd.build_scheduler().alphas_cumprod.to(config.device)
        super().__init__(
            config,
            {"unet": self.unet, "mean": self.mean},
            torch.optim.AdamW(self.unet.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True),
            loss=lambda batch: self.loss(self.unet, batch),
            sampler=lambda step: draw_batch(pool, self.vae, config, step),
            schedule=cosine(config.lr, config.steps, config.warmup),
            sources={"pool": pool.fingerprint, "base_sha256": self.base_sha256},
        )

    def loss(self, unet: Any, batch: Batch) -> torch.Tensor:
        """Squared error of the clean latents times 1 + SNR (which makes it the error of v), at most ``weight_cap``."""
        device = self.config.device
        latents, noise, times = (one.to(device) for one in (batch.latents, batch.noise, batch.times))
        kept = self.alphas[times].view(-1, 1, 1, 1)
        with torch.no_grad():
            states = self.encoder(batch.tokens.to(device)).last_hidden_state
        clean = unet(kept.sqrt() * latents + (1 - kept).sqrt() * noise, times, states).sample
        weights = (1 / (1 - kept)).clamp(max=self.config.weight_cap)
        return (weights * functional.mse_loss(clean, latents, reduction="none")).mean()

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """Loss of the mean weights on held-out images, the same noise and times every time."""
        held_out = validation_of(self.pool)
        if held_out is None:
            return {}
        config = dataclasses.replace(self.config, batch=min(self.config.validation_pictures, len(held_out)), empty=0)
        return {"validation_loss": self.loss(self.mean, draw_batch(held_out, self.vae, config, 0)).item()}

    @torch.no_grad()
    def adjust(self) -> None:
        """Move the mean of weights towards those of this step."""
        decay = min(self.config.ema, (1 + self.done) / (10 + self.done))
        torch._foreach_lerp_(list(self.mean.parameters()), list(self.unet.parameters()), 1 - decay)

    def export(self, weights: Path, command: str) -> None:
        """Write the mean of weights; raises NegutilError as :meth:`write` does."""
        shape, scale = asdict(self.config.shape), self.vae.config.scaling_factor
        about = {"command": command, "shape": shape, "scaling_factor": scale, "pool": self.pool.info}
        about |= {"base": minisd.BASE, "base_sha256": self.base_sha256}
        self.write(weights, minisd.pack(self.mean, self.vae), {}, about)


def draw_batch(pool: Pool, vae: minisd.PatchTransform, config: MiniSDConfig, step: int) -> Batch:
    """Return the batch of ``step``: each image once an epoch, one of its captions, a time and noise at random."""
    rng = np.random.default_rng([config.seed, step, 1])
    _, rows = rows_of(len(pool), config.batch, step, config.seed)
    captions = rng.integers(pool.tokens.shape[1], size=len(rows))
    latents = minisd.latents(vae, pool.pictures[rows])
    noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
    times = torch.from_numpy(rng.integers(minisd.STEPS, size=len(rows)))
    tokens = full_length(pool.tokens[rows, captions])
    tokens[rng.random(len(rows)) < config.empty] = full_length(tokens[:1, [0, -1]].numpy())
    return Batch(latents, noise, times, tokens)


def full_length(tokens: np.ndarray) -> torch.Tensor:
    """Return ``tokens`` int [B, L] as int64 [B, 77], padded with the end token."""
    wide = np.pad(tokens.astype(np.int64), ((0, 0), (0, 77 - tokens.shape[1])))
    return encoder_swap.padded(torch.from_numpy(wide))


def pretrain(config: MiniSDConfig, pool: Pool, out: Path, stop_after: int | None = None) -> Trainer:
    """Train in the folder ``out`` as :meth:`Pretraining.fit` does; raises NegutilError, too, for too small a pool."""
    if len(pool) < config.batch:
        raise NegutilError(f"The pool {pool.folder} has only {len(pool)} images for batches of {config.batch}.")
    convolutions: Any = importlib.import_module("torch.backends.mkldnn").conv  # which torch makes as it is imported
    before = convolutions.fp32_precision
    with fast_kernels(config.threads, config.matmul_precision, config.device):
        try:
            # The factors of convolutions are rounded to bfloat16 as well, where those of products are.
            convolutions.fp32_precision = "bf16" if config.matmul_precision == "medium" else before
            trainer = Trainer(config, pool)
            trainer.fit(out, stop_after)
        finally:
            convolutions.fp32_precision = before
    return trainer
