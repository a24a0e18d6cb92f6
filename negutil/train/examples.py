"""What a fine-tuning learns from: cached image features and texts, checked, and brought into tensors once."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from negutil.errors import NegutilError
from negutil.models import architectures
from negutil.models.loader import LoadedModel
from negutil.train import tower
from negutil.train.settings import FinetuneConfig

TEXTS = ("captions", "originals", "negatives", "options")
ROWS = ("rows", "distractors", "correct")
NEEDS = {
    "infonce": (),
    "con-clip": ("negatives", "distractors"),
    "negclip": ("negatives",),
    "clip-bnl": ("negatives",),
    "negbench": ("options", "correct"),
}


@dataclass(frozen=True, slots=True)
class Examples:
    """M examples over N images, whose features are rows of ``images``; nothing is decoded in training.

    ``images`` float32 [N, D], L2-normalised, from the frozen image tower; ``rows`` int64 [M], the image of each
    example; ``captions`` [M], the captions that train; ``originals`` [M], affirmative captions to mix in; ``negatives``
    [M], CoN-CLIP's negated captions, NegCLIP's swapped ones or CLIP-bnl's negated queries; ``distractors`` int64 [M],
    images (rows of ``images``): CoN-CLIP's distractors or NegCLIP's hard images; ``options`` [M][K], answers to
    NegBench's question, the right one given by ``correct`` int64 [M]; ``lengths`` float32 [N], the norms that the image
    features had, which NegBench's released code keeps.
    """

    images: NDArray[np.float32]
    rows: NDArray[np.int64]
    captions: list[str]
    originals: list[str] | None = None
    negatives: list[str] | None = None
    distractors: NDArray[np.int64] | None = None
    options: list[list[str]] | None = None
    correct: NDArray[np.int64] | None = None
    lengths: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.rows)

    @property
    def sha256(self) -> str:
        """Digest of everything in here."""
        digest = hashlib.sha256()
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            digest.update(each.name.encode())
            if isinstance(value, np.ndarray):
                digest.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
            elif value is not None:
                digest.update(json.dumps(value).encode())
        return digest.hexdigest()

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> "Examples":
        """The examples at ``indices``, over the same images."""
        chosen = np.asarray(indices, dtype=np.int64)
        taken: dict[str, Any] = {}
        for name in (*TEXTS, *ROWS):
            value = getattr(self, name)
            if value is not None:
                taken[name] = value[chosen] if name in ROWS else [value[index] for index in chosen]
        return dataclasses.replace(self, **taken)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Examples as tensors: ``tokens`` int64 [U, L] of the different texts, numbered by ``ids`` [V] (see ``tower``).

    ``texts`` holds for each kind of text the rows of ``tokens``: [M], and [M, K] for options. ``hard`` [M] is for each
    example the index of one with its hard image.
    """

    images: torch.Tensor
    rows: torch.Tensor
    tokens: torch.Tensor
    ids: torch.Tensor
    texts: dict[str, torch.Tensor] = field(default_factory=dict)
    distractors: torch.Tensor | None = None
    correct: torch.Tensor | None = None
    lengths: torch.Tensor | None = None


def check(examples: Examples, config: FinetuneConfig) -> None:
    """Raise NegutilError, naming the field and the fix, where ``examples`` are not what ``config.method`` needs."""
    for name in NEEDS[config.method] + (("originals",) if config.original_share else ()):
        if getattr(examples, name) is None:
            raise NegutilError(f"The method {config.method} needs `{name}` in its examples; give one for each example.")
    if config.method == "negbench" and not config.normalise_mcq and examples.lengths is None:
        raise NegutilError("normalise_mcq = false needs `lengths`, the norms of the image features; give them.")
    for name in (*TEXTS, *ROWS):
        value = getattr(examples, name)
        if value is not None and len(value) != len(examples):
            raise NegutilError(f"There are {len(examples)} examples but {len(value)} `{name}`; give one for each.")
    images, n = examples.images, len(examples.images)
    choices = len(examples.options[0]) if examples.options else 0
    if images.ndim != 2 or images.dtype != np.float32 or not n:
        raise NegutilError(f"`images` are {images.dtype} {list(images.shape)}; give float32 features [N, D].")
    wrong = np.flatnonzero(~(np.abs(np.linalg.norm(images, axis=1) - 1) < 1e-3))
    if len(wrong):
        raise NegutilError(f"Row {wrong[0]} of `images` is not of length 1; normalise the features.")
    for name, upper in (("rows", n), ("distractors", n), ("correct", choices)):
        values = getattr(examples, name)
        if values is not None and (values.dtype != np.int64 or values.min(initial=0) < 0 or values.max() >= upper):
            raise NegutilError(f"`{name}` must be int64 from 0 to {upper - 1}; correct them.")
    if examples.lengths is not None and examples.lengths.shape != (n,):
        raise NegutilError(f"`lengths` are {list(examples.lengths.shape)} for {n} images; give one for each.")
    for name in TEXTS:
        for index, value in enumerate(getattr(examples, name) or ()):
            texts, wanted = (value, choices) if name == "options" else ([value], 1)
            if len(texts) != wanted or not all(isinstance(text, str) and text.strip() for text in texts):
                fix = f"{choices} texts each" if name == "options" else "a text"
                raise NegutilError(f"Number {index} of `{name}` is {value!r}; give {fix}.")


