"""Small files in the published formats, written by the tests of negutil.data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
import pytest
from PIL import Image

from negutil import data
from negutil.errors import NegutilError

T = TypeVar("T")
ALT_TEXTS = ["Red shoe, no laces", None, "", "Café № 5"]


def write_json(path: Path, content: Any) -> Path:
    """Write `content` as JSON and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_text(path: Path, *lines: str) -> Path:
    """Write lines, each with a line end, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def shard(path: Path, texts: list[Any], column: str = "TEXT") -> Path:
    """Write a shard of LAION's metadata with these alt texts and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"SAMPLE_ID": range(len(texts)), column: texts}).write_parquet(path, compression="snappy")
    return path


def truncate(path: Path) -> Path:
    """Cut a file in half, as a broken download would."""
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    return path


def picture(path: Path, colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (12, 8)) -> Path:
    """Write a picture of one colour; `size` is width, height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def complaint(function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The message of the NegutilError that the call must raise: one line, with a mend after the last semicolon."""
    with pytest.raises(NegutilError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message.rsplit("; ", 1)[-1]) > 5, f"no mend in {message!r}"
    return message


def part_of(load: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """What a loader reads where rows without their pictures are left out."""
    with data.missing_pictures("drop"):
        return load(*arguments, **options)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of everything in a folder, and of itself: a file that came and went shows too."""
    states = {path.relative_to(folder).as_posix(): path.stat() for path in [folder, *folder.rglob("*")]}
    return {name: (state.st_size, state.st_mtime_ns) for name, state in states.items()}
