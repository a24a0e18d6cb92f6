"""Features of pictures and texts: each different item is encoded once, and once only per model and data.

Features are L2-normalised float32 rows, so every score of a dual encoder is a matrix product
(docs/protocols.md#scores).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from PIL import Image

from negutil import code, progress
from negutil.cache import Cache
from negutil.errors import NegutilError
from negutil.models import architectures, precision, shared_prefixes
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles, forget_digests
from negutil.models.shared_prefixes import Chunk

BATCH = 256
TOKENISED = 16  # lists of sentences whose tokens are kept, about 3 MB for 5,000 sentences
Pictures = Sequence[Image.Image] | np.ndarray | PictureFiles
_keeps_texts: ContextVar[bool] = ContextVar("keeps_texts", default=True)


def images(
    model: LoadedModel, pictures: Pictures, *, batch: int = BATCH, data_sha256: str = "", cached: bool = True
) -> np.ndarray:
    """Return the features [N, D] (float32, L2-normalised) of ``pictures``: PIL images, or uint8 [N, H, W, 3].

    Cached under the model's image tower and the pictures' contents; files are decoded only where they are encoded.
    ``data_sha256`` may stand for the contents where the caller knows it, so that a warm cache needs no picture at all;
    it must then also cover their order. Raises NegutilError on no pictures, and on features that are not finite, naming
    the picture.
    """
    _require_some(len(pictures), "picture")
    digests = None if data_sha256 else _digests(pictures)
    key = data_sha256 or hashlib.sha256("".join(digests or ()).encode()).hexdigest()

    def compute() -> np.ndarray:
        return _images(model, pictures, batch, digests)

    return _from_cache(_fields(model, "image", key, batch), compute) if cached else compute()


def texts(
    model: LoadedModel, sentences: Sequence[str], *, batch: int = BATCH, cached: bool = True, share: bool = False
) -> np.ndarray:
    """Return the features [T, D] (float32, L2-normalised) of ``sentences``.

    Texts longer than the model's context are cut, as CLIP does. Cached under the model's fingerprint and the texts.
    With ``share`` sentences that begin alike share the work, which is about twice as fast for thousands of them and
    moves the last digit (:mod:`negutil.models.shared_prefixes`); other towers run as ever. Raises NegutilError
    on no texts, on something that is not a text, and on features that are not finite.
    """
    _require_some(len(sentences), "text")
    for number, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise NegutilError(f"Text {number} to encode is {sentence!r}; give only texts.")
    key = hashlib.sha256("".join(f"{len(sentence)}:{sentence}" for sentence in sentences).encode()).hexdigest()

    is_shared = share and shared_prefixes.fits(model.model)

    def compute() -> np.ndarray:
        return _texts(model, sentences, batch, is_shared)

    if not (cached and _keeps_texts.get()):
        return compute()
    fields = _fields(model, "text", key, batch) | ({"prefixes": "shared"} if is_shared else {})
    return _from_cache(fields, compute)


@contextlib.contextmanager
def without_text_cache() -> Iterator[None]:
    """Read and write no text features in this block, for models that are asked once and whose answers are kept.

    A table of a hundred fine-tuned text towers would otherwise leave a gigabyte in the cache.
    """
    token = _keeps_texts.set(False)
    try:
        yield
    finally:
        _keeps_texts.reset(token)


def forget() -> None:
    """Forget the tokens and the digests of files that are kept while a process runs, as a measurement has to."""
    _tokens.cache_clear()
    _plan.cache_clear()
    forget_digests()


def _images(model: LoadedModel, pictures: Pictures, batch: int, digests: list[str] | None = None) -> np.ndarray:
    first, inverse = _unique(digests or _digests(pictures))

    def read(rows: Sequence[int]) -> torch.Tensor:
        return _preprocessed(model, [_as_image(pictures[first[row]]) for row in rows])

    def encode(inputs: torch.Tensor) -> torch.Tensor:
        return model.model.encode_image(inputs.to(model.device, model.dtype), normalize=True)

    features = _in_batches(read, encode, list(range(len(first))), batch, "encoding images")
    _require_finite(features, lambda row: f"Picture {first[row]}", model)
    return features[inverse]


def _preprocessed(model: LoadedModel, pictures: Sequence[Image.Image]) -> torch.Tensor:
    """What ``model.preprocess`` makes of each picture, [N, 3, H, W]; numbers are converted and scaled all at once."""
    from torchvision import transforms  # slow to import

    *steps, to_tensor, normalize = getattr(model.preprocess, "transforms", (None, None, None))
    if not (isinstance(to_tensor, transforms.ToTensor) and isinstance(normalize, transforms.Normalize)):
        return torch.stack([model.preprocess(picture) for picture in pictures])
    ready = (functools.reduce(lambda image, step: step(image), steps, picture) for picture in pictures)
    whole = torch.from_numpy(np.stack([np.asarray(picture) for picture in ready])).permute(0, 3, 1, 2)
    inputs = whole.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    return transforms.functional.normalize(inputs, normalize.mean, normalize.std, inplace=True)


def _texts(model: LoadedModel, sentences: Sequence[str], batch: int, share: bool = False) -> np.ndarray:
    first, inverse = _unique(sentences)
    run = _sharing if share else _sorted
    features = run(model, tuple(sentences[row] for row in first), batch)
    _require_finite(features, lambda row: f"The text '{sentences[first[row]]}'", model)
    return features[inverse]


def _sorted(model: LoadedModel, sentences: tuple[str, ...], batch: int) -> np.ndarray:
    """Features of different sentences, neighbours of like length: a batch is only as long as its longest text."""
    tokens = _tokens(model.tokenizer, sentences)

    def read(rows: Sequence[int]) -> torch.Tensor:
        return tokens[list(rows)].to(model.device)

    def encode(inputs: torch.Tensor) -> torch.Tensor:
        return architectures.encode_text(model.model, inputs)

    by_length = tokens.argmax(dim=-1).argsort(stable=True).tolist()
    encoded = _in_batches(read, encode, by_length, batch, "encoding texts")
    features = np.empty_like(encoded)
    features[by_length] = encoded
    return features


def _sharing(model: LoadedModel, sentences: tuple[str, ...], batch: int) -> np.ndarray:
    """Features of different sentences, those that begin alike sharing the work."""
    chunks = _plan(model.tokenizer, sentences, batch)
    bar = progress.bar("encoding texts, batch", chunks, unit="batch")
    return shared_prefixes.encode(model.model, bar, model.device).numpy()


@functools.lru_cache(maxsize=2)
def _plan(tokenizer: Callable[[list[str]], torch.Tensor], sentences: tuple[str, ...], batch: int) -> list[Chunk]:
    """How sentences share their beginnings; kept, because every model of a table encodes the same sentences."""
    return shared_prefixes.plan(_tokens(tokenizer, sentences), batch)


@functools.lru_cache(maxsize=TOKENISED)
def _tokens(tokenizer: Callable[[list[str]], torch.Tensor], sentences: tuple[str, ...]) -> torch.Tensor:
    """Tokens int64 [T, L]; kept, because every model of a table encodes the same sentences."""
    return architectures.tokenize(tokenizer, sentences)


@torch.inference_mode()
def _in_batches(
    read: Callable[[Sequence[int]], torch.Tensor],
    encode: Callable[[torch.Tensor], torch.Tensor],
    rows: list[int],
    batch: int,
    what: str,
) -> np.ndarray:
    """Features of ``rows``; the next batch is read while one is encoded."""
    chunks = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    parts = []
    with progress.bar(what, total=len(rows), unit="item") as bar, ThreadPoolExecutor(1) as reader:
        ready = reader.submit(read, chunks[0])
        for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
            inputs = ready.result()
            if following is not None:
                ready = reader.submit(read, following)
            parts.append(precision.unit(encode(inputs)).cpu())
            bar.update(len(chunk))
    return torch.cat(parts).numpy()


def _fields(model: LoadedModel, kind: str, data_sha256: str, batch: int) -> dict[str, Any]:
    """What features depend on; the batch and the kind of device are part of it, as both move the last digits.

    Image features depend on the image tower alone: models that differ in their text towers share them.
    """
    made = {
        "kind": f"{kind} features",
        "code_version": code.fingerprint(__name__),
        "data_sha256": data_sha256,
        "batch": batch,
    }
    other = "weights_sha256" if kind == "image" else "image_tower_sha256"
    own = {name: value for name, value in model.fingerprint.items() if name != other}
    return made | {"device": torch.device(model.device).type} | own


def _from_cache(fields: dict[str, Any], compute: Callable[[], np.ndarray]) -> np.ndarray:
    return Cache().get_or_compute(fields, lambda: {"features": compute()})["features"]


def _unique(items: Sequence[str]) -> tuple[list[int], np.ndarray]:
    """Row of the first occurrence of each different item, and for every item the number of its representative."""
    number: dict[str, int] = {}
    first: list[int] = []
    for row, item in enumerate(items):
        if item not in number:
            number[item] = len(first)
            first.append(row)
    return first, np.array([number[item] for item in items])


def _digests(pictures: Pictures) -> list[str]:
    return pictures.digests if isinstance(pictures, PictureFiles) else [_digest(picture) for picture in pictures]


def _digest(picture: Image.Image | np.ndarray) -> str:
    pixels = np.asarray(picture) if isinstance(picture, np.ndarray) else np.asarray(picture.convert("RGB"))
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()


def _as_image(picture: Image.Image | np.ndarray) -> Image.Image:
    return Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture.convert("RGB")


def _require_some(count: int, what: str) -> None:
    if count == 0:
        raise NegutilError(f"There is no {what} to encode; check the data.")


def _require_finite(features: np.ndarray, name: Callable[[int], str], model: LoadedModel) -> None:
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise NegutilError(
            f"{name(int(bad[0]))} gets features that are not finite from '{model.name}'; check its weights."
        )
