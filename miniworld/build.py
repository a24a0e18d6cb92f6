"""Builds the datasets of the mini world on disk (``negutil.data.built``): which parts and benchmarks there are.

Each lies in ``profile.built/<name>``. Design: "The mini world".
"""

import dataclasses
import importlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from negutil import code, config, progress
from negutil.config import Profile, Splits
from negutil.data import source
from negutil.data.built import MANIFEST, Fill, complete, fingerprint, keep, manifest
from negutil.errors import NegutilError

LIBRARIES = (
    *("av", "contourpy", "easy-vqa", "fontawesomefree", "numpy", "pillow"),
    *("polars", "pycocotools", "python-avatars", "resvg-py", "torch"),
)
"""Packages whose versions can change the bytes of an image or an annotation."""


class Part(NamedTuple):
    """One dataset of the mini world.

    ``module`` is imported when needed, and its ``function(folder, sizes, seed)`` fills the empty folder and returns
    facts for the manifest (or None). ``sizes`` is the setting of ``profile.world`` with its sizes; the function gets
    further ``settings`` of ``profile.world`` by their names.
    """

    sizes: str
    module: str
    function: str = "write"
    settings: tuple[str, ...] = ()


_FOLDERS = "miniworld.writers.folders"
PARTS: dict[str, Part] = {
    "coco": Part("scenes", "miniworld.writers.coco", settings=("full_captions",)),
    "voc": Part("voc", "miniworld.writers.voc"),
    "vqa": Part("scenes", "miniworld.writers.vqa"),
    "refcocog": Part("refcocog", "miniworld.writers.refcocog"),
    "phrasecut": Part("phrasecut", "miniworld.writers.phrasecut"),
    "imagenet": Part("imagenet", _FOLDERS, "write_imagenet"),
    "caltech101": Part("caltech101", _FOLDERS, "write_caltech101"),
    "celeba": Part("faces", "miniworld.writers.celeba"),
    "msrvtt": Part("clips", "miniworld.writers.msrvtt"),
    "chexpert": Part("radiographs", "miniworld.writers.chexpert"),
    "shapes": Part("shapes", "miniworld.writers.shapes"),
    "ccneg": Part("ccneg", "miniworld.writers.ccneg"),
    "laion": Part("alttexts", "miniworld.writers.laion"),
}
BENCHMARKS = {
    **{name: f"{name}.build" for name in ("negbench", "valse", "tifa", "t2i_prompts")},
    **{"ccneg-reversed": "derived.build_ccneg_reversed", "negrefcocog": "derived.build_negrefcocog"},
}
"""Benchmarks that are made of scenes or of the parts: module in ``benchmarks`` and function of a profile."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one part: "built", "reused" or "checked", with its folder, number of files, bytes and seconds."""

    part: str
    status: str
    folder: str
    files: int
    bytes: int
    seconds: float


def build(name: str, profile: Profile | str | None = None) -> Path:
    """Folder of a part or benchmark, written first where it is missing or was made with other settings or code.

    Raises NegutilError for an unknown name, for sizes that make no sense, and where the folder holds something that was
    not built here (which is never deleted).
    """
    profile = profile if isinstance(profile, Profile) else config.load(profile)
    if name in BENCHMARKS:
        module, _, function = BENCHMARKS[name].partition(".")
        folder: Path = getattr(importlib.import_module(f"miniworld.benchmarks.{module}"), function)(profile)
        return folder
    return Path(_make(name, profile).folder)


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
    """Where the data of a part lie: see ``negutil.data.source.folder``."""
    return source.folder(profile, name)


def build_all(profile: Profile | str | None = None, only: Sequence[str] = (), check: bool = False) -> list[Outcome]:
    """Build (or, with ``check``, verify byte by byte) every part, or those named in ``only`` ("a,b" or "a", "b")."""
    profile = profile if isinstance(profile, Profile) else config.load(profile)
    names = [name.strip() for item in only for name in item.split(",")] or list(PARTS)
    outcomes = []
    with progress.bar("building parts of the mini world", total=len(names), unit="part", leave=False) as bar:
        for name in names:
            bar.set_postfix_str(name)
            outcomes.append(_make(name, profile, check))
            bar.update()
    return outcomes


def _make(name: str, profile: Profile, check: bool = False) -> Outcome:
    """Write a part where it is missing or out of date; with ``check``, compare every byte of it with its manifest.

    Raises NegutilError for an unknown part or impossible sizes, and where ``check`` finds a difference.
    """
    started = time.perf_counter()
    if name not in PARTS:
        raise NegutilError(f"There is no part {name!r} of the world: choose among {', '.join(PARTS)}.")
    part, folder, seed = PARTS[name], profile.built / name, profile.world.seed
    sizes: Splits = getattr(profile.world, part.sizes)
    counts = dataclasses.asdict(sizes)
    if min(counts.values()) < 0 or not any(counts.values()):
        setting = f"configs/{profile.name}.toml: world.{part.sizes}"
        raise NegutilError(f"{setting} is {counts}: make no size negative and at least one of them positive.")
    # What follows from settings and code: a folder that states anything else is written again.
    more = {setting: getattr(profile.world, setting) for setting in part.settings}
    wanted = {"part": name, "seed": seed, "sizes": counts, "code": code.fingerprint(part.module, libraries=LIBRARIES)}
    wanted |= more

    def fill(fresh: Path) -> dict[str, Any] | None:
        write = getattr(importlib.import_module(part.module), part.function)
        facts: dict[str, Any] | None = write(fresh, sizes, seed, **more)
        return facts

    status = "checked" if check else keep(folder, wanted, fill, source.STANDS_FOR[name])
    facts = manifest(folder)
    again = f"run: negutil world build --profile {profile.name} --only {name}"
    if facts is None:
        raise NegutilError(f"{folder} has no {MANIFEST}, so it was never built to the end; {again}.")
    if check:
        content = fingerprint(folder)
        if any(facts.get(key) != value for key, value in content.items()):
            files = f"({content['files']} files)"
            raise NegutilError(f"{folder} is not what its {MANIFEST} says {files}; delete it and {again}.")
        if not complete(folder, wanted):
            raise NegutilError(f"{folder} was built with other settings or code; {again}.")
    seconds = round(time.perf_counter() - started, 2)
    return Outcome(name, status, str(folder), int(facts["files"]), int(facts["bytes"]), seconds)
