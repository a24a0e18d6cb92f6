"""Features of a folder of images, or of captions on disk, as shards of files with a manifest: ``negutil encode``.

A shard is a fixed part of the inputs, encoded separately, so that every worker produces the same bytes: this process or
a worker of Ray (``negutil.data.engines``). Its features, NNNNN.safetensors or NNNNN.parquet, have a sidecar NNNNN.json,
written last: what the features are of and were made with, and their sha256. A shard whose sidecar is still true is
kept, so a run that was stopped resumes with the first shard that is missing. manifest.json comes when all are there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from negutil import __version__, files
from negutil.cache import canonical
from negutil.captions import caption_files
from negutil.data import engines
from negutil.data.engines import LOCAL, Engine, Result, Shard
from negutil.data.folders import SUFFIXES, below, is_picture
from negutil.errors import NegutilError

if TYPE_CHECKING:
    from negutil.models.loader import LoadedModel
    from negutil.models.pictures import PictureFiles

CODE_VERSION = "1"
PLAN, MANIFEST = "plan.json", "manifest.json"
FORMATS = ("safetensors", "parquet")
STORED = ("float32", "float16")
KINDS = ("images", "captions")
ON_ERROR = ("stop", "skip")
"""What happens at an image that cannot be read."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the bytes of the features depend on, beside the inputs.

    Attributes:
        model: name in the registry, of a fine-tuned model, or an architecture of open_clip.
        pretrained: weights for an architecture (a tag or a file); "" for those that belong to the name.
        activation: with which the weights of a file were trained, where the file does not say.
        device, dtype: what the model computes with ("cpu", "cuda"; "float32", "bfloat16", "float16").
        batch: images or texts at a time; it moves the last digit, as the number of ``threads`` may.
        threads: of one worker on the CPU.
        format: "safetensors" or "parquet"; store: "float32" or "float16", the numbers in the files.
    """

    model: str
    pretrained: str = ""
    activation: str = ""
    device: str = "cpu"
    dtype: str = "float32"
    batch: int = 256
    threads: int = 1
    format: str = "safetensors"
    store: str = "float32"
    on_error: str = "stop"

    def __post_init__(self) -> None:
        for name, known in (("format", FORMATS), ("store", STORED), ("on_error", ON_ERROR)):
            if getattr(self, name) not in known:
                raise NegutilError(f"There is no {name} '{getattr(self, name)}': choose one of {', '.join(known)}.")
        if min(self.batch, self.threads) < 1:
            raise NegutilError(f"batch is {self.batch} and threads {self.threads}: give numbers above 0.")


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

    @cached_property
    def pictures(self) -> PictureFiles:
        """The images, none of them opened."""
        from negutil.models.pictures import PictureFiles

        return PictureFiles([f"{self.root}/{file}" for file in self.files])

    @cached_property
    def captions(self) -> list[str | None]:
        """The captions; raises NegutilError if the file has other rows than when it was planned."""
        frame = caption_files.scan(Path(self.root), self.column)
        with caption_files.reading(Path(self.root)):
            texts: list[str | None] = frame.slice(self.first, self.rows).collect().to_series().to_list()
        if len(texts) != self.rows:
            raise NegutilError(f"{self.root} changed during encoding: start again when it is complete.")
        return texts

    def readable(self) -> tuple[Part, dict[str, str]]:
        """The part with the images that can be read, and why each of the others cannot.

        Raises NegutilError if none can.
        """
        left_out = {}
        for row, file in enumerate(self.files):
            try:
                self.pictures[row]
            except NegutilError as problem:
                left_out[file] = str(problem)
        kept = [file for file in self.files if file not in left_out]
        if not kept:
            raise NegutilError(f"{self.root}: none of {len(self.files)} images can be read: {left_out[self.files[0]]}")
        return replace(self, files=kept), left_out

    def inputs(self) -> dict[str, Any]:
        """What the inputs are, with the sha256 of their contents."""
        if self.kind == "images":
            return {
                "kind": self.kind,
                "pictures": len(self.files),
                "sha256": files.text_sha256("".join(self.pictures.digests)),
            }
        content = "".join("-:" if text is None else f"{len(text)}:{text}" for text in self.captions)
        place = {"file": Path(self.root).name, "column": self.column, "first": self.first}
        return {"kind": self.kind, **place, "null": self.captions.count(None), "sha256": files.text_sha256(content)}

    def keys(self) -> list[Any]:
        """One key for each row: the image's path below its folder, or the number of the caption's row in its file."""
        return list(self.files) if self.kind == "images" else list(range(self.first, self.first + self.rows))


class ShardEncoder:
    """Encodes one shard after another into the folder ``out``: the work of either engine."""

    def __init__(self, out: str, settings: Settings) -> None:
        self._out, self._settings = Path(out), settings

    @cached_property
    def _model(self) -> LoadedModel:
        from negutil.bench import model as bench_model

        given = self._settings
        return bench_model.load(
            given.model, given.pretrained, activation=given.activation, device=given.device, dtype=given.dtype
        )

    def __call__(self, shard: Shard) -> Result:
        """The sidecar of the shard, without the names of its rows, and whether it was there already."""
        part = Part(**shard)
        made_with = asdict(self._settings) | {"code_version": CODE_VERSION, "fingerprint": self._model.fingerprint}
        key = files.text_sha256(canonical({"made_with": made_with, "inputs": part.inputs()}))
        sidecar = self._out / f"{part.number:05d}.json"
        try:  # what an earlier run left, where it is of this key and its features are whole
            found = json.loads(sidecar.read_text(encoding="utf-8"))
            payload_sha256 = files.sha256(sidecar.with_name(Path(found["file"]).name))
            kept = found if (found["key"], found["sha256"]) == (key, payload_sha256) else None
        except (OSError, ValueError, KeyError, TypeError, NegutilError):
            kept = None
        record = kept or self._encode(part, key)
        if not kept:
            files.write_text(sidecar, json.dumps(record, indent=1, sort_keys=True) + "\n")
        unnamed = {name: value for name, value in record.items() if name != "names"}
        return {"record": unnamed, "fingerprint": self._model.fingerprint, "was_there": kept is not None}

    def _encode(self, part: Part, key: str) -> dict[str, Any]:
        import torch

        from negutil.models import encode

        given, threads, inputs = self._settings, torch.get_num_threads(), part.inputs()
        left_out: dict[str, str] = {}
        torch.set_num_threads(given.threads)  # their number may move the last digit
        try:
            if part.kind == "images":
                part, left_out = (part, {}) if given.on_error == "stop" else part.readable()
                features = encode.images(self._model, part.pictures, batch=given.batch, cached=False)
            else:  # a null caption is encoded as an empty one
                texts = [text or "" for text in part.captions]
                features = encode.texts(self._model, texts, batch=given.batch, cached=False)
        finally:
            torch.set_num_threads(threads)
        file = self._out / f"{part.number:05d}.{given.format}"
        content = payload(features, part, given.format, given.store)
        files.write_bytes(file, content)
        record: dict[str, Any] = {"key": key, "file": file.name, "sha256": hashlib.sha256(content).hexdigest()}
        record |= {"rows": len(features), "width": int(features.shape[1]), "inputs": inputs}
        record |= {"left_out": left_out} if left_out else {}
        return record | ({"names": part.keys()} if part.kind == "images" else {})


def run(
    given: Sequence[str | Path],
    out: Path,
    settings: Settings,
    *,
    kind: str = "",
    column: str | None = None,
    shard_size: int = 10_000,
    fresh: bool = False,
    engine: Engine = LOCAL,
) -> dict[str, Any]:
    """Encode the images or captions that ``given`` names into the folder ``out``; the manifest, and what was kept.

    Raises NegutilError if there is nothing to encode, ``out`` holds features of something else (``fresh`` begins
    again), an image or table cannot be read, the model cannot be loaded, or the engine cannot be used.
    """
    shards = plan(given, kind, column, shard_size)
    # The inputs without the folders of this machine.
    names = [f"{Path(part.root).name} {part.column} {part.first} {part.rows} {list(part.files)}" for part in shards]
    inputs = {"kind": shards[0].kind, "count": sum(part.rows or len(part.files) for part in shards)}
    inputs |= {"sha256": files.text_sha256("\n".join(names))}
    planned = {"settings": asdict(settings), "inputs": inputs, "shards": len(shards)}
    _claim(out, planned, fresh)
    done = engines.each(
        engine,
        ShardEncoder,
        {"out": str(out.resolve()), "settings": settings},
        [asdict(shard) for shard in shards],
        what="encoding shards",
        threads=settings.threads,
        gpus=int(settings.device.startswith("cuda")),
    )
    files.remove_leftovers(out)  # a killed worker cannot
    if len({canonical(result["fingerprint"]) for result in done}) > 1:
        raise NegutilError(
            f"{out}: the workers loaded different weights for the same model: give all machines the same weights."
        )
    records = [result["record"] for result in done]
    manifest = {"negutil": __version__, "model": done[0]["fingerprint"], **planned}
    left_out = {file: reason for record in records for file, reason in record.get("left_out", {}).items()}
    manifest |= {"rows": sum(record["rows"] for record in records), "width": records[0]["width"], "shards": records}
    files.write_text(out / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return manifest | {"kept": sum(result["was_there"] for result in done), "left_out": left_out}


def _claim(out: Path, plan: dict[str, Any], fresh: bool) -> None:
    """Make ``out`` the folder of this plan; raises NegutilError if it is that of another."""
    noted, text = out / PLAN, json.dumps(plan, indent=1, sort_keys=True) + "\n"
    if fresh:
        digits = "[0-9]" * 5
        for pattern in (f"{digits}.json", *(f"{digits}.{each}" for each in FORMATS), PLAN, MANIFEST):
            for file in out.glob(pattern):
                file.unlink()
    if noted.exists() and noted.read_bytes() != text.encode():
        raise NegutilError(f"{out} contains features of other inputs or settings: name another folder, or add --fresh.")
    if not noted.exists() and out.exists() and any(out.iterdir()):
        raise NegutilError(f"{out} is neither empty nor a folder of features: name another one.")
    files.write_text(noted, text)
    (out / MANIFEST).unlink(missing_ok=True)


def plan(given: Sequence[str | Path], kind: str, column: str | None, size: int) -> list[Part]:
    """The inputs that ``given`` names as parts of at most ``size``; ``kind`` "" finds out what they are.

    Raises NegutilError if nothing is there, it could be either, or a table cannot be read.
    """
    if size < 1:
        raise NegutilError(f"--shard-size is {size}: give a number above 0.")
    if not kind:
        folders = [Path(path).expanduser() for path in given if Path(path).expanduser().is_dir()]
        names = [name.lower() for folder in folders for _, _, below in os.walk(folder) for name in below]
        kind = "images" if any(is_picture(Path(name)) for name in names) else "captions"
        if kind == "images" and any(name.endswith((".parquet", ".csv", ".tsv")) for name in names):
            raise NegutilError(f"{folders[0]} contains images and tables: choose with --kind images or captions.")
    if kind not in KINDS:
        raise NegutilError(f"There is no kind of input '{kind}': choose one of {', '.join(KINDS)}.")
    parts = _image_parts(given, size) if kind == "images" else _caption_parts(given, column, size)
    return [Part(number, **part) for number, part in enumerate(parts)]


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


def _image_parts(given: Sequence[str | Path], size: int) -> Iterable[dict[str, Any]]:
    for path in given:
        root = Path(path).expanduser().resolve()
        if not root.is_dir():
            raise NegutilError(f"{path} is not a folder: name the folder with the images.")
        found = sorted(file.relative_to(root).as_posix() for file in below(root))
        if not found:
            raise NegutilError(f"{path} has no images ({', '.join(SUFFIXES)}): name the folder with the images.")
        files.check_names(found)
        for first in range(0, len(found), size):
            yield {"kind": "images", "root": str(root), "files": found[first : first + size]}


def _caption_parts(given: Sequence[str | Path], column: str | None, size: int) -> Iterable[dict[str, Any]]:
    tables, counts = caption_files.find(given), []
    for file in tables:
        frame = caption_files.scan(file, column)
        with caption_files.reading(file):
            counts.append(int(frame.select(pl.len()).collect(engine="streaming").item()))
    if not sum(counts):
        raise NegutilError(f"{tables[0]} has no rows: name a file with captions.")
    for file, count in zip(tables, counts, strict=True):
        for first in range(0, count, size):
            place = {"root": str(file.resolve()), "column": column, "first": first}
            yield {"kind": "captions", **place, "rows": min(size, count - first)}
