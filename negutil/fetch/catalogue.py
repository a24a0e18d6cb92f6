"""The catalogue of datasets and checkpoints, ``configs/datasets.toml``, and which of them are on this machine.

Paths of datasets are relative to the folder of the published data (NEGUTIL_DATA), those of checkpoints to the
repository's root; checkpoints from huggingface.co are in that client's own cache. Nothing here reads data or goes
online: see ``check`` and ``get``.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from negutil import files, paths
from negutil.errors import NegutilError, no_such
from negutil.files import Settings

FILE = paths.CONFIGS / "datasets.toml"
HERE, PARTIAL, MISSING = "here", "partial", "missing"
WEIGHTS = ("*.safetensors", "*.bin")
WORLD = "manifest.json"
"""The mini world writes this file to its folders, which are not published data."""


@dataclass(frozen=True, slots=True)
class Part(Settings):
    """A file, folder (``path`` ends in "/") or pattern that the loaders expect, or a repository on a ``hub``.

    Attributes:
        read: how ``check`` reads it; "" if it only checks that it exists.
        pictures: folder of the images that the file names.
        model: the entry of configs/models.toml that uses it.
        counts: its known contents, from ``counted``; several numbers if several releases are known.
        least: its minimum contents, from ``counted``, if the number itself is not known.
        sha256, md5: of the file; ``checksum`` gives their source.
    """

    path: str = ""
    hub: str = ""
    read: str = ""
    pictures: str = ""
    model: str = ""
    needed: bool = True
    counts: Mapping[str, int | list[int]] = dataclasses.field(default_factory=dict)
    least: Mapping[str, int] = dataclasses.field(default_factory=dict)
    counted: str = ""
    sha256: str = ""
    md5: str = ""
    checksum: str = ""

    @property
    def name(self) -> str:
        """What to call it."""
        return self.path or self.hub


@dataclass(frozen=True, slots=True)
class Fetch(Settings):
    """A file to download, of ``bytes`` bytes (0 where unknown), or images one by one.

    Attributes:
        url: of the file, or of the folder of the images.
        to: where it is put, below the same folder as the parts; a folder ends in "/".
        gives: the paths after which it is not fetched again.
        names: the part, of any entry, that names the images; ``most`` is how many of them are fetched (0: all).
        members: files that are taken out of an archive without the rest of it.
        into: the folder in which it, an archive, is unpacked; "" for a plain file.
        nested: an archive inside it that is unpacked there too.
        needed: whether it is fetched without being asked for everything.
        sha256, md5: of it; ``checksum`` says whose they are.
    """

    url: str
    to: str
    gives: list[str]
    names: str = ""
    most: int = 0
    members: list[str] = dataclasses.field(default_factory=list)
    into: str = ""
    nested: str = ""
    needed: bool = True
    bytes: int = 0
    sha256: str = ""
    md5: str = ""
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Entry(Settings):
    """One dataset or checkpoint; the settings are explained at the top of configs/datasets.toml."""

    name: str
    title: str
    kind: Literal["dataset", "checkpoint"]
    notebooks: list[str]
    used_for: str
    without: str
    size: str
    licence: str
    access: Literal["free", "registration", "request", "by hand"]
    source: str
    parts: tuple[Part, ...]
    fetch: tuple[Fetch, ...] = ()
    includes: list[str] = dataclasses.field(default_factory=list)
    steps: list[str] = dataclasses.field(default_factory=list)
    note: str = ""
    unconfirmed: list[str] = dataclasses.field(default_factory=list)

    @property
    def downloadable(self) -> bool:
        """Whether ``get`` can download everything that notebooks need of it."""
        return self.access == "free" and all(part.hub or self.given(part) for part in self.parts if part.needed)

    def given(self, part: Part) -> bool:
        """Whether some download gives ``part``."""
        return any(part.path in one.gives for one in self.fetch)


def entries(file: Path | None = None) -> dict[str, Entry]:
    """Every entry by name, in the order of ``file`` (FILE); raises NegutilError if it is damaged or inconsistent."""
    return _read(file or FILE)


@cache
def _read(file: Path) -> dict[str, Entry]:
    made = {}
    for name, table in files.read_toml(file).items():
        where = f"{file}: [{name}]"
        if not isinstance(table, dict):
            raise NegutilError(f"{where} is not a table: write [{name}] and its settings below.")
        made[name] = files.checked(Entry, {**table, "name": name}, where)
        if not made[name].parts or any(bool(part.path) == bool(part.hub) for part in made[name].parts):
            raise NegutilError(f"{where} needs parts, each with exactly one of path and hub.")
    return made


def find(name: str, file: Path | None = None) -> Entry:
    """The entry called ``name``; raises NegutilError, listing those that exist, if there is none."""
    known = entries(file)
    if name not in known:
        raise no_such("dataset or checkpoint", name, known)
    return known[name]


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look for the parts of an entry: below ``root``.

    ``own`` means that ``root`` is the dataset's own folder, so the first name of each path is dropped.
    """

    root: Path
    own: bool = False

    def path(self, name: str) -> Path:
        """The full path of a path of the catalogue."""
        return self.root / (name.partition("/")[2] if self.own else name)

    def find(self, name: str) -> list[Path]:
        """What there is of a path, folder ("/" at its end: one that is not empty) or pattern, sorted."""
        top, _, inside = name.partition("/")
        pattern = inside if self.own else name
        if not pattern or (not self.own and (self.root / top / WORLD).is_file()):
            return []
        paths = sorted(self.root.glob(pattern.rstrip("/")))
        if pattern.endswith("/"):
            return [path for path in paths if path.is_dir() and next(path.iterdir(), None)]
        return [path for path in paths if path.is_file()]

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
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    return sorted(path for kind in WEIGHTS for path in snapshots.rglob(kind) if path.is_file())


def state(name: str, folder: Path | None = None) -> str:
    """HERE if everything that notebooks need exists, PARTIAL if some of it does, else MISSING.

    This does not read the files: ``check`` does.
    """
    entry = find(name)
    where = place(entry, folder)
    there = {part.name for part in entry.parts if where.located(part)}
    if all(part.name in there for part in entry.parts if part.needed):
        return HERE if there else MISSING
    return PARTIAL if there else MISSING
