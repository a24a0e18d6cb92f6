"""Features of a folder of pictures, or of captions on disk, as shards of files with a manifest: ``negutil encode``.

A shard is a fixed part of the inputs, encoded by itself, so that it has the same bytes whoever encodes it: this process
or a worker of Ray (``negutil.data.engines``). Beside its features, NNNNN.safetensors or NNNNN.parquet, stands
NNNNN.json, written last: what the features are of and were made with, and their sha256. A shard whose sidecar is still
true is kept, so a run that was stopped resumes with the first shard that is missing. manifest.json comes when all are
there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from negutil import __version__, files
from negutil.bench import encoding_files
from negutil.bench.encoding_files import FORMATS, Part
from negutil.cache import canonical
from negutil.data import engines
from negutil.data.engines import LOCAL, Engine, Result, Shard
from negutil.errors import NegutilError

CODE_VERSION = "1"
PLAN, MANIFEST = "plan.json", "manifest.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the bytes of the features depend on, beside the inputs.

    Attributes:
        model: name in the registry, of a fine-tuned model, or an architecture of open_clip.
        pretrained: weights for an architecture (a tag or a file); "" for those that belong to the name.
        activation: with which the weights of a file were trained, where the file does not say.
        device, dtype: what the model computes with ("cpu", "cuda"; "float32", "bfloat16", "float16").
        batch: pictures or texts at a time; it moves the last digit, as the number of ``threads`` may.
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

    def __post_init__(self) -> None:
        for name, known in (("format", FORMATS), ("store", encoding_files.STORED)):
            if getattr(self, name) not in known:
                raise NegutilError(f"There is no {name} '{getattr(self, name)}': choose one of {', '.join(known)}.")
        if min(self.batch, self.threads) < 1:
            raise NegutilError(f"batch is {self.batch} and threads {self.threads}: give numbers above 0.")


class ShardEncoder:
    """Encodes one shard after another into the folder ``out``: the work of either engine."""

    def __init__(self, out: str, settings: Settings) -> None:
        self._out, self._settings = Path(out), settings

    @cached_property
    def _model(self) -> Any:
        from negutil.bench import model as bench_model

        given = self._settings
        return bench_model.load(
            given.model, given.pretrained, activation=given.activation, device=given.device, dtype=given.dtype
        )

    def __call__(self, shard: Shard) -> Result:
        """The sidecar of the shard, without the names of its rows, and whether it was there already."""
        part = Part(**shard)
        made_with = asdict(self._settings) | {"code_version": CODE_VERSION, "fingerprint": self._model.fingerprint}
        key = hashlib.sha256(canonical({"made_with": made_with, "inputs": part.inputs()}).encode()).hexdigest()
        sidecar = self._out / f"{part.number:05d}.json"
        found = _kept(sidecar, key)
        record = found or self._encode(part, key)
        if not found:
            files.write_text(sidecar, json.dumps(record, indent=1, sort_keys=True) + "\n")
        told = {name: value for name, value in record.items() if name != "names"}
        return {"record": told, "fingerprint": self._model.fingerprint, "was_there": found is not None}

    def _encode(self, part: Part, key: str) -> dict[str, Any]:
        from negutil.models import encode

        given = self._settings
        run = encode.images if part.kind == "images" else encode.texts
        with encoding_files.threads(given.threads):
            features = run(self._model, part.items(), batch=given.batch, cached=False)
        payload = self._out / f"{part.number:05d}.{given.format}"
        content = encoding_files.payload(features, part, given.format, given.store)
        files.write_bytes(payload, content)
        digest = hashlib.sha256(content).hexdigest()
        shape = {"rows": len(features), "width": int(features.shape[1])}
        return {"key": key, "file": payload.name, "sha256": digest, **shape, "inputs": part.inputs(), **part.names()}


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
    """Encode the pictures or captions that ``given`` names into the folder ``out``; the manifest, and what was kept.

    Raises NegutilError where there is nothing to encode, ``out`` holds features of something else (``fresh`` begins
    anew), a picture or table cannot be read, the model cannot be loaded, or the engine cannot be used.
    """
    shards = encoding_files.plan(given, kind, column, shard_size)
    plan = {"settings": asdict(settings), "inputs": encoding_files.told(shards), "shards": len(shards)}
    _claim(out, plan, fresh)
    made_by = {"out": str(out.resolve()), "settings": settings}
    gpus = int(settings.device.startswith("cuda"))
    asked = [asdict(shard) for shard in shards]
    done = engines.each(
        engine, ShardEncoder, made_by, asked, what="encoding shards", threads=settings.threads, gpus=gpus
    )
    manifest = _manifest(plan, done, out)
    files.write_text(out / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return manifest | {"kept": sum(result["was_there"] for result in done)}


def _manifest(plan: dict[str, Any], done: list[Result], out: Path) -> dict[str, Any]:
    fingerprints = {canonical(result["fingerprint"]) for result in done}
    if len(fingerprints) > 1:
        raise NegutilError(f"{out}: the workers loaded different weights for one model: give all machines the same.")
    records = [result["record"] for result in done]
    return {
        "negutil": __version__,
        "model": done[0]["fingerprint"],
        **plan,
        "rows": sum(record["rows"] for record in records),
        "width": records[0]["width"],
        "shards": records,
    }


def _claim(out: Path, plan: dict[str, Any], fresh: bool) -> None:
    """Make ``out`` the folder of this plan; raises NegutilError where it is that of another."""
    noted, text = out / PLAN, json.dumps(plan, indent=1, sort_keys=True) + "\n"
    if fresh:
        encoding_files.clear(out)
    if noted.exists() and noted.read_bytes() != text.encode():
        raise NegutilError(f"{out} holds features of other inputs or settings: name another folder, or add --fresh.")
    if not noted.exists() and out.exists() and any(out.iterdir()):
        raise NegutilError(f"{out} is not empty, and not a folder of features: name another one.")
    files.write_text(noted, text)
    (out / MANIFEST).unlink(missing_ok=True)


def _kept(sidecar: Path, key: str) -> dict[str, Any] | None:
    """What ``sidecar`` records, where it is of ``key`` and its features are whole."""
    try:
        record: dict[str, Any] = json.loads(sidecar.read_text(encoding="utf-8"))
        payload = sidecar.with_name(Path(str(record["file"])).name)
        is_whole = record["key"] == key and files.sha256(payload) == record["sha256"]
    except (OSError, ValueError, KeyError, TypeError, NegutilError):
        return None
    return record if is_whole else None
