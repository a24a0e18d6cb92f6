"""A pool of images with tokenised captions on disk, from which pretraining draws its batches.

A pool is a folder with ``pictures.npy`` (uint8 [N, H, W, 3]), ``tokens.npy`` (int32 [N, C, L], C captions of each
image as ids of CLIP's tokenizer, padded with 0 to the longest) and ``pool.json`` (counts, sha256, versions). An
optional sub-folder ``validation`` is a pool itself. Both arrays are memory-mapped when they are read.
"""

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import negutil
from negutil import files, progress
from negutil.errors import NegutilError
from negutil.models import architectures

VALIDATION = "validation"
CAPTIONS = 4
VALIDATION_PICTURES = 1000
Item = Sequence[Any]  # image uint8 [H, W, 3], captions (a sequence of str), and anything else, which is left alone


@dataclass(frozen=True, slots=True)
class Pool:
    """An opened pool: ``pictures`` uint8 [N, H, W, 3], ``tokens`` int32 [N, C, L], ``info`` as in ``pool.json``."""

    folder: Path
    pictures: np.ndarray
    tokens: np.ndarray
    info: dict[str, str | int]

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def fingerprint(self) -> str:
        """sha256 over the contents of both arrays, as noted when the pool was built."""
        return f"{self.info['pictures_sha256']}:{self.info['tokens_sha256']}"


def pool_in(
    folder: Path,
    pictures: int,
    seed: int,
    pairs: Callable[[int, int, int], Iterable[Item]],
    held_out: Callable[[int, int], Iterable[Item]],
) -> Pool:
    """Open the pool in ``folder``, or build it where the folder does not exist.

    ``pairs`` draws a number of images with a number of captions each from a seed, ``held_out`` images with one
    caption. Raises NegutilError if the pool in the folder is damaged or has not that many ``pictures``.
    """
    if not folder.exists():
        count = min(VALIDATION_PICTURES, pictures)
        validation = held_out(count, seed), count
        return build_pool(pairs(pictures, CAPTIONS, seed), folder, pictures, CAPTIONS, seed=seed, validation=validation)
    found = open_pool(folder)
    if len(found) != pictures:
        raise NegutilError(f"The pool {folder} has {len(found)} images instead of {pictures}; choose another folder.")
    return found


def build_pool(
    items: Iterable[Item],
    folder: Path,
    n: int,
    captions_per_picture: int,
    *,
    seed: int = 0,
    validation: tuple[Iterable[Item], int] | None = None,
) -> Pool:
    """Write the first ``n`` of ``items`` (image uint8 [H, W, 3], captions) as a pool and open it.

    Of each item's captions the first ``captions_per_picture`` are kept; where there are fewer, they are repeated.
    ``seed`` is only noted. ``validation`` (items, number) becomes the validation part, one caption each.
    The folder appears under its name when it is complete.
    Raises NegutilError if the folder exists, an item has no caption, or there are fewer than ``n`` items.
    """
    if folder.exists():
        raise NegutilError(f"The folder {folder} exists already; delete it or choose another for the pool.")
    part = folder.with_name(f"{folder.name}.part{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write(items, part, n, captions_per_picture, seed)
        if validation is not None:
            (part / VALIDATION).mkdir()
            _write(validation[0], part / VALIDATION, validation[1], 1, seed)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_pool(folder)


def open_pool(folder: Path) -> Pool:
    """Open the pool in ``folder`` (arrays memory-mapped, read-only) and check that its parts fit together.

    Raises NegutilError if a file is missing or damaged or shapes or types do not fit.
    """
    info_file = folder / "pool.json"
    try:
        info = json.loads(info_file.read_text(encoding="utf-8"))
        pictures, tokens = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("pictures", "tokens"))
    except (OSError, ValueError, EOFError) as error:
        raise NegutilError(f"The pool {folder} cannot be read ({error}); build it again.") from error
    _check(folder, pictures, tokens, info)
    return Pool(folder, pictures, tokens, info)


def validation_of(pool: Pool) -> Pool | None:
    """Open the pool's validation part, or return None if it has none."""
    folder = pool.folder / VALIDATION
    return open_pool(folder) if folder.exists() else None


def with_texts(pool: Pool, texts: Iterable[Sequence[str]], folder: Path) -> Pool:
    """Write and open a pool with the images of ``pool`` (the same files, linked) and other ``texts`` of each.

    Raises NegutilError if the folder exists.
    """
    if folder.exists():
        raise NegutilError(f"The folder {folder} exists already; delete it or choose another for the pool.")
    part = folder.with_name(f"{folder.name}.part{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(pool.folder, part, copy_function=_link)
    try:
        encode, _ = _encoder()
        shown = progress.bar("writing captions", texts, total=len(pool))
        tokens = np.stack([np.stack([encode(text) for text in each]) for each in shown])
        for name in ("tokens.npy", "pool.json"):  # not through the links
            (part / name).unlink()
        np.save(part / "tokens.npy", tokens[:, :, : int(tokens.argmax(axis=-1).max()) + 1])
        info = pool.info | {"tokens_sha256": files.sha256(part / "tokens.npy")}
        (part / "pool.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return open_pool(folder)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _encoder() -> tuple[Callable[[str], np.ndarray], int]:
    """What makes int32 [L] of a text, remembering captions, which repeat a good deal; and L."""
    tokenizer = architectures.open_clip().SimpleTokenizer()
    return functools.cache(lambda text: tokenizer([text])[0].numpy().astype(np.int32)), tokenizer.context_length


def _write(items: Iterable[Item], folder: Path, n: int, captions_per_picture: int, seed: int) -> None:
    ids, length = _encoder()
    pictures: np.memmap | None = None
    tokens = np.zeros((n, captions_per_picture, length), np.int32)
    count = 0
    bar = progress.bar("drawing images", total=n, unit="image")
    for picture, captions, *_ in items:
        if pictures is None:
            pictures = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, (n, *picture.shape))
        if not captions:
            raise NegutilError(f"Item {count} for the pool {folder.stem} has no caption; each image needs one.")
        pictures[count] = picture
        tokens[count] = [ids(captions[i % len(captions)]) for i in range(captions_per_picture)]
        count += 1
        bar.update()
        if count == n:
            break
    bar.close()
    if pictures is None or count < n:
        raise NegutilError(f"Only {count} of {n} items came for the pool {folder.stem}; ask for fewer.")
    pictures.flush()
    np.save(folder / "tokens.npy", tokens[:, :, : int(tokens.argmax(axis=-1).max()) + 1])
    info = {
        "pictures": n,
        "captions_per_picture": captions_per_picture,
        "seed": seed,
        "pictures_sha256": files.sha256(folder / "pictures.npy"),
        "tokens_sha256": files.sha256(folder / "tokens.npy"),
        "code_version": negutil.__version__,
    }
    (folder / "pool.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def _check(folder: Path, pictures: np.ndarray, tokens: np.ndarray, info: dict[str, str | int]) -> None:
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise NegutilError(f"{folder / 'pictures.npy'} must be uint8 [N, H, W, 3]; build the pool again.")
    if tokens.dtype != np.int32 or tokens.ndim != 3 or len(tokens) != len(pictures):
        raise NegutilError(f"{folder / 'tokens.npy'} must be int32 [{len(pictures)}, C, L]; build the pool again.")
    if not {"pictures_sha256", "tokens_sha256"} <= info.keys() or info.get("pictures") != len(pictures):
        raise NegutilError(f"{folder / 'pool.json'} does not describe the arrays beside it; build the pool again.")
