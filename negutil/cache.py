"""A content-addressed cache of arrays: expensive steps run once, and a wrong entry is refused, never used.

An entry has a key: the sha256 of everything that the arrays depend on (its *fields*: kind of step, code version, and,
for features, weights sha256, architecture, activation, preprocessing, dtype and data sha256).  On disk it is two files

    ab/ab12....json               the sidecar: fields, payload's name and sha256, time, host, seconds
    ab/ab12....<sha256>.safetensors   the payload

The payload is written first, under a name that holds its own hash, then the sidecar; both by temporary name and rename.
So a process killed at any moment leaves either a whole entry or none, and two processes at once cannot mix theirs.
"""

import datetime
import hashlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from negutil import files, paths
from negutil.errors import NegutilError

Arrays = dict[str, np.ndarray]
REQUIRED = ("kind", "code_version")


def canonical(fields: Mapping[str, Any]) -> str:
    """``fields`` as JSON with sorted keys and no spaces: the same fields always give the same text."""
    try:
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise NegutilError(f"Cache fields must be plain JSON values ({problem}): pass text and numbers.") from problem


def settings_sha256(settings: Mapping[str, Any]) -> str:
    """Hex sha256 of another library's settings: only of the public entries, by name.

    Private ones say where settings come from, and the order of some changes from process to process.
    """
    public = {name: value for name, value in settings.items() if not name.startswith("_")}
    return hashlib.sha256(json.dumps(public, sort_keys=True).encode()).hexdigest()


class Cache:
    """Arrays on disk under ``root`` (default: ``arrays`` in the user's cache folder), found by what they depend on."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root if root is not None else paths.cache() / "arrays"

    def key(self, **fields: Any) -> str:
        """Hex sha256 of the fields, which must name at least ``kind`` and ``code_version``."""
        for name in REQUIRED:
            if name not in fields:
                raise NegutilError(f"Cache fields need {name!r}: add it to the fields {sorted(fields)}.")
        return hashlib.sha256(canonical(fields).encode()).hexdigest()

    def sidecar_path(self, key: str) -> Path:
        """Where the sidecar of ``key`` is, or would be."""
        return self.root / key[:2] / f"{key}.json"

    def load(self, key: str) -> Arrays | None:
        """The arrays of ``key``, or None if there are none.

        Raises NegutilError if the entry is not what it says it is: fields that are not those of the key, or a
        payload whose hash is not the recorded one.
        """
        path = self.sidecar_path(key)
        if not path.exists():
            return None
        sidecar = self.sidecar(key)
        if self.key(**sidecar["fields"]) != key:
            raise _refused(path, "was made for other settings than those asked for")
        payload = path.parent / str(sidecar["payload"])
        if not payload.exists():
            return None
        data = payload.read_bytes()
        if hashlib.sha256(data).hexdigest() != sidecar["sha256"]:
            raise _refused(payload, "does not have the sha256 in its sidecar")
        return load_safetensors(data)

    def sidecar(self, key: str) -> dict[str, Any]:
        """What is recorded about ``key``: fields, payload, sha256, bytes, time, host, seconds."""
        path = self.sidecar_path(key)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise _refused(path, "is not readable JSON") from problem
        if not isinstance(record, dict) or not {"fields", "payload", "sha256"} <= set(record):
            raise _refused(path, "lacks fields, payload or sha256")
        return record

    def store(self, key: str, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any], seconds: float = 0.0) -> None:
        """Write ``arrays`` under ``key``; ``meta`` are the fields of the key, ``seconds`` the time spent.

        Raises NegutilError if meta and key disagree, or where the entry cannot be written (a full disk, ...); then
        nothing of it is left.
        """
        if self.key(**meta) != key:
            raise NegutilError(f"Cache key {key[:12]} was not made from these fields: pass the fields of the key.")
        data = save_safetensors({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        digest, path = hashlib.sha256(data).hexdigest(), self.sidecar_path(key)
        payload, now = path.with_suffix(f".{digest[:16]}.safetensors"), datetime.datetime.now(datetime.UTC)
        record = {"fields": dict(meta), "payload": payload.name, "sha256": digest, "bytes": len(data)}
        record |= {"time": now.isoformat(timespec="seconds"), "host": platform.node(), "seconds": round(seconds, 3)}
        files.write_bytes(payload, data)
        files.write_text(path, json.dumps(record, indent=1, sort_keys=True) + "\n")

    def get_or_compute(self, fields: Mapping[str, Any], compute: Callable[[], Mapping[str, np.ndarray]]) -> Arrays:
        """The arrays for ``fields``: from the cache, else computed and stored.

        A lock makes a second process that asks for the same key wait for the first one's arrays; the operating system
        drops the lock of a process that dies.
        """
        key = self.key(**fields)
        arrays = self.load(key)
        if arrays is not None:
            return arrays
        path = self.sidecar_path(key).with_suffix(".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire()
        except OSError as problem:
            reason = problem.strerror or str(problem)
            raise NegutilError(f"{path} could not be written ({reason}): set NEGUTIL_CACHE elsewhere.") from problem
        try:
            arrays = self.load(key)
            if arrays is None:
                started = time.monotonic()
                arrays = dict(compute())
                self.store(key, arrays, fields, time.monotonic() - started)
            return arrays
        finally:
            lock.release()

    def entries(self) -> list[dict[str, Any]]:
        """The sidecars of all entries, each with its ``key``, oldest first."""
        keys = sorted(path.stem for path in self.root.glob("??/*.json"))
        return sorted(({"key": key, **self.sidecar(key)} for key in keys), key=lambda entry: str(entry["time"]))

    def clear(self) -> int:
        """Delete every entry, unfinished writes included, and nothing else; returns the number of bytes freed."""
        freed = 0
        for folder in self.root.glob("??"):
            freed += sum(path.stat().st_size for path in folder.iterdir())
            shutil.rmtree(folder)
        return freed


def _refused(path: Path, reason: str) -> NegutilError:
    return NegutilError(f"{path} {reason}, so it is refused: delete it, or run `negutil cache clear`.")
