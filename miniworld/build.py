"""Builds the datasets of the mini world on disk: which parts there are, and how a part comes to be whole or not at all.

A part lies in ``profile.built/<part>`` with a ``manifest.json``. It is written to a temporary folder beside its
place and renamed when it is complete, so that an interrupted build leaves no half of it. A part whose manifest states
the present settings and code is used as it is. Design: "The mini world".
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.metadata
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from negutil import code, config, files, progress
from negutil.config import Profile, Splits
from negutil.errors import NegutilError

Fill = Callable[[Path], dict[str, Any] | None]
"""Fills an empty folder; may return facts for the manifest."""

MANIFEST = "manifest.json"
LIBRARIES = (
    *("av", "contourpy", "easy-vqa", "fontawesomefree", "numpy", "pillow"),
    *("polars", "pycocotools", "python-avatars", "resvg-py", "torch"),
)
"""Packages whose versions can change the bytes of a picture or an annotation."""


@dataclass(frozen=True, slots=True)
class Part:
    """One dataset of the mini world.

    Attributes:
        name: name of the part and of its folder.
        stands_for: the published dataset whose format it has.
        module: module of the writer, imported when needed.
        sizes: the setting of ``profile.world`` with its sizes.
        version: to be raised when the same settings shall give other files for a reason outside the package's code.
        function: name of the writer in ``module``: ``function(folder, sizes, seed)`` fills the empty folder and returns
            facts for the manifest (or None).
    """

    name: str
    stands_for: str
    module: str
    sizes: str
    version: int = 1
    function: str = "write"


_WRITERS = "miniworld.writers"
PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Part("coco", "MS COCO: instances and captions", f"{_WRITERS}.coco", "scenes"),
        Part("voc", "PASCAL VOC 2007", f"{_WRITERS}.voc", "voc"),
        Part("vqa", "VQA v2 questions about the pictures of coco", f"{_WRITERS}.vqa", "scenes"),
        Part("refcocog", "RefCOCOg", f"{_WRITERS}.refcocog", "refcocog"),
        Part("phrasecut", "PhraseCut", f"{_WRITERS}.phrasecut", "phrasecut"),
        Part("imagenet", "ImageNet validation folders", f"{_WRITERS}.folders", "imagenet", function="write_imagenet"),
        Part("caltech101", "Caltech101 folders", f"{_WRITERS}.folders", "caltech101", function="write_caltech101"),
        Part("celeba", "CelebA", f"{_WRITERS}.celeba", "faces"),
        Part("msrvtt", "MSR-VTT", f"{_WRITERS}.msrvtt", "clips"),
        Part("chexpert", "CheXpert", f"{_WRITERS}.chexpert", "radiographs"),
        Part("shapes", "VQA v2, with the pictures and questions of easy-VQA", f"{_WRITERS}.shapes", "shapes"),
        Part("ccneg", "CC-Neg", f"{_WRITERS}.ccneg", "ccneg"),
        Part("laion", "LAION-400M: metadata, with a few pictures", f"{_WRITERS}.laion", "alttexts"),
    )
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one part: "built", "reused" or "checked", with its folder, number of files, bytes and seconds."""

    part: str
    status: str
    folder: str
    files: int
    bytes: int
    seconds: float


def _wanted(part: Part, profile: Profile) -> dict[str, Any]:
    """The part of the manifest that follows from settings and code: a folder with another one is built again."""
    sizes = dataclasses.asdict(_sizes(part, profile))
    return {"part": part.name, "seed": profile.world.seed, "sizes": sizes, "version": part.version} | {
        "code": code.fingerprint(part.module, libraries=LIBRARIES)
    }


def _sizes(part: Part, profile: Profile) -> Splits:
    sizes: Splits = getattr(profile.world, part.sizes)
    counts = dataclasses.asdict(sizes)
    if min(counts.values()) < 0 or not any(counts.values()):
        setting = f"configs/{profile.name}.toml: world.{part.sizes}"
        raise NegutilError(f"{setting} is {counts}: make no size negative and at least one of them positive.")
    return sizes


def find(name: str) -> Part:
    """The part called ``name``; raises NegutilError that lists the parts where there is none."""
    if name not in PARTS:
        raise NegutilError(f"There is no part {name!r} of the world: choose among {', '.join(PARTS)}.")
    return PARTS[name]


def manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished part, or None where the folder has none that can be read."""
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


def build(part: Part | str, profile: Profile | str | None = None) -> Path:
    """Folder of a part, written first where it is missing or was made with other settings or code.

    Raises NegutilError for an unknown part, for sizes that make no sense, and where the folder holds something that was
    not built here (which is never deleted).
    """
    part = find(part) if isinstance(part, str) else part
    profile = profile if isinstance(profile, Profile) else config.load(profile)
    return Path(_build(part, profile).folder)


def folder(name: str, profile: Profile) -> Path:
    """Where the data of a part lie: the published ones where the profile wants these, else the mini world's.

    The latter are built where they are missing. Raises NegutilError where published data are not there.
    """
    part = find(name)
    if not profile.published:
        return build(part, profile)
    own = profile.data / part.name
    if own.is_dir() and manifest(own) is None:
        return own
    wanted = f"put {part.stands_for} there in its published layout"
    raise NegutilError(f"{own} has no published data: {wanted}, or set NEGUTIL_DATA to the folder that has it.")


def build_all(profile: Profile | str | None = None, only: Sequence[str] = (), check: bool = False) -> list[Outcome]:
    """Build (or, with ``check``, verify byte by byte) every part, or those named in ``only`` ("a,b" or "a", "b")."""
    profile = profile if isinstance(profile, Profile) else config.load(profile)
    names = [name.strip() for item in only for name in item.split(",")]
    parts = [find(name) for name in names] if names else list(PARTS.values())
    work = _check if check else _build
    outcomes = []
    with progress.bar("building parts of the mini world", total=len(parts), unit="part", leave=False) as bar:
        for part in parts:
            bar.set_postfix_str(part.name)
            outcomes.append(work(part, profile))
            bar.update()
    return outcomes


def _build(part: Part, profile: Profile) -> Outcome:
    started = time.perf_counter()
    folder = profile.built / part.name

    def fill(fresh: Path) -> dict[str, Any] | None:
        write = getattr(importlib.import_module(part.module), part.function)
        facts: dict[str, Any] | None = write(fresh, _sizes(part, profile), profile.world.seed)
        return facts

    status = keep(folder, _wanted(part, profile), fill, part.stands_for)
    return _outcome(part, folder, status, started)


def keep(folder: Path, wanted: dict[str, Any], fill: Fill, stands_for: str = "") -> str:
    """Make sure that ``folder`` holds what ``wanted`` describes: "reused" where it does, "built" where it was written.

    ``fill`` fills an empty folder and may return facts for the manifest; its work is put in place when it is whole.
    Raises NegutilError where the folder holds something that was not built here (which is never deleted).
    """
    if _complete(folder, wanted):
        return "reused"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A second process waits here and then finds the folder complete; the lock goes with a killed process.
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if _complete(folder, wanted):
            return "reused"
        _write(folder, wanted, fill, stands_for)
    return "built"


def _outcome(part: Part, folder: Path, status: str, started: float) -> Outcome:
    facts = manifest(folder) or {}
    seconds = round(time.perf_counter() - started, 2)
    return Outcome(part.name, status, str(folder), int(facts["files"]), int(facts["bytes"]), seconds)


def _complete(folder: Path, wanted: dict[str, Any]) -> bool:
    found = manifest(folder)
    return found is not None and all(found.get(key) == value for key, value in wanted.items())


def _write(folder: Path, wanted: dict[str, Any], fill: Fill, stands_for: str) -> None:
    """Fill a temporary folder and put it in the place of ``folder``; the caller holds the lock."""
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


def _check(part: Part, profile: Profile) -> Outcome:
    """Compare every byte of a finished part with its manifest; raises NegutilError where they differ."""
    started = time.perf_counter()
    folder = profile.built / part.name
    facts = manifest(folder)
    again = f"run: negutil world build --profile {profile.name} --only {part.name}"
    if facts is None:
        raise NegutilError(f"{folder} has no {MANIFEST}, so it was never built to the end; {again}.")
    found = fingerprint(folder)
    if any(facts.get(key) != value for key, value in found.items()):
        raise NegutilError(f"{folder} is not what its {MANIFEST} says ({found['files']} files); delete it and {again}.")
    if not _complete(folder, _wanted(part, profile)):
        raise NegutilError(f"{folder} was built with other settings or code; {again}.")
    return _outcome(part, folder, "checked", started)
