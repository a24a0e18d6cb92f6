"""Features of images, clips and texts: each distinct item is encoded only once per model and data.

Features are L2-normalised float32 rows, so every score of a dual encoder is a matrix product
(docs/protocols.md#scores).
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from negutil import code, files, progress
from negutil.cache import Cache
from negutil.data import msrvtt
from negutil.errors import NegutilError
from negutil.models import architectures, precision, text_tower
from negutil.models.architectures import TextKind
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles, as_rgb, forget_digests
from negutil.models.text_tower import Chunk

BATCH = 256
FRAMES = 4  # of a clip
TOKENISED = 16  # lists of sentences whose tokens are kept, about 3 MB for 5,000 sentences
Pictures = Sequence[Image.Image] | np.ndarray | PictureFiles
_keeps_texts: ContextVar[bool] = ContextVar("keeps_texts", default=True)


def images(
    model: LoadedModel, pictures: Pictures, *, batch: int = BATCH, data_sha256: str = "", cached: bool = True
) -> np.ndarray:
    """Return the features [N, D] (float32, L2-normalised) of ``pictures``: PIL images, or uint8 [N, H, W, 3].

    Cached under the model's image tower and the images' contents; files are decoded only when they are encoded.
    A caller who knows the ``data_sha256`` of the contents may pass it, so that a warm cache needs no image at all; it
    must also cover their order. Raises NegutilError if there are no images, and names the image if its features are
    not finite.
    """
    if len(pictures) == 0:
        raise NegutilError("There is no image to encode; check the data.")
    digests = None if data_sha256 else _digests(pictures)

    def compute() -> np.ndarray:
        inverse, _ = pd.factorize(np.array(digests or _digests(pictures), dtype=object))
        first = np.unique(inverse, return_index=True)[1].tolist()

        def read(rows: Sequence[int]) -> torch.Tensor:
            return _preprocessed(model, [pictures[first[row]] for row in rows])

        def encode(inputs: torch.Tensor) -> torch.Tensor:
            parts = inputs.split(architectures.images_at_once(model.model, model.device) or len(inputs))
            placed = (part.to(model.device, model.dtype) for part in parts)
            return torch.cat([model.model.encode_image(part, normalize=True) for part in placed])

        features = _in_batches(read, encode, list(range(len(first))), batch, "encoding images")
        _require_finite(features, lambda row: f"Image {first[row]}", model)
        return features[inverse]

    key = data_sha256 or hashlib.sha256("".join(digests or ()).encode()).hexdigest()
    return _from_cache(model, "image", key, batch, compute) if cached else compute()


def clips(model: LoadedModel, paths: Sequence[Path | str], *, batch: int = BATCH, cached: bool = True) -> np.ndarray:
    """Return one feature per clip [N, D] (float32, L2-normalised): the mean of its frames' normalised features.

    The FRAMES frames are those of ``msrvtt.frames`` (docs/protocols.md#video); all frames of all clips go through
    the model together. Cached as images are, under the contents of the files, so that a warm cache decodes nothing.
    Raises NegutilError on no clips, on a clip that does not decode (naming the file; it never counts as zeros), and on
    frames whose features cancel out.
    """
    if not paths:
        raise NegutilError("There is no clip to encode; check the data.")
    digests = [files.sha256(Path(path)) for path in paths]
    sha256 = hashlib.sha256(f"{FRAMES} frames of {''.join(digests)}".encode()).hexdigest()
    each = images(model, ClipFrames(paths), batch=batch, data_sha256=sha256, cached=cached)
    means = each.reshape(len(paths), FRAMES, -1).mean(axis=1)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    if not lengths.all():
        path = paths[int(lengths.argmin())]
        raise NegutilError(f"{path}: the features of its frames cancel out; check the model '{model.name}'.")
    return (means / lengths).astype(np.float32)


class ClipFrames(Sequence[Image.Image]):
    """The FRAMES frames of all clips in a row, decoded when the first is needed."""

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths) * FRAMES

    def __getitem__(self, index: Any) -> Any:
        return self._decoded[index]

    @functools.cached_property
    def _decoded(self) -> list[Image.Image]:
        bar = progress.bar("reading clips", self._paths, unit="clip")
        return [Image.fromarray(frame) for path in bar for frame in msrvtt.frames(path, FRAMES)]


def texts(
    model: LoadedModel, sentences: Sequence[str], *, batch: int = BATCH, cached: bool = True, share: bool = False
) -> np.ndarray:
    """Return the features [T, D] (float32, L2-normalised) of ``sentences``.

    Texts longer than the model's context are cut, as CLIP does. Cached under the model's fingerprint and the texts.
    With ``share`` sentences with a common beginning share the computation, which is about twice as fast for thousands
    of them and changes the last digit (``text_tower``); other towers are not affected. Raises NegutilError if there are
    no texts, for anything that is not a text, and for features that are not finite.
    """
    if not len(sentences):
        raise NegutilError("There is no text to encode; check the data.")
    for number, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise NegutilError(f"Text {number} to encode is {sentence!r}; give only texts.")
    is_shared = share and architectures.text_kind(model.model) is TextKind.CAUSAL
    if not (cached and _keeps_texts.get()):
        return _texts(model, sentences, batch, is_shared)
    key = hashlib.sha256("".join(f"{len(sentence)}:{sentence}" for sentence in sentences).encode()).hexdigest()
    extra = {"prefixes": "shared"} if is_shared else {}
    return _from_cache(model, "text", key, batch, lambda: _texts(model, sentences, batch, is_shared), **extra)


@contextlib.contextmanager
def without_text_cache() -> Iterator[None]:
    """Read and write no text features in this block, for models that are evaluated once and whose answers are kept.

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


def _preprocessed(model: LoadedModel, pictures: Sequence[Image.Image | np.ndarray]) -> torch.Tensor:
    """The images after ``model.preprocess``, [N, 3, H, W]; numbers are converted and scaled all at once."""
    from torchvision import transforms  # slow to import

    rgb = (Image.fromarray(each) if isinstance(each, np.ndarray) else as_rgb(each) for each in pictures)
    *steps, to_tensor, normalize = getattr(model.preprocess, "transforms", (None, None, None))
    if not (isinstance(to_tensor, transforms.ToTensor) and isinstance(normalize, transforms.Normalize)):
        return torch.stack([model.preprocess(picture) for picture in rgb])
    ready = (functools.reduce(lambda image, step: step(image), steps, picture) for picture in rgb)
    whole = torch.from_numpy(np.stack([np.asarray(picture) for picture in ready])).permute(0, 3, 1, 2)
    inputs = whole.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    return transforms.functional.normalize(inputs, normalize.mean, normalize.std, inplace=True)


def _texts(model: LoadedModel, sentences: Sequence[str], batch: int, share: bool = False) -> np.ndarray:
    inverse, unique = pd.factorize(np.array(sentences, dtype=object))
    different = tuple(unique)
    if share:
        bar = progress.bar("encoding texts, batch", _plan(model.tokenizer, different, batch), unit="batch")
        features = text_tower.encode(model.model, bar, model.device).numpy()
    else:
        tokens = _tokens(model.tokenizer, different)

        def read(rows: Sequence[int]) -> torch.Tensor:
            return tokens[list(rows)].to(model.device)

        def encode(inputs: torch.Tensor) -> torch.Tensor:
            return architectures.encode_text(model.model, inputs)

        # Neighbours of like length: a batch is only as long as its longest text.
        by_length = architectures.text_lengths(model.model, tokens).argsort(stable=True).tolist()
        encoded = _in_batches(read, encode, by_length, batch, "encoding texts")
        features = np.empty_like(encoded)
        features[by_length] = encoded
    _require_finite(features, lambda row: f"The text '{different[row]}'", model)
    return features[inverse]


@functools.lru_cache(maxsize=2)
def _plan(tokenizer: Callable[[list[str]], torch.Tensor], sentences: tuple[str, ...], batch: int) -> list[Chunk]:
    """How sentences share their beginnings; kept, because every model of a table encodes the same sentences."""
    return text_tower.plan(_tokens(tokenizer, sentences), batch)


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


def _from_cache(
    model: LoadedModel, kind: str, data_sha256: str, batch: int, compute: Callable[[], np.ndarray], **extra: str
) -> np.ndarray:
    """Features by what they depend on; batch and kind of device are part of it, because both change the last digits.

    Image features depend only on the image tower: models that differ in their text towers share them.
    """
    fields = {
        "kind": f"{kind} features",
        "code_version": code.fingerprint(__name__),
        "data_sha256": data_sha256,
        "batch": batch,
        "device": torch.device(model.device).type,
    }
    other = "weights_sha256" if kind == "image" else "image_tower_sha256"
    made_by = {name: value for name, value in model.fingerprint.items() if name != other}
    return Cache().get_or_compute(fields | made_by | extra, lambda: {"features": compute()})["features"]


def _digests(pictures: Pictures) -> list[str]:
    if isinstance(pictures, PictureFiles):
        return pictures.digests
    arrays = (np.asarray(each if isinstance(each, np.ndarray) else as_rgb(each)) for each in pictures)
    return [hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest() for pixels in arrays]


def _require_finite(features: np.ndarray, name: Callable[[int], str], model: LoadedModel) -> None:
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise NegutilError(
            f"{name(int(bad[0]))} gets features that are not finite from '{model.name}'; check its weights."
        )
