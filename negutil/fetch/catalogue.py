"""The catalogue of datasets and checkpoints, ``configs/datasets.toml``, and what of it is on this machine.

Paths of datasets are below the folder of the published data (NEGUTIL_DATA), those of checkpoints below the repository's
root; checkpoints of huggingface.co lie in that client's own cache. Nothing here reads data or goes online: for that see
``data_check`` and ``data_get``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from negutil import files, paths
from negutil.errors import NegutilError

FILE = paths.CONFIGS / "datasets.toml"
KINDS = ("dataset", "checkpoint")
ACCESS = ("free", "registration", "request", "by hand")
HERE, PARTIAL, MISSING = "here", "partial", "missing"
WEIGHTS = ("*.safetensors", "*.bin")
WORLD = "manifest.json"
"""The mini world leaves such a file in every folder that it made: what lies there is not the published data."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file, folder (``path`` ends in "/") or pattern that the loaders expect, or a repository on a ``hub``.

    Attributes:
        read: how ``data_check`` reads it; "" where it only looks whether it is there.
        pictures: folder of the pictures that the file names.
        model: the entry of configs/models.toml that uses it.
        needed: whether notebooks need it.
        counts: what is known to be in it; several numbers where several releases are known.
        counted: who says so.
        sha256, md5: of the file; ``checksum`` says whose they are.
    """

    path: str = ""
    hub: str = ""
    read: str = ""
    pictures: str = ""
    model: str = ""
    needed: bool = True
    counts: Mapping[str, int | list[int]] = dataclasses.field(default_factory=dict)
    counted: str = ""
    sha256: str = ""
    md5: str = ""
    checksum: str = ""

    @property
    def name(self) -> str:
        """What to call it."""
        return self.path or self.hub


@dataclass(frozen=True, slots=True)
class Fetch:
    """A file to download.

    Attributes:
        url: where it is.
        to: where it is put, below the same folder as the parts.
        gives: the paths after which it is not fetched again.
        into: the folder in which it, an archive, is unpacked; "" for a plain file.
        nested: an archive inside it that is unpacked there too.
        needed: whether it is fetched without being asked for everything.
        bytes: its size, 0 where unknown.
        sha256, md5: of it; ``checksum`` says whose they are.
    """

    url: str
    to: str
    gives: list[str]
    into: str = ""
    nested: str = ""
    needed: bool = True
    bytes: int = 0
    sha256: str = ""
    md5: str = ""
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One dataset or checkpoint; the settings are told at the top of configs/datasets.toml."""

    name: str
    title: str
    kind: str
    notebooks: list[str]
    used_for: str
    without: str
    size: str
    licence: str
    access: str
    source: str
    parts: tuple[Part, ...]
    fetch: tuple[Fetch, ...] = ()
    steps: list[str] = dataclasses.field(default_factory=list)
    note: str = ""
    unconfirmed: list[str] = dataclasses.field(default_factory=list)

    @property
    def downloadable(self) -> bool:
        """Whether ``get`` can fetch all that notebooks need of it."""
        return self.access == "free" and all(part.hub or self.given(part) for part in self.parts if part.needed)

    def given(self, part: Part) -> bool:
        """Whether some download gives ``part``."""
        return any(part.path in one.gives for one in self.fetch)


# --------------------------------------------------------------------------------------------------------------------
# Reading the catalogue


def entries(file: Path | None = None) -> dict[str, Entry]:
    """Every entry by name, in the order of ``file`` (FILE); raises NegutilError where it is damaged or inconsistent."""
    return dict(_read(file or FILE))


@cache
def _read(file: Path) -> dict[str, Entry]:
    tables = files.read_toml(file)
    return {name: _entry(name, table, file) for name, table in tables.items()}


def find(name: str, file: Path | None = None) -> Entry:
    """The entry called ``name``; raises NegutilError, listing those that exist, where there is none."""
    known = entries(file)
    if name not in known:
        raise NegutilError(f"There is no dataset or checkpoint '{name}': choose among {', '.join(known)}.")
    return known[name]


def _entry(name: str, table: Any, file: Path) -> Entry:
    where = f"{file}: [{name}]"
    if not isinstance(table, dict):
        raise NegutilError(f"{where} is not a table: write [{name}] and its settings below.")
    rows = dict(table)
    parts = tuple(_build(Part, row, f"{where}, parts") for row in rows.pop("parts", []))
    fetch = tuple(_build(Fetch, row, f"{where}, fetch") for row in rows.pop("fetch", []))
    made = _build(Entry, {**rows, "name": name, "parts": parts, "fetch": fetch}, where)
    for key, value, known in (("kind", made.kind, KINDS), ("access", made.access, ACCESS)):
        if value not in known:
            raise NegutilError(f"{where} has {key} = '{value}': write one of {', '.join(known)}.")
    if not parts or any(bool(part.path) == bool(part.hub) for part in parts):
        raise NegutilError(f"{where} needs parts, each with exactly one of path and hub.")
    return made


