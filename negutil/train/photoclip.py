"""PhotoCLIP: a small CLIP for photographs, of two towers that others trained and that are aligned here.

As in LiT (Zhai et al. 2022) the image tower, EfficientNet-Lite2 trained on ImageNet, is frozen, so its features are
computed once. First both projections learn, on frozen features of both towers; then the text tower, MiniLM, learns with
them. The loss is the symmetric InfoNCE on Flickr8k's training captions. The dev part chooses the step whose weights are
kept; the test part is read once, at the end. Photographs are squashed to a square: nothing of a wide one is cut off.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.nn import Identity, functional

from negutil import code, paths
from negutil.data import flickr8k, missing_pictures
from negutil.errors import NegutilError
from negutil.models import architectures, checkpoints, encode, loader, packaged, registry
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles, file_sha256
from negutil.models.text_tower import State
from negutil.tasks import retrieval
from negutil.train.loop import Schedule, cosine, fast_kernels
from negutil.train.losses import MAX_LOGIT_SCALE, contrastive_loss
from negutil.train.pretraining import Pretraining, Settings, changed, optimiser, rows_of

FLOOR = 0.53
"""Recall at 5, text to image, that PhotoCLIP has to reach on Flickr8k's test part."""

LITE2_SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
NOT_USED = ("pooler.dense.weight", "pooler.dense.bias", "embeddings.position_ids")
"""What MiniLM's file has besides: a layer that no sentence goes through, and numbers that transformers makes."""

ENCODED = 500
"""Photographs that are encoded, and cached, together: what an interruption costs at most."""

RECALLS = (1, 5, 10)
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoConfig(Settings):
    """Settings of PhotoCLIP: the projections learn at ``lr`` up to step ``projection_steps``, then all at ``tower_lr``.

    In training each image feature is dropped with the chance ``feature_dropout``, without which 6,000 photographs are
    learned by heart. Texts are encoded in ``text_chunks`` of like length. Of each part only the first ``photographs``
    are used (0: all).
    """

    steps: int = 1196
    batch: int = 256
    lr: float = 1e-3
    projection_steps: int = 920
    tower_lr: float = 1e-4
    warmup: int = 20
    feature_dropout: float = 0.5
    text_chunks: int = 8
    photographs: int = 0
    log_every: int = 23
    validate_every: int = 23
    checkpoint_every: int = 69


RECIPES = {"photoclip": PhotoConfig(), "photoclip-projections": PhotoConfig(steps=920)}
"""In batches of 256 the 6,000 photographs are passed over every 23 steps: 40 times by the projections, 12 by all."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of Flickr8k, N photographs with C captions, as the frozen towers see it.

    ``images`` float32 [N, 1280] and ``texts`` float32 [C, 384] are L2-normalised, which the projections, having no
    bias, do not notice; ``tokens`` int64 [C, L]; captions of photograph i are rows ``first[i]`` to ``first[i + 1]``.
    """

    images: torch.Tensor
    texts: torch.Tensor
    tokens: torch.Tensor
    first: Rows

    @property
    def sha256(self) -> str:
        """Digest of what training sees."""
        tensors = {"images": self.images, "tokens": self.tokens, "first": torch.from_numpy(self.first)}
        return loader.state_sha256(tensors)


