"""Contrastive pretraining of MiniCLIP over a pool of captioned images, as CLIP was pretrained (Radford et al. 2021).

The loss is the symmetric InfoNCE over the batch (their Fig. 3) with a learned logit scale of at most 100 (Sec. 2.5).
The order of samples, the caption drawn for each and the patches dropped depend only on (seed, step).

Four choices together make a step on two CPU cores about twice as fast: the token embedding holds only the tokens that
occur in the pool; captions are cut to the longest of their chunk; and two of ``loop.fast_kernels``. Weights, sums
and the optimiser's state are float32.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from miniworld import corpus
from miniworld.alttext import Cues
from miniworld.pretrain.pool import Pool, open_pool, pool_in, validation_of, with_texts
from negutil import files
from negutil.errors import NegutilError
from negutil.models import architectures, text_tower
from negutil.models.architectures import END_TOKENS
from negutil.tasks import retrieval
from negutil.train.loop import cosine, fast_kernels
from negutil.train.losses import MAX_LOGIT_SCALE, contrastive_loss
from negutil.train.pretraining import CSV, Pretraining, Settings, optimiser, rows_of

PICTURES = 120_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig(Settings):
    """Settings of MiniCLIP: up to ``dropout_until`` (share of the steps) patches are dropped, then images are whole.

    Texts are encoded in ``text_chunks`` of like length.
    """

    architecture: str
    batch: int = 256
    lr: float = 1.5e-3
    warmup: int = 200
    weight_decay: float = 0.1
    patch_dropout: float = 0.0
    dropout_until: float = 0.75
    text_chunks: int = 8
    validation_pictures: int = 500


STEPS = 4500
"""The same for both sizes, so that comparing them compares sizes."""

DOSES: dict[str, Cues] = {
    **{f"dose-{100 * dose:g}": Cues(dose / corpus.SCENES, 0.0, 0.0) for dose in (0.0, 0.007, 0.05, 0.2)},
    "asides-20": Cues(0.0, 0.2, 0.2),
}
"""How often captions negate, for the question why CLIP cannot: with 0 to 20 % of true denials of what is not in the
image, and with 20 % of cues that say nothing about it. Images, steps and the seed are the same."""

DOSE_STEPS = 3000

RECIPES = {
    "miniclip-s-8": PretrainConfig(architecture="MiniCLIP-S-8", steps=STEPS, patch_dropout=0.5),
    "miniclip-s-8-seed1": PretrainConfig(architecture="MiniCLIP-S-8", steps=STEPS, patch_dropout=0.5, seed=1),
    "miniclip-b-8": PretrainConfig(architecture="MiniCLIP-B-8", steps=STEPS, patch_dropout=0.5),
    **dict.fromkeys(DOSES, PretrainConfig(architecture="MiniCLIP-S-16", steps=DOSE_STEPS)),
}


class Vocabulary:
    """The tokens that occur in a pool, numbered in the order of their ids, so that the end token stays the highest."""

    def __init__(self, pool: Pool) -> None:
        occurring = np.union1d(np.unique(pool.tokens), (0, *END_TOKENS))
        self.ids: np.ndarray = occurring.astype(np.int64)
        self._compact = np.zeros(END_TOKENS[1] + 1, np.int64)
        self._compact[self.ids] = np.arange(len(self.ids))

    def compact(self, tokens: np.ndarray) -> torch.Tensor:
        """Translate CLIP's ids to compact ones (same shape, int64); a token outside the pool becomes padding."""
        return torch.from_numpy(self._compact[tokens])


