"""How much room there is on a disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from negutil.errors import NegutilError


def free_bytes(folder: Path) -> int:
    """Bytes that are free where ``folder`` (or the first parent that exists) lies."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, needed: float, what: str, reserve: int = 0) -> None:
    """Raise NegutilError unless ``needed`` bytes, and ``reserve`` besides, are free in ``folder``."""
    free = free_bytes(folder)
    if needed + reserve > free:
        fix = "free some space, or set NEGUTIL_DATA to a larger disk"
        raise NegutilError(
            f"{what} needs {needed / 1e9:.2f} GB in {folder}, where {free / 1e9:.2f} GB are free: {fix}."
        )
