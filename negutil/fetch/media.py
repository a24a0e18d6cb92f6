"""How pictures, clips, class folders and weights are looked at: counted, and opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from negutil.errors import NegutilError
from negutil.fetch.catalogue import Part

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
CLIPS = (".mp4", ".webm", ".avi", ".mkv")
OPENED = 20
"""How many pictures or clips of a folder are opened, spread over it, unless all are to be."""


@dataclass(slots=True)
class Reading:
    """What was read.

    Attributes:
        counts: by name.
        notes: remarks that follow the counts.
        problem: a sentence where something is wrong that the loader does not mind, else "".
        names: names of the pictures that the rows are about.
        lost: how many of these are not there.
    """

    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    names: Sequence[str] = ()
    lost: int = 0


# --------------------------------------------------------------------------------------------------------------------
# Folders


def pictures(folder: Path, deep: bool) -> Reading:
    """Count pictures, and open some of them, or all where ``deep``."""
    from negutil.models.pictures import read_rgb

    return _opened(folder, PICTURES, read_rgb, deep)


def clips(folder: Path, deep: bool) -> Reading:
    """Count clips, and decode some of them, or all where ``deep``."""
    from negutil.data import msrvtt

    return _opened(folder, CLIPS, msrvtt.frames, deep)


def _opened(folder: Path, endings: Sequence[str], try_to_open: Callable[[Path], object], deep: bool) -> Reading:
    """Count the files of a folder and open some, or all; the first that cannot be opened is told."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in endings)
    reading = Reading({"files": len(files)})
    step = 1 if deep else max(1, len(files) // OPENED)
    bad = [file for file in files[::step] if not _opens(file, try_to_open)]
    if bad:
        told = f"{len(bad)} of the {len(files[::step])} files that were opened are damaged, the first is {bad[0].name}"
        reading.problem = f"{folder}: {told}: delete and fetch them again."
    return reading


def _opens(file: Path, try_to_open: Callable[[Path], object]) -> bool:
    try:
        try_to_open(file)
    except NegutilError:
        return False
    return True


def files_of(folder: Path, deep: bool) -> Reading:
    """Count files."""
    return Reading({"files": sum(1 for file in folder.iterdir() if file.is_file())})


def classes(folder: Path, deep: bool) -> Reading:
    """Count pictures in one folder per class."""
    from negutil.data import folders

    rows = folders.load(folder)
    return Reading({"pictures": len(rows), "classes": len(rows.features["label"].names)})


# --------------------------------------------------------------------------------------------------------------------
# Weights


def weights(file: Path) -> Reading:
    """Count the tensors of a file of weights; what is no plain tensor is refused, not run."""
    from negutil.models import loader

    state = loader.read_weights(file)
    return Reading({"tensors": len(state), "numbers": sum(tensor.numel() for tensor in state.values())})


def compare_registry(found: Reading, part: Part, file: Path) -> None:
    """Say whether the sha256 of a file is the one in configs/models.toml."""
    from negutil import files
    from negutil.models import registry

    actual = files.sha256(file)
    expected = registry.find(part.model).sha256 if part.model else ""
    if expected and actual != expected:
        fix = "fetch it again, or correct configs/models.toml"
        found.problem = f"{file} has sha256 {actual}, where '{part.model}' is registered with {expected}: {fix}."
    elif not expected:
        entry = f"write it into configs/models.toml, [{part.model}]" if part.model else "no model is registered for it"
        found.notes.append(f"sha256 {actual}; {entry}")


def hub(files: list[Path]) -> Reading:
    """Tensors of the files of a repository; of safetensors only the head is read, which also shows a cut file."""
    import safetensors

    from negutil.models import loader

    count = 0
    for file in files:
        if file.suffix != ".safetensors":
            count += len(loader.read_weights(file))
            continue
        try:
            with safetensors.safe_open(file, framework="np") as opened:
                count += len(opened.keys())
        except (safetensors.SafetensorError, OSError) as problem:
            raise NegutilError(f"{file} is damaged ({problem}): delete it and get it again.") from problem
    return Reading({"files": len(files), "tensors": count})