class Trainer(Pretraining[tuple[torch.Tensor, torch.Tensor]]):
    """A MiniCLIP in training; a batch has images uint8 [B, H, W, 3] and compact tokens int64 [B, L]."""

    def __init__(self, config: PretrainConfig, pool: Pool) -> None:
        self.config, self.pool = config, pool
        self.vocabulary = Vocabulary(pool)
        torch.manual_seed(config.seed)
        self.model: Any = compact_model(config, self.vocabulary).to(config.device).train()
        module = architectures.open_clip()
        statistics = (module.OPENAI_DATASET_MEAN, module.OPENAI_DATASET_STD)  # of its default preprocessing
        self._mean, self._std = (torch.tensor(each, device=config.device).view(3, 1, 1) for each in statistics)
        super().__init__(
            config,
            {"model": self.model},
            optimiser(self.model, config),
            loss=self.loss,
            sampler=self.batch,
            schedule=cosine(config.lr, config.steps, config.warmup),
            sources={"pool": pool.fingerprint},
            unit="images",
        )

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the batch of ``step``, and set how many patches are dropped and from which seed."""
        config = self.config
        rows, captions = sample_rows(len(self.pool), self.pool.tokens.shape[1], config, step)
        torch.manual_seed(config.seed * 1_000_003 + step)  # for the patches dropped
        if config.patch_dropout:
            drops = step < config.dropout_until * config.steps
            self.model.visual.patch_dropout.prob = config.patch_dropout if drops else 0.0
        return torch.from_numpy(self.pool.pictures[rows]), self.vocabulary.compact(self.pool.tokens[rows, captions])

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return the loss of a batch; the share of images that find their caption goes into the curve."""
        scale = self.model.logit_scale.exp()
        loss, accuracy = contrastive_loss(*self._features(*batch), scale)
        self.numbers = {"accuracy": accuracy}
        return loss

    @torch.no_grad()
    def adjust(self) -> None:
        """Keep the logit scale within CLIP's bounds."""
        self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        self.numbers["logit_scale"] = self.model.logit_scale.exp().item()

    @torch.no_grad()
    def validation(self) -> dict[str, float]:
        """Text-to-image R@1 over the first images of the pool's held-out part, by their first captions."""
        validation = validation_of(self.pool)
        if validation is None:
            return {}
        self.model.eval()
        n = min(self.config.validation_pictures, len(validation))
        tokens = self.vocabulary.compact(validation.tokens[:n, 0])
        images, texts = self._features(torch.tensor(validation.pictures[:n]), tokens)
        self.model.train()
        ranks = retrieval.ranks(texts.cpu().numpy(), images.cpu().numpy(), np.arange(n))
        return {"validation_r_at_1": retrieval.recall_at(ranks, 1)}

    def export(self, weights: Path, command: str) -> None:
        """Write the weights in float16 under open_clip's names; raises NegutilError as :meth:`write` does.

        Of the token embedding the rows of tokens that occur in the pool are written, with their ids. A table next to
        the weights has the number of times that training meets each of them.
        """
        architecture = self.config.architecture
        state = {name: value.detach().cpu().half().contiguous() for name, value in self.model.state_dict().items()}
        quick = architectures.uses_quick_gelu(architecture)
        metadata = {"architecture": architecture, "activation": "quick_gelu" if quick else "gelu"}
        about = {"command": command, "pool": self.pool.info, "tokens_in_pool": len(self.vocabulary.ids)}
        ids = torch.from_numpy(self.vocabulary.ids).to(torch.int32)
        self.write(weights, state | {text_tower.IDS: ids}, metadata, about)
        files.write_text(weights.with_suffix(".tokens.csv"), self.meetings().to_csv(**CSV))

    def meetings(self) -> pd.DataFrame:
        """Return how often training meets each token, a caption with it counted once: token, text, meetings."""
        ids = [np.unique(caption) for captions in self.pool.tokens for caption in captions]
        counts = np.bincount(np.concatenate(ids), minlength=END_TOKENS[1] + 1)[self.vocabulary.ids]
        draws = self.config.steps * self.config.batch / self.pool.tokens[..., 0].size
        decode = architectures.open_clip().SimpleTokenizer().decode
        said = [decode([token]).strip() for token in self.vocabulary.ids]
        rounded = np.rint(counts * draws).astype(int)
        return pd.DataFrame({"token": self.vocabulary.ids, "text": said, "meetings": rounded})

    def _features(self, pictures: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        device = self.config.device
        pixels = pictures.to(device).permute(0, 3, 1, 2).float().div_(255)
        images = self.model.encode_image((pixels - self._mean) / self._std, normalize=True)
        return images, architectures.encode_text_in_chunks(self.model, tokens.to(device), self.config.text_chunks)


def pretrain(config: PretrainConfig, pool: Pool, out: Path, stop_after: int | None = None) -> Trainer:
    """Train in the folder ``out`` as :meth:`Pretraining.fit` does.

    Raises NegutilError, too, where the pool is too small or has images of another size.
    """
    _check(config, pool)
    with fast_kernels(config.threads, config.matmul_precision, config.device):
        trainer = Trainer(config, pool)
        trainer.fit(out, stop_after)
    return trainer


def corpus_pool(folder: Path, pictures: int = PICTURES, seed: int = 0) -> Pool:
    """Open the pool in ``folder``, or build it from the mini world's corpus where the folder does not exist.

    Raises NegutilError if the pool in the folder is damaged or has not that many images.
    """
    return pool_in(folder, pictures, seed, corpus.pairs, corpus.held_out)


def dose_pool(name: str, folder: Path, pictures: int = PICTURES, seed: int = 0) -> Pool:
    """Open the pool of one of DOSES in ``folder``, or build it from the images of the pool "pool" beside it.

    Raises NegutilError as :func:`corpus_pool` does.
    """
    if folder.exists():
        return open_pool(folder)
    base = corpus_pool(folder.with_name("pool"), pictures, seed)
    return with_texts(base, corpus.texts(pictures, base.tokens.shape[1], seed, DOSES[name]), folder)


def sample_rows(n: int, captions: int, config: PretrainConfig, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and captions of one step (both [B]): each image once an epoch, one of its captions at random."""
    epoch, rows = rows_of(n, config.batch, step, config.seed)
    choice = np.random.default_rng([config.seed, epoch, 1]).integers(captions, size=n)
    return rows, choice[rows]


def compact_model(config: PretrainConfig, vocabulary: Vocabulary) -> Any:
    """Build the architecture, newly initialised, with embeddings for the tokens of ``vocabulary`` alone."""
    settings = architectures.config(config.architecture)
    settings["vision_cfg"] = settings["vision_cfg"] | {"patch_dropout": config.patch_dropout}
    model: Any = architectures.open_clip().CLIP(**settings)
    rows = model.token_embedding.weight[torch.from_numpy(vocabulary.ids)]
    model.token_embedding = torch.nn.Embedding.from_pretrained(rows.detach().clone(), freeze=False)
    return model


def _check(config: PretrainConfig, pool: Pool) -> None:
    if len(pool) < config.batch:
        raise NegutilError(
            f"The pool {pool.folder} has only {len(pool)} images for batches of {config.batch}; enlarge it."
        )
    size = architectures.config(config.architecture)["vision_cfg"]["image_size"]
    if pool.pictures.shape[1:3] != (size, size):
        raise NegutilError(f"The images of {pool.folder} must be {size} x {size} for this model; build it again.")
