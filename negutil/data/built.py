"""Folders of data that are built here: whole or not at all, and built again where settings or code have changed.

A folder has a ``manifest.json``. It is written to a temporary folder beside its place and renamed when it is complete,
so that an interrupted build leaves no half of it. One whose manifest states the present settings is used as it is.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from negutil import files
from negutil.errors import NegutilError

Fill = Callable[[Path], dict[str, Any] | None]
"""Fills an empty folder; may return facts for the manifest."""

MANIFEST = "manifest.json"


def manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished part, or None if the folder has none that can be read."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "sha256" in content else None


def fingerprint(folder: Path) -> dict[str, Any]:
    """Number of files, bytes, and sha256 over the names and contents of all files but the manifest, in sorted order."""
    names = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    digest, total = hashlib.sha256(), 0
    for path in names:
        content = path.read_bytes()
        total += len(content)
        line = f"{path.relative_to(folder).as_posix()}\0{hashlib.sha256(content).hexdigest()}\n"
        digest.update(line.encode())
    return {"files": len(names), "bytes": total, "sha256": digest.hexdigest()}


def keep(folder: Path, wanted: dict[str, Any], fill: Fill, stands_for: str = "") -> str:
    """Make sure that ``folder`` holds what ``wanted`` describes: "reused" where it does, "built" where it was written.

    ``fill`` fills an empty folder and may return facts for the manifest; its work is put in place when it is whole.
    Raises NegutilError if the folder holds something that was not built here (which is never deleted).
    """
    if complete(folder, wanted):
        return "reused"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A second process waits here and then finds the folder complete; the lock goes with a killed process.
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if complete(folder, wanted):
            return "reused"
        if folder.exists() and manifest(folder) is None:
            problem = "it was not built by negutil and is not touched"
            raise NegutilError(f"{folder}: {problem}; move it away, or set NEGUTIL_CACHE to another folder.")
        for left_over in folder.parent.glob(f".{folder.name}.*.part"):
            shutil.rmtree(left_over)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        try:
            fresh = temporary / "new"
            fresh.mkdir()
            facts = fill(fresh)
            content = {**wanted, "stands_for": stands_for, "facts": facts or {}, **fingerprint(fresh)}
            files.write_text(fresh / MANIFEST, json.dumps(content, indent=1, sort_keys=True) + "\n")
            if folder.exists():
                folder.rename(temporary / "old")
            fresh.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return "built"


def complete(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether ``folder`` is whole and its manifest states all of ``wanted``."""
    found = manifest(folder)
    return found is not None and all(found.get(key) == value for key, value in wanted.items())
