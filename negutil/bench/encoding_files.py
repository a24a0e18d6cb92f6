"""What ``negutil encode`` reads and writes: which pictures or captions a shard holds, and the bytes of its features."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from negutil import files
from negutil.captions import caption_files
from negutil.data.folders import SUFFIXES
from negutil.errors import NegutilError

FORMATS = ("safetensors", "parquet")
STORED = ("float32", "float16")
KINDS = ("images", "captions")
LEFTOVERS = ("[0-9]" * 5 + ".json", *("[0-9]" * 5 + f".{each}" for each in FORMATS), "plan.json", "manifest.json")


@dataclass(frozen=True)
class Part:
    """The inputs of one shard, in plain values.

    Attributes:
        number: of the shard, from 0.
        kind: "images" (``files`` below the folder ``root``) or "captions" (``rows`` of the file ``root`` from the row
            ``first`` on, in ``column``).
    """

    number: int
    kind: str
    root: str
    files: Sequence[str] = ()
    column: str | None = None
    first: int = 0
    rows: int = 0

    def items(self) -> Any:
        """The pictures, none of them opened, or the captions; a null caption is encoded as an empty one."""
        return self._pictures if self.kind == "images" else [text or "" for text in self._captions]

    def inputs(self) -> dict[str, Any]:
        """What the inputs are, with the sha256 of their contents."""
        if self.kind == "images":
            digest = hashlib.sha256("".join(self._pictures.digests).encode()).hexdigest()
            return {"kind": self.kind, "pictures": len(self.files), "sha256": digest}
        texts = self._captions
        told = "".join("-:" if text is None else f"{len(text)}:{text}" for text in texts)
        place = {"file": Path(self.root).name, "column": self.column, "first": self.first}
        return {"kind": self.kind, **place, "null": texts.count(None), "sha256": _sha256(told)}

    def names(self) -> dict[str, Any]:
        """The names of the rows, where they are more than numbers: the pictures' paths below their folder."""
        return {"names": list(self.files)} if self.kind == "images" else {}

    def keys(self) -> list[Any]:
        """One key for each row: the picture's path, or the number of the caption's row in its file."""
        return list(self.files) if self.kind == "images" else list(range(self.first, self.first + self.rows))

    @cached_property
    def _pictures(self) -> Any:
        from negutil.models.pictures import PictureFiles

        return PictureFiles([f"{self.root}/{file}" for file in self.files])

    @cached_property
    def _captions(self) -> list[str | None]:
        frame = caption_files.scan(Path(self.root), self.column)
        with caption_files.reading(Path(self.root)):
            found: list[str | None] = frame.slice(self.first, self.rows).collect().to_series().to_list()
        if len(found) != self.rows:
            raise NegutilError(f"{self.root} has changed while it was encoded: start again when it is whole.")
        return found


def plan(given: Sequence[str | Path], kind: str, column: str | None, size: int) -> list[Part]:
    """The inputs that ``given`` names as parts of at most ``size``; ``kind`` "" finds out what they are.

    Raises NegutilError where nothing is there, it could be either, or a table cannot be read.
    """
    if size < 1:
        raise NegutilError(f"--shard-size is {size}: give a number above 0.")
    kind = kind or _kind(given)
    if kind not in KINDS:
        raise NegutilError(f"There is no kind of input '{kind}': choose one of {', '.join(KINDS)}.")
    parts = _image_parts(given, size) if kind == "images" else _caption_parts(given, column, size)
    return [Part(number, **part) for number, part in enumerate(parts)]


def told(parts: Sequence[Part]) -> dict[str, Any]:
    """The inputs of all parts for a plan: their kind, number and names, without the folders of this machine."""
    names = [f"{Path(part.root).name} {part.column} {part.first} {part.rows} {list(part.files)}" for part in parts]
    count = sum(part.rows or len(part.files) for part in parts)
    return {"kind": parts[0].kind, "count": count, "sha256": _sha256("\n".join(names))}


def payload(features: np.ndarray, part: Part, kind: str, store: str) -> bytes:
    """The bytes of a shard's file: "features" [N, D]; parquet has the "key" of each row beside them."""
    stored = np.ascontiguousarray(features.astype(store))
    if kind == "safetensors":
        from safetensors.numpy import save

        return bytes(save({"features": stored}))
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.FixedSizeListArray.from_arrays(pa.array(stored.ravel()), stored.shape[1])
    buffer = io.BytesIO()
    pq.write_table(pa.table({"key": part.keys(), "features": rows}), buffer, compression="zstd")
    return buffer.getvalue()


def clear(out: Path) -> None:
    """Delete the files of an earlier run from ``out``, and nothing else."""
    for pattern in LEFTOVERS:
        for file in out.glob(pattern):
            file.unlink()


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with ``count`` threads in this block, since their number may move the last digit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _kind(given: Sequence[str | Path]) -> str:
    """What the inputs are: a folder with pictures, or anything that captions are kept in."""
    folders = [Path(path).expanduser() for path in given if Path(path).expanduser().is_dir()]
    names = [name.lower() for folder in folders for _, _, below in os.walk(folder) for name in below]
    has_pictures = any(name.endswith(SUFFIXES) for name in names)
    if has_pictures and any(name.endswith((".parquet", ".csv", ".tsv")) for name in names):
        raise NegutilError(f"{folders[0]} holds pictures and tables: say with --kind images or captions what is meant.")
    return "images" if has_pictures else "captions"


def _image_parts(given: Sequence[str | Path], size: int) -> Iterable[dict[str, Any]]:
    for path in given:
        root = Path(path).expanduser().resolve()
        if not root.is_dir():
            raise NegutilError(f"{path} is no folder: name the folder that holds the pictures.")
        found = sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if _is_picture(file))
        if not found:
            raise NegutilError(f"{path} holds no picture ({', '.join(SUFFIXES)}): name the folder with the pictures.")
        files.check_names(found)
        for first in range(0, len(found), size):
            yield {"kind": "images", "root": str(root), "files": found[first : first + size]}


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and file.is_file()


def _caption_parts(given: Sequence[str | Path], column: str | None, size: int) -> Iterable[dict[str, Any]]:
    files = caption_files.find(given)
    counts = [_count(file, column) for file in files]
    if not sum(counts):
        raise NegutilError(f"{files[0]}: there is no row in it: name a file with captions.")
    for file, count in zip(files, counts, strict=True):
        for first in range(0, count, size):
            place = {"root": str(file.resolve()), "column": column, "first": first}
            yield {"kind": "captions", **place, "rows": min(size, count - first)}


def _count(file: Path, column: str | None) -> int:
    frame = caption_files.scan(file, column)
    with caption_files.reading(file):
        return int(frame.select(pl.len()).collect(engine="streaming").item())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