def _build(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a table, with every key known, none missing, and values of the right type."""
    fields, hints = {field.name: field for field in dataclasses.fields(kind)}, get_type_hints(kind)
    unset = dataclasses.MISSING
    needed = [name for name, one in fields.items() if one.default is unset and one.default_factory is unset]
    unknown, absent = [key for key in table if key not in fields], [key for key in needed if key not in table]
    if unknown or absent:
        wrong = f"has an unknown setting '{unknown[0]}'" if unknown else f"lacks the setting '{absent[0]}'"
        raise NegutilError(f"{where} {wrong}; the settings are {', '.join(fields)}.")
    for key, value in table.items():
        if not _fits(value, hints[key]):
            raise NegutilError(f"{where} has {key} = {value!r}, where {hints[key]} is needed.")
    return kind(**table)


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return any(_fits(value, one) for one in inner)
    if origin is list:
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(_fits(one, inner[1]) for one in value.values())
    return type(value) is (origin or hint)


# --------------------------------------------------------------------------------------------------------------------
# What is on this machine


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parts of an entry are looked for: below ``root``.

    ``own`` says that ``root`` is the dataset's own folder, so that the first name of each path falls away.
    """

    root: Path
    own: bool = False

    def path(self, name: str) -> Path:
        """The full path of a path of the catalogue."""
        return self.root / (name.partition("/")[2] if self.own else name)

    def find(self, name: str) -> list[Path]:
        """What there is of a path, folder ("/" at its end: one that is not empty) or pattern, sorted."""
        pattern = name.partition("/")[2] if self.own else name
        if not pattern or (not self.own and (self.root / name.partition("/")[0] / WORLD).is_file()):
            return []
        found = sorted(self.root.glob(pattern.rstrip("/")))
        if pattern.endswith("/"):
            return [path for path in found if path.is_dir() and next(path.iterdir(), None)]
        return [path for path in found if path.is_file()]

    def located(self, part: Part) -> list[Path]:
        """What there is of ``part``."""
        return hub_files(part.hub) if part.hub else self.find(part.path)


def place(entry: Entry, folder: Path | None = None) -> Place:
    """Where notebooks look for ``entry``, or ``folder``: one that has all datasets, or this one's own."""
    if folder is None:
        return Place(paths.published() if entry.kind == "dataset" else paths.ROOT)
    folder = folder.expanduser().resolve()
    tops = {part.path.partition("/")[0] for part in entry.parts if part.path}
    return Place(folder, own=not any((folder / top).exists() for top in tops))


def hub_files(repository: str) -> list[Path]:
    """The weight files of a repository of huggingface.co in that client's cache on this machine."""
    snapshots = hub_cache() / f"models--{repository.replace('/', '--')}" / "snapshots"
    return sorted(path for kind in WEIGHTS for path in snapshots.rglob(kind) if path.is_file())


def hub_cache() -> Path:
    """The cache of huggingface_hub, by its own environment variables."""
    home = Path(os.environ.get("HF_HOME", Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()


def state(name: str, folder: Path | None = None) -> str:
    """HERE where all that notebooks need is there, PARTIAL where some of it is, else MISSING.

    What is in the files is not looked at: ``data_check`` does.
    """
    entry = find(name)
    where = place(entry, folder)
    there = {part.name for part in entry.parts if where.located(part)}
    if all(part.name in there for part in entry.parts if part.needed):
        return HERE if there else MISSING
    return PARTIAL if there else MISSING


def here(name: str, folder: Path | None = None) -> bool:
    """Whether all that notebooks need of ``name`` is on this machine."""
    return state(name, folder) == HERE


def missing(names: Iterable[str], folder: Path | None = None) -> list[str]:
    """Those of ``names`` that are not all on this machine, in their order."""
    return [name for name in names if not here(name, folder)]


def skip_line(names: Iterable[str], folder: Path | None = None) -> str:
    """One line that says what of ``names`` is missing and how to get it; "" where all is there."""
    lost = [find(name) for name in missing(names, folder)]
    if not lost:
        return ""
    told = " and ".join(entry.title for entry in lost)
    commands = ", ".join(f"negutil data get {entry.name}" for entry in lost)
    return f"{told} {'is' if len(lost) == 1 else 'are'} not on this machine: {commands}."