class Trainer(Pretraining[tuple[Rows, Rows]]):
    """A PhotoCLIP in training; a batch has the numbers of photographs [B] and of a caption of each [B].

    The image tower's place in ``model`` is empty: it is given features.
    """

    def __init__(self, config: PhotoConfig, train: Part, dev: Part) -> None:
        if len(train.images) < config.batch:
            raise NegutilError(
                f"There are {len(train.images)} photographs to train on, for batches of {config.batch}; run "
                "`negutil data check flickr8k`."
            )
        self.config, self.train, self.dev = config, train, dev
        torch.manual_seed(config.seed)
        self.model = architectures.build("PhotoCLIP")
        self.model.visual.trunk = Identity()
        self.model.text.transformer.load_state_dict(_minilm())
        self.model.to(config.device).train()
        super().__init__(
            config,
            {"model": self.model},
            optimiser(self.model, config),
            loss=self.loss,
            sampler=self.batch,
            schedule=_schedule(config),
            sources={"train": train.sha256, "dev": dev.sha256},
            unit="images",
        )

    def batch(self, step: int) -> tuple[Rows, Rows]:
        """Draw the batch of ``step``, and set from which seed units of the text tower are dropped."""
        epoch, chosen = rows_of(len(self.train.images), self.config.batch, step, self.config.seed)
        torch.manual_seed(self.config.seed * 1_000_003 + step)
        draws = np.random.default_rng([self.config.seed, epoch, 1])
        captions = draws.integers(self.train.first[:-1], self.train.first[1:])
        return chosen, captions[chosen]

    def loss(self, batch: tuple[Rows, Rows]) -> torch.Tensor:
        """Return the loss of a batch; the share of photographs that find their caption goes into the curve."""
        images, captions = batch
        texts = self._texts(self.train, captions, frozen=self.done < self.config.projection_steps)
        features = self._images(self.train, images, self.config.feature_dropout)
        loss, accuracy = contrastive_loss(features, texts, self.model.logit_scale.exp())
        self.numbers = {"accuracy": accuracy}
        return loss

    @torch.no_grad()
    def adjust(self) -> None:
        """Keep the logit scale within CLIP's bounds."""
        self.model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
        self.numbers["logit_scale"] = self.model.logit_scale.exp().item()

    def validation(self) -> dict[str, float]:
        """Return recall on the dev part by the first caption of each photograph, and keep the best weights so far."""
        frozen = self.done <= self.config.projection_steps
        found = self.recall(self.dev, self.dev.first[:-1], np.arange(len(self.dev.images)), frozen)
        score = sum(found.values())
        if score > self.best.get("score", -1.0):
            state = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
            self.best = {"score": score, "step": self.done, "state": state}
        return {f"validation_{name}": value for name, value in found.items()}

    @torch.no_grad()
    def recall(self, part: Part, captions: Rows, photographs: Rows, frozen: bool) -> dict[str, float]:
        """Return recall at RECALLS, text to image, of ``captions`` [C] of ``photographs`` [C] among all of ``part``."""
        self.model.eval()
        chunks = np.array_split(captions, max(1, len(captions) // encode.BATCH))
        texts = torch.cat([self._texts(part, chunk, frozen) for chunk in chunks])
        images = self._images(part, np.arange(len(part.images)))
        self.model.train()
        ranks = retrieval.ranks(texts.cpu().numpy(), images.cpu().numpy(), photographs)
        return {f"recall_at_{k}": retrieval.recall_at(ranks, k) for k in RECALLS}

    def _images(self, part: Part, photographs: Rows, dropout: float = 0.0) -> torch.Tensor:
        features = part.images[torch.from_numpy(photographs)].to(self.config.device)
        features = functional.dropout(features, dropout)
        found: torch.Tensor = self.model.encode_image(features, normalize=True)
        return found

    def _texts(self, part: Part, captions: Rows, frozen: bool) -> torch.Tensor:
        rows = torch.from_numpy(captions)
        if frozen:
            return functional.normalize(self.model.text.proj(part.texts[rows].to(self.config.device)), dim=-1)
        tokens = part.tokens[rows].to(self.config.device)
        return architectures.encode_text_in_chunks(self.model, tokens, self.config.text_chunks)

    def export(self, weights: Path, command: str, test: Part) -> dict[str, float]:
        """Write the weights that the dev part chose, of all towers, and return their recall on ``test``.

        Raises NegutilError as :meth:`write` does.
        """
        self.model.load_state_dict(self.best["state"])
        photographs = np.repeat(np.arange(len(test.images)), np.diff(test.first))
        frozen = self.best["step"] <= self.config.projection_steps
        found = self.recall(test, np.arange(len(photographs)), photographs, frozen)
        whole = architectures.build("PhotoCLIP")
        whole.visual.trunk.load_state_dict(_lite2(whole.visual.trunk.state_dict()))
        whole.load_state_dict(self.best["state"], strict=False)
        state = {name: value.contiguous() for name, value in whole.state_dict().items()}
        about = {"command": command, "step": self.best["step"], "test": found, "photographs": len(self.train.images)}
        self.write(weights, state, {"architecture": "PhotoCLIP", "activation": "gelu"}, about)
        return found


def run(
    name: str,
    *,
    out: Path | None = None,
    weights: Path | None = None,
    steps: int | None = None,
    seed: int | None = None,
    threads: int = 2,
    device: str = "cpu",
    photographs: int = 0,
) -> Path | None:
    """Make the model ``name`` of RECIPES, or resume, and write its weights into the folder ``weights`` (the cache's).

    Of each part the first ``photographs`` are used (0: all). Returns the file of the weights, or None if the
    training was stopped. Raises NegutilError if packages or photographs are missing.
    """
    config = changed(RECIPES[name], steps=steps, seed=seed, threads=threads, device=device)
    if photographs:
        config = dataclasses.replace(config, photographs=photographs, batch=min(config.batch, photographs))
    home = paths.cache() / "pretraining"
    folder = paths.published() / "flickr8k"
    with missing_pictures("drop"):  # a part of the photographs trains a model, too
        splits = [flickr8k.load(folder, split) for split in flickr8k.SPLITS]
    frozen = towers(device)
    train, dev, test = (part(frozen, rows, config.photographs) for rows in splits)
    with fast_kernels(threads, config.matmul_precision, device):
        trainer = Trainer(config, train, dev)
        trainer.fit(out or home / name)
        if trainer.done < trainer.steps:
            return None
        file = (weights or paths.made_weights()) / f"{name}.safetensors"
        found = trainer.export(file, code.command(), test)
    told = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in found.items())
    print(f"Flickr8k's test part, text to image: {told} (floor of recall at 5: {FLOOR}).", file=sys.stderr)
    return file


def towers(device: str = "cpu") -> LoadedModel:
    """Return both towers as their authors trained them, without projections: their features are 1280 and 384 wide."""
    entry = dataclasses.replace(registry.find("photoclip"), name="EfficientNet-Lite2 and MiniLM")
    model = architectures.build_unfilled(entry.architecture)
    model.visual.head, model.text.proj = Identity(), Identity()
    model.visual.trunk.load_state_dict(_lite2(model.visual.trunk.state_dict()))
    model.text.transformer.load_state_dict(_minilm())
    return LoadedModel(
        model=model.to(device).eval(),
        preprocess=loader.preprocessing(entry),
        tokenizer=architectures.tokenizer(entry.architecture),
        entry=entry,
        dtype=torch.float32,
        device=device,
        fingerprint=registry.fingerprint(entry, f"{LITE2_SHA256} {MINILM_SHA256}", LITE2_SHA256),
    )


def part(frozen: LoadedModel, rows: Dataset, photographs: int = 0) -> Part:
    """Return the first ``photographs`` (0: all) of ``rows``, of Flickr8k, as the ``frozen`` towers see them."""
    rows = rows.select(range(min(photographs or len(rows), len(rows))))
    shown, captions = PictureFiles.of(rows).paths, rows["captions"][:]
    parts = [shown[start : start + ENCODED] for start in range(0, len(shown), ENCODED)]
    texts = [text for own in captions for text in own]
    return Part(
        images=torch.from_numpy(np.concatenate([encode.images(frozen, PictureFiles(each)) for each in parts])),
        texts=torch.from_numpy(encode.texts(frozen, texts)),
        tokens=architectures.tokenize(frozen.tokenizer, texts),
        first=np.cumsum([0, *map(len, captions)]),
    )


def _schedule(config: PhotoConfig) -> Schedule:
    """A cosine for the projections, and a new one for all."""
    first = config.projection_steps
    alone = cosine(config.lr, first)
    together = cosine(config.tower_lr, config.steps - first, config.warmup)
    return lambda step: alone(step) if step < first else together(step - first)


def _lite2(wanted: State) -> State:
    """EfficientNet-Lite2's weights under the names of ``wanted``, timm's tf_efficientnet_lite2 without its classifier.

    The package has the same tensors in the same order by other names, and the classifier's in the end.
    """
    theirs = _weights(packaged.lite2(), LITE2_SHA256)
    ours, tensors = ([name for name in names if not name.endswith("num_batches_tracked")] for names in (wanted, theirs))
    return wanted | {name: theirs[tensor] for name, tensor in zip(ours, tensors, strict=False)}


def _minilm() -> State:
    """MiniLM's weights by the names of transformers."""
    state = _weights(packaged.minilm() / "model.safetensors", MINILM_SHA256)
    return {name: value for name, value in state.items() if name not in NOT_USED}


def _weights(file: Path, sha256: str) -> State:
    """The tensors in ``file``; nothing of it is executed. Raises NegutilError if it is another file."""
    actual = file_sha256(file)
    if actual != sha256:
        told = f"{file} has sha256 {actual[:12]}..., where {sha256[:12]}... is expected"
        raise NegutilError(f"{told}; install its package at the version of constraints.txt.")
    return checkpoints.read(file)
