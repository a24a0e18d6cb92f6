"""Writing and hashing files: a file is either whole under its name or not there at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from negutil.errors import NegutilError


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` by way of a temporary file in the same folder, which a failure leaves nothing of.

    Raises NegutilError where it cannot be written (full disk, no permission, ...).
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise NegutilError(f"{path} could not be written ({reason}): free some space or mend the folder.") from problem
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8 with the same guarantee as ``write_bytes``."""
    write_bytes(path, text.encode("utf-8"))


def update_text(path: Path, text: str) -> bool:
    """Write ``text`` to ``path`` where that is not what it holds; returns whether it was written."""
    changed = text != path.read_text(encoding="utf-8")
    if changed:
        write_text(path, text)
    return changed


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of the TOML file ``path``; raises NegutilError where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise NegutilError(f"{path} cannot be read as TOML ({problem}): mend or restore it.") from problem


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes; raises NegutilError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as problem:
        raise NegutilError(f"{path} cannot be read ({problem.strerror}): restore it.") from problem
