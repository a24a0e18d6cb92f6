"""Builds the datasets of the mini world on disk (``negutil.data.built``): which parts and benchmarks there are.

Each lies in ``profile.built/<name>``. Design: "The mini world".
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negutil import code, config, progress
from negutil.config import Profile, Splits
from negutil.data import source
from negutil.data.built import MANIFEST, Fill, complete, fingerprint, keep, manifest
from negutil.errors import NegutilError

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
        module: module of the writer, imported when needed.
        sizes: the setting of ``profile.world`` with its sizes.
        version: to be raised when the same settings shall give other files for a reason outside the package's code.
        function: name of the writer in ``module``: ``function(folder, sizes, seed)`` fills the empty folder and returns
            facts for the manifest (or None).
    """

    name: str
    module: str
    sizes: str
    version: int = 1
    function: str = "write"


_WRITERS = "miniworld.writers"
PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Part("coco", f"{_WRITERS}.coco", "scenes"),
        Part("voc", f"{_WRITERS}.voc", "voc"),
        Part("vqa", f"{_WRITERS}.vqa", "scenes"),
        Part("refcocog", f"{_WRITERS}.refcocog", "refcocog"),
        Part("phrasecut", f"{_WRITERS}.phrasecut", "phrasecut"),
        Part("imagenet", f"{_WRITERS}.folders", "imagenet", function="write_imagenet"),
        Part("caltech101", f"{_WRITERS}.folders", "caltech101", function="write_caltech101"),
        Part("celeba", f"{_WRITERS}.celeba", "faces"),
        Part("msrvtt", f"{_WRITERS}.msrvtt", "clips"),
        Part("chexpert", f"{_WRITERS}.chexpert", "radiographs"),
        Part("shapes", f"{_WRITERS}.shapes", "shapes"),
        Part("ccneg", f"{_WRITERS}.ccneg", "ccneg"),
        Part("laion", f"{_WRITERS}.laion", "alttexts"),
    )
}


BENCHMARKS: dict[str, str] = {
    name: f"miniworld.benchmarks.{name.replace('-', '_')}"
    for name in ("negbench", "valse", "tifa", "ccneg-reversed", "negrefcocog", "t2i_prompts")
}
"""Modules of the benchmarks that are made of scenes or of the parts; each has ``build(profile)``."""


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


def build(name: Part | str, profile: Profile | str | None = None) -> Path:
    """Folder of a part or benchmark, written first where it is missing or was made with other settings or code.

    Raises NegutilError for an unknown name, for sizes that make no sense, and where the folder holds something that was
    not built here (which is never deleted).
    """
    profile = profile if isinstance(profile, Profile) else config.load(profile)
    if name in BENCHMARKS:
        folder: Path = importlib.import_module(BENCHMARKS[str(name)]).build(profile)
        return folder
    return Path(_build(find(name) if isinstance(name, str) else name, profile).folder)


def benchmark(
    profile: Profile, name: str, module: str, fill: Fill, made_of: Sequence[str] = (), **settings: Any
) -> Path:
    """Folder of a benchmark, ``profile.built/<name>``, which ``fill`` writes where it is missing or was made otherwise.

    Args:
        module: the module that makes it, with whose code and ``settings`` it is made again.
        made_of: parts of the world that it is made of.
    """
    wanted: dict[str, Any] = {"part": name, "seed": profile.world.seed, **settings}
    wanted["code"] = code.fingerprint(module, libraries=LIBRARIES)
    wanted["made_of"] = {part: (manifest(build(part, profile)) or {})["sha256"] for part in made_of}
    keep(profile.built / name, wanted, fill, source.STANDS_FOR[name.removesuffix("-random")])
    return profile.built / name


def folder(name: str, profile: Profile) -> Path:
    """Where the data of a part lie: see ``negutil.data.source.folder``; raises NegutilError for an unknown part."""
    return source.folder(profile, find(name).name)


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

    status = keep(folder, _wanted(part, profile), fill, source.STANDS_FOR[part.name])
    return _outcome(part, folder, status, started)


def _outcome(part: Part, folder: Path, status: str, started: float) -> Outcome:
    facts = manifest(folder) or {}
    seconds = round(time.perf_counter() - started, 2)
    return Outcome(part.name, status, str(folder), int(facts["files"]), int(facts["bytes"]), seconds)


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
    if not complete(folder, _wanted(part, profile)):
        raise NegutilError(f"{folder} was built with other settings or code; {again}.")
    return _outcome(part, folder, "checked", started)