def prepare(examples: Examples, base: LoadedModel, config: FinetuneConfig) -> Prepared:
    """Check ``examples`` and bring them to the device of ``config``; each different text is tokenised once."""
    check(examples, config)
    wanted = ("captions", *NEEDS[config.method], *(("originals",) if config.original_share else ()))
    used = [name for name in TEXTS if getattr(examples, name) is not None and name in wanted]
    shaped = {name: np.array(getattr(examples, name), dtype=object) for name in used}
    flat = np.concatenate([texts.ravel() for texts in shaped.values()])
    number, different = pd.factorize(flat)
    tokens = architectures.tokenize(base.tokenizer, different.tolist())
    tokens = tokens[:, : int(architectures.text_lengths(base.model, tokens).max())]
    ids = tower.occurring(tokens, architectures.special_tokens(base.model))
    parts = np.split(number, np.cumsum([texts.size for texts in shaped.values()])[:-1])

    def tensor(array: NDArray[Any] | None) -> torch.Tensor | None:
        return None if array is None else torch.from_numpy(np.ascontiguousarray(array)).to(config.device)

    return Prepared(
        images=torch.from_numpy(examples.images).to(config.device),
        rows=torch.from_numpy(examples.rows).to(config.device),
        tokens=tower.compact(tokens, ids).to(config.device),
        ids=ids,
        texts={
            name: torch.from_numpy(part.reshape(shaped[name].shape)).to(config.device)
            for name, part in zip(used, parts, strict=True)
        },
        distractors=tensor(examples.distractors),
        correct=tensor(examples.correct),
        lengths=tensor(examples.lengths),
    )


def split(examples: Examples, config: FinetuneConfig) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the training and of the validation part, drawn by the seed.

    By image, no image is in both parts; by caption, as in NegationCLIP's released code, one can be
    (docs/protocols.md#negationclip-training). Raises NegutilError if a part would be empty, or the training part has
    not one batch.
    """
    units = examples.rows if config.validation_by == "image" else np.arange(len(examples))
    train, validation = parts(units, config.validation_share, config.seed)
    if len(train) < config.batch or (config.validation_share and not len(validation)):
        raise NegutilError(
            f"{len(examples)} examples leave {len(train)} to train and {len(validation)} to validate, too few for "
            f"batches of {config.batch}; give more examples, or lower `batch` or change `validation_share`."
        )
    return train, validation


def parts(units: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices that train and those that validate, the latter a ``share`` of the different ``units`` [M]."""
    different = np.random.default_rng([seed, 0]).permutation(np.unique(units))
    held_out = np.isin(units, different[: round(share * len(different))])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def hard_examples(examples: Examples, part: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return for each example of ``part`` the index of an example of ``part`` that has its hard image (NegCLIP).

    Where the hard image has several, one is drawn; where it has none in this part, any other example is used.
    """
    rng = np.random.default_rng([seed, 1])
    shuffled = rng.permutation(part)
    shuffled = shuffled[np.argsort(examples.rows[shuffled], kind="stable")]
    pictures = examples.rows[shuffled]
    wanted = np.asarray(examples.distractors)[part]
    place = np.minimum(np.searchsorted(pictures, wanted), len(part) - 1)
    return np.where(pictures[place] == wanted, shuffled[place], rng.permutation(part))
