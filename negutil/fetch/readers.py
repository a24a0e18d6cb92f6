"""How each part of the published data is read and counted: rows with the loaders of ``negutil.data``, media, weights.

A reader takes the files of a part and returns counts by name. The names are those of the counts in
configs/datasets.toml. Loaders raise NegutilError for damaged files, with the file, the place and the fix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import safetensors
from datasets import Dataset

from negutil import data, files
from negutil.data import (
    _reading,
    ccneg,
    celeba,
    chexpert,
    coco,
    folders,
    laion,
    msrvtt,
    negbench,
    negrefcocog,
    phrasecut,
    refcocog,
    t2i_prompts,
    tifa,
    valse,
    voc,
    vqa,
)
from negutil.errors import NegutilError
from negutil.fetch.catalogue import Part
from negutil.models import loader, registry
from negutil.models.pictures import read_rgb

Count = Callable[[Dataset], int]
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

    counts: Mapping[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    names: Sequence[str] = ()
    lost: int = 0


def read(part: Part, found: list[Path], pictures: Path | None = None, deep: bool = False) -> Reading:
    """Read the files of a part, and look for the pictures that they name in ``pictures`` where that folder exists.

    With ``deep`` every picture and clip is opened. Raises NegutilError as the loaders do.
    """
    if part.hub:
        return _hub(found)
    if part.read == "captions":
        return _captions(found)
    if part.read == "weights":
        return _weights(found[0], part)
    if part.read in _MEDIA:
        return _opened(found[0], *_MEDIA[part.read], deep)
    if part.read in _ROWS:
        load, counts = _ROWS[part.read]
        rows = load(found[0])
        reading = _counted(rows, {name: count(rows) for name, count in counts.items()})
    else:
        reading = _READERS[part.read](found[0])
    if pictures is not None and reading.names:
        _look_for(reading, pictures)
    return reading


def _look_for(reading: Reading, folder: Path) -> None:
    """Note how many of the pictures that the rows name are in ``folder``."""
    names = list(dict.fromkeys(reading.names))
    if not folder.is_dir():
        reading.notes.append(f"the folder of its pictures, {folder}, is not there")
        return
    try:
        reading.lost = _reading.find_files(names, folder, folder, "drop").count(None)
    except NegutilError:
        reading.lost = len(names)
    if reading.lost:
        reading.notes.append(f"{len(names) - reading.lost:,} of its {len(names):,} pictures are in {folder.name}")


# --------------------------------------------------------------------------------------------------------------------
# Files with rows


def _counted(rows: Dataset, counts: Mapping[str, int]) -> Reading:
    """The ``counts``, malformed lines as a note, and the names of the pictures."""
    left_out = data.report(rows).left_out
    notes = [f"{len(left_out)} left out as malformed, the first is {left_out[0]}"] if left_out else []
    return Reading(counts, notes, names=list(rows["file_name"]) if "file_name" in rows.column_names else [])


def _different(column: str) -> Count:
    return lambda rows: len(set(rows[column]))


def _inside(column: str) -> Count:
    return lambda rows: sum(map(len, rows[column][:]))


def _equal(column: str, value: str) -> Count:
    return lambda rows: list(rows[column]).count(value)


def _answers(file: Path) -> Dataset:
    questions = file.with_name(file.name.replace("v2_", "v2_OpenEnded_").replace("annotations", "questions"))
    return vqa.load(questions, file)


def _captions(shards: list[Path]) -> Reading:
    columns = Counter(laion.caption_column(shard) for shard in shards)
    counts = {"files": len(shards), "captions": sum(pq.read_metadata(shard).num_rows for shard in shards)}
    return Reading(counts, [f"captions are in {' and '.join(repr(name) for name in columns)}"])


def _celeba_splits(file: Path) -> Reading:
    splits = [line.split()[-1] for line in _reading.read_text(file).splitlines() if line.strip()]
    return Reading({"faces": len(splits), "faces for testing": splits.count("2")})


def _voc(file: Path) -> Reading:
    told = data.report(voc.load(file.parents[2], file.stem, missing="drop"))
    notes = [f"{told.missing_pictures:,} pictures are not there"] if told.missing_pictures else []
    return Reading({"pictures": told.rows + told.missing_pictures}, notes, lost=told.missing_pictures)


def _negbench(file: Path) -> Reading:
    rows = negbench.load(file)
    told = data.report(rows)
    counts = {"rows": len(rows) + len(told.left_out)}
    if "captions" in rows.column_names:
        counts["captions"] = told.counts["captions"]
    if "template" in rows.column_names:
        counts |= {kind: list(rows["template"]).count(kind) for kind in negbench.TEMPLATES}
    return _counted(rows, counts)


def _entries(content: Any, file: Path) -> Reading:
    if not isinstance(content, list | dict):
        raise NegutilError(f"{file}: it holds a {type(content).__name__}, no list or table; fetch the file again.")
    return Reading({"entries": len(content)})


# --------------------------------------------------------------------------------------------------------------------
# Pictures, clips and weights


def _opened(folder: Path, endings: Sequence[str], opens: Callable[[Path], object], deep: bool) -> Reading:
    """Count the files of a folder and open some, or all where ``deep``; the first that cannot be opened is told."""
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in endings)
    chosen = found[:: 1 if deep else max(1, len(found) // OPENED)]
    bad = []
    for file in chosen:
        try:
            opens(file)
        except NegutilError:
            bad.append(file.name)
    told = f"{len(bad)} of the {len(chosen)} files that were opened are damaged, the first is {bad[0]}" if bad else ""
    return Reading({"files": len(found)}, problem=f"{folder}: {told}: delete and fetch them again." if bad else "")


def _weights(file: Path, part: Part) -> Reading:
    """Count the tensors of a file of weights, and compare its sha256 with the one in configs/models.toml.

    What is no plain tensor is refused, not run.
    """
    state = loader.read_weights(file)
    reading = Reading({"tensors": len(state), "numbers": sum(tensor.numel() for tensor in state.values())})
    actual = files.sha256(file)
    expected = registry.find(part.model).sha256 if part.model else ""
    if expected and actual != expected:
        fix = "fetch it again, or correct configs/models.toml"
        reading.problem = f"{file} has sha256 {actual}, where '{part.model}' is registered with {expected}: {fix}."
    elif not expected:
        entry = f"write it into configs/models.toml, [{part.model}]" if part.model else "no model is registered for it"
        reading.notes.append(f"sha256 {actual}; {entry}")
    return reading


def _hub(found: list[Path]) -> Reading:
    """Tensors of the files of a repository; of safetensors only the head is read, which also shows a cut file."""
    count = 0
    for file in found:
        if file.suffix != ".safetensors":
            count += len(loader.read_weights(file))
            continue
        try:
            with safetensors.safe_open(file, framework="np") as opened:
                count += len(opened.keys())
        except (safetensors.SafetensorError, OSError) as problem:
            raise NegutilError(f"{file} is damaged ({problem}): delete it and get it again.") from problem
    return Reading({"files": len(found), "tensors": count})


_MEDIA: dict[str, tuple[Sequence[str], Callable[[Path], object]]] = {
    "pictures": (folders.SUFFIXES, read_rgb),
    "clips": (negbench.CLIPS, msrvtt.frames),
}
_ROWS: dict[str, tuple[Callable[[Path], Dataset], dict[str, Count]]] = {
    "celeba": (
        lambda file: celeba.load(file.parent, pictures=False),
        # Its other columns are the file's name and the split.
        {"faces": len, "attributes": lambda rows: len(rows.column_names) - 2},
    ),
    "coco-captions": (
        lambda file: coco.load(captions=file),
        {"pictures": len, "captions": _inside("captions")},
    ),
    "coco-instances": (
        lambda file: coco.load(instances=file),
        {
            "pictures": len,
            "objects": _inside("categories"),
            "categories": lambda rows: len({kind for kinds in rows["categories"][:] for kind in kinds}),
        },
    ),
    "msrvtt": (msrvtt.load, {"clips": len, "captions": _inside("captions")}),
    "chexpert": (chexpert.load, {"radiographs": len}),
    "valse": (
        valse.load,
        {
            "items": len,
            "valid items": lambda rows: sum(votes >= valse.VALID_VOTES for votes in rows["votes_caption"]),
            "items with the cue in the caption": _equal("negated", "caption"),
        },
    ),
    "ccneg": (lambda file: ccneg.load(file, n_evaluation=1), {"items": len}),
    "negrefcocog": (
        negrefcocog.load,
        {"phrases": len, "pictures": _different("file_name"), "different phrases": _different("phrase")},
    ),
    "refcocog": (
        lambda file: refcocog.load(file.parent),
        {"sentences": len, "objects": _different("ann_id"), "pictures": _different("file_name")},
    ),
    "phrasecut": (phrasecut.load, {"phrases": len, "pictures": _different("image_id")}),
    "vqa": (vqa.load, {"questions": len, "pictures": _different("image_id")}),
    "vqa-answers": (_answers, {"answered": len, "answered with no": _equal("answer", "no")}),
    "tifa-captions": (tifa.captions, {"captions": len}),
    "tifa": (tifa.load, {"questions": len, "captions": _different("id")}),
    "prompts": (t2i_prompts.load, {"prompts": len}),
    "classes": (folders.load, {"pictures": len, "classes": lambda rows: len(rows.features["label"].names)}),
}
"""How the rows of a file are loaded, and what is counted of them."""

_READERS: dict[str, Callable[[Path], Reading]] = {
    "celeba-splits": _celeba_splits,
    "voc": _voc,
    "negbench": _negbench,
    "torch": lambda file: _entries(ccneg.read_pt(file), file),
    "json": lambda file: _entries(_reading.read_json(file), file),
    "files": lambda folder: Reading({"files": sum(file.is_file() for file in folder.iterdir())}),
}
KNOWN = frozenset((*_MEDIA, *_ROWS, *_READERS, "captions", "weights", "pipeline", ""))
"""What may stand under `read` in the catalogue."""
