"""Check published data: read it with the loaders, compare counts with the known ones, compare checksums.

Every part of a dataset gets one finding: OK; PART, incomplete (a few rows, some images), on which notebooks run but
whose numbers are not those of the benchmark; MISSING; or WRONG, with the file and how to fix it. A reader takes the
file of a part and returns counts under the names that configs/datasets.toml uses. Loaders raise
NegutilError for damaged files, with the file, the place and the fix.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
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
    download,
    flickr8k,
    folders,
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
from negutil.errors import NegutilError, of_system
from negutil.fetch import catalogue
from negutil.fetch.catalogue import Part
from negutil.models import checkpoints, registry
from negutil.models.pictures import read_rgb

OK, PART, MISSING, WRONG = "ok", "part", "missing", "wrong"
Count = Callable[[Dataset], int]
CAPTION_COLUMNS = ("TEXT", "text", "Text", "caption", "CAPTION", "Caption")
"""Names of the caption column of LAION-400M's parquet shards, by release; the first that a shard has is taken."""
OPENED = 20
"""How many images or clips of a folder are opened, spread over it, unless all are to be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one ``part`` (path or repository) of the entry ``name``.

    ``status`` is OK, PART, MISSING or WRONG; ``needed`` says whether notebooks need the part.
    """

    name: str
    part: str
    status: str
    message: str
    needed: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Reading:
    """What was read: ``counts`` by name, and ``notes`` that follow them.

    ``problem`` is a sentence about an error that the loader accepts, else ""; ``names`` are the images of the rows, of
    which ``lost`` are missing.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    names: Sequence[str] = ()
    lost: int = 0


def check(name: str, folder: Path | None = None, deep: bool = False) -> Iterator[Finding]:
    """Findings about every part of ``name``, in ``folder`` or where notebooks look; a single one if nothing is there.

    With ``deep`` every image is opened, otherwise some.
    """
    entry = catalogue.find(name)
    where = catalogue.place(entry, folder)
    there = [where.located(part) for part in entry.parts]
    get = f"missing: negutil data get {name}"
    if not any(there):
        yield Finding(name, entry.parts[0].name, MISSING, get)
        return
    for part, located in zip(entry.parts, there, strict=True):
        counts: Mapping[str, int] = {}
        try:
            status, message = MISSING, get
            if located:
                pictures = where.path(part.pictures) if part.pictures and not where.own else None
                reading = read(part, located, pictures, deep)
                counts = reading.counts
                status, message = judge(part, located, reading)
        except NegutilError as problem:
            status, message = WRONG, str(problem)
        except OSError as problem:  # a folder or file without permission to read: check the other parts all the same
            status, message = WRONG, of_system(problem)
        yield Finding(name, part.name, status, message, part.needed, counts)


def failed(finding: Finding, named: bool, whole: bool = False) -> bool:
    """Whether a finding makes the command fail.

    Missing data does so only if it is needed and was named; a part only if ``whole`` data is required.
    """
    lacks = finding.status == MISSING and named and finding.needed
    return finding.status == WRONG or lacks or (finding.status == PART and whole)


def judge(part: Part, located: list[Path], reading: Reading) -> tuple[str, str]:
    """Status and message of what was read: errors first, then incomplete data."""
    less, more = compare(reading.counts, part.counts)
    least = part.least.items()
    less += [f"{reading.counts[what]:,} of at least {n:,} {what}" for what, n in least if reading.counts[what] < n]
    notes = "".join(f"; {note}" for note in reading.notes)
    if reading.problem:
        return WRONG, reading.problem
    if more:
        fix = "it is another release or was changed, so download it again"
        return WRONG, f"{located[0]} has {', '.join(more)}, more than expected ({part.counted}): {fix}."
    if less:
        return PART, f"{', '.join(less)}: a part{notes}"
    # Of several known releases the checksum is that of the first.
    firsts = {what: wanted[0] for what, wanted in part.counts.items() if isinstance(wanted, list)}
    if len(located) == 1 and all(reading.counts.get(what) == first for what, first in firsts.items()):
        for kind, expected in (("sha256", part.sha256), ("md5", part.md5)):
            if expected and (actual := download.digest(located[0], kind)) != expected:
                told = f"{located[0]} has {kind} {actual} instead of {expected} ({part.checksum})"
                return WRONG, f"{told}: it was changed, so download it again."
    counts = ", ".join(f"{count:,} {what}" for what, count in reading.counts.items()) or "present"
    return (PART if reading.lost else OK), f"{counts}{notes}"


def compare(counts: Mapping[str, int], known: Mapping[str, int | list[int]]) -> tuple[list[str], list[str]]:
    """What is less and what is more than known, such as "1,000 of 5,914 rows"."""
    less: list[str] = []
    more: list[str] = []
    for what, wanted in known.items():
        most, allowed = (max(wanted), wanted) if isinstance(wanted, list) else (wanted, [wanted])
        if counts.get(what, 0) in allowed:
            continue
        told = f"{counts.get(what, 0):,} of {most:,} {what}"
        (less if counts.get(what, 0) < most else more).append(told)
    return less, more


def read(part: Part, located: list[Path], pictures: Path | None = None, deep: bool = False) -> Reading:
    """Read the files of a part, and look for the images that they name in ``pictures`` if that folder exists.

    With ``deep`` every image and clip is opened. Raises NegutilError as the loaders do.
    """
    if part.hub:
        return _hub(located)
    if part.read == "captions":
        columns = Counter(caption_column(shard) for shard in located)
        captions = sum(pq.read_metadata(shard).num_rows for shard in located)
        note = f"captions are in {' and '.join(repr(name) for name in columns)}"
        return Reading({"files": len(located), "captions": captions}, [note])
    if part.read == "weights":
        return _weights(located[0], part)
    if part.read in _MEDIA:
        return _opened(located[0], *_MEDIA[part.read], deep)
    if part.read in _ROWS:
        load, counts = _ROWS[part.read]
        rows = load(located[0])
        reading = _counted(rows, {name: count(rows) for name, count in counts.items()})
    else:
        reading = _READERS[part.read](located[0])
    names = list(dict.fromkeys(reading.names))
    if pictures is not None and names:
        if not pictures.is_dir():
            reading.notes.append(f"the folder of its images, {pictures}, is missing")
            return reading
        try:
            with data.missing_pictures("drop"):
                reading.lost = _reading.find_files(names, pictures, pictures).count(None)
        except NegutilError:
            reading.lost = len(names)
        if reading.lost:
            reading.notes.append(
                f"{len(names) - reading.lost:,} of its {len(names):,} images are in {pictures.name}: a part"
            )
    return reading


def caption_column(shard: Path) -> str:
    """The name of the shard's caption column: the first of CAPTION_COLUMNS that it has.

    Raises NegutilError for a damaged shard, no such column, and a column that is not text.
    """
    try:
        schema = pl.read_parquet_schema(shard)
    except (pl.exceptions.PolarsError, OSError) as error:
        problem = f"the parquet file is cut short or damaged ({str(error).splitlines()[0]:.100})"
        _reading.fail(shard, problem, "download the shard again or remove it", error)
    fix = "rename the column with the captions to one of these names"
    name = next((name for name in CAPTION_COLUMNS if name in schema), None)
    if name is None:
        problem = f"no caption column ({' or '.join(map(repr, CAPTION_COLUMNS))}) among {list(schema)}"
        _reading.fail(shard, problem, fix)
    if schema[name] != pl.String:
        _reading.fail(shard, f"column {name!r} contains {schema[name]}, not text", fix)
    return name


def _counted(rows: Dataset, counts: Mapping[str, int]) -> Reading:
    """The ``counts``, malformed lines as a note, and the names of the images."""
    left_out = data.report(rows).left_out
    notes = [f"{len(left_out)} left out as malformed, the first is {left_out[0]}"] if left_out else []
    return Reading(counts, notes, names=list(rows["file_name"]) if "file_name" in rows.column_names else [])


def _different(column: str) -> Count:
    return lambda rows: len(set(rows[column]))


def _inside(column: str) -> Count:
    return lambda rows: sum(map(len, rows[column][:]))


def _celeba_splits(file: Path) -> Reading:
    splits = [line.split()[-1] for line in _reading.read_text(file).splitlines() if line.strip()]
    return Reading({"faces": len(splits), "faces for testing": splits.count("2")})


def _voc(file: Path) -> Reading:
    with data.missing_pictures("drop"):
        told = data.report(voc.load(file.parents[2], file.stem))
    notes = [f"{told.missing_pictures:,} images are missing: a part"] if told.missing_pictures else []
    return Reading({"images": told.rows + told.missing_pictures}, notes, lost=told.missing_pictures)


def _negbench(file: Path) -> Reading:
    rows = negbench.load(file)
    told = data.report(rows)
    counts = {"rows": len(rows) + len(told.left_out)}
    if "captions" in rows.column_names:
        counts["captions"] = told.counts["captions"]
    if "template" in rows.column_names:
        counts |= {kind: list(rows["template"]).count(kind) for kind in negbench.TEMPLATES}
    return _counted(rows, counts)


def _flickr8k(file: Path) -> Reading:
    captions, left_out = flickr8k.read_captions(file)
    notes = [f"{len(left_out)} left out, the first is {left_out[0]}"] if left_out else []
    counts = {"photographs": len(captions), "captions": sum(map(len, captions.values()))}
    return Reading(counts, notes, names=list(captions))


def _entries(content: Any, file: Path) -> Reading:
    if not isinstance(content, list | dict):
        raise NegutilError(
            f"{file}: it contains a {type(content).__name__}, not a list or table: download the file again."
        )
    return Reading({"entries": len(content)})


def _opened(folder: Path, endings: Sequence[str], opens: Callable[[Path], object], deep: bool) -> Reading:
    """Count the files of a folder and open some, or all where ``deep``; report the first that cannot be opened."""
    every = sorted(file for file in folder.iterdir() if file.suffix.lower() in endings)
    chosen = every[:: 1 if deep else max(1, len(every) // OPENED)]
    bad = []
    for file in chosen:
        try:
            opens(file)
        except NegutilError:
            bad.append(file.name)
    told = f"{len(bad)} of the {len(chosen)} opened files are damaged, the first is {bad[0]}" if bad else ""
    return Reading({"files": len(every)}, problem=f"{folder}: {told}: delete and download them again." if bad else "")


def _weights(file: Path, part: Part) -> Reading:
    """Count the tensors of a file of weights, and compare its sha256 with the one in configs/models.toml.

    Anything but a plain tensor is refused, not run.
    """
    state = checkpoints.read(file)
    reading = Reading({"tensors": len(state), "numbers": sum(tensor.numel() for tensor in state.values())})
    actual = files.sha256(file)
    expected = registry.find(part.model).sha256 if part.model else ""
    if expected and actual != expected:
        fix = "download it again, or correct configs/models.toml"
        reading.problem = f"{file} has sha256 {actual}, but '{part.model}' is registered with {expected}: {fix}."
    elif not expected:
        entry = f"copy it into configs/models.toml, [{part.model}]" if part.model else "no model is registered for it"
        reading.notes.append(f"sha256 {actual}; {entry}")
    return reading


def _hub(found: list[Path]) -> Reading:
    """Tensors of the files of a repository; of safetensors only the head is read, which also shows a cut file."""
    count = 0
    for file in found:
        if file.suffix != ".safetensors":
            count += len(checkpoints.read(file))
            continue
        try:
            with safetensors.safe_open(file, framework="np") as opened:
                count += len(opened.keys())
        except (safetensors.SafetensorError, OSError) as problem:
            raise NegutilError(f"{file} is damaged ({problem}): delete it and download it again.") from problem
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
    "coco-captions": (lambda file: coco.load(captions=file), {"images": len, "captions": _inside("captions")}),
    "coco-instances": (
        lambda file: coco.load(instances=file),
        {
            "images": len,
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
            "items with the cue in the caption": lambda rows: list(rows["negated"]).count("caption"),
        },
    ),
    "ccneg": (lambda file: ccneg.load(file, n_evaluation=1), {"items": len}),
    "negrefcocog": (
        negrefcocog.load,
        {"phrases": len, "images": _different("file_name"), "different phrases": _different("phrase")},
    ),
    "refcocog": (
        lambda file: refcocog.load(file.parent),
        {"sentences": len, "objects": _different("ann_id"), "images": _different("file_name")},
    ),
    "phrasecut": (phrasecut.load, {"phrases": len, "images": _different("image_id")}),
    "vqa": (vqa.load, {"questions": len, "images": _different("image_id")}),
    "vqa-answers": (
        lambda file: vqa.load(
            file.with_name(file.name.replace("v2_", "v2_OpenEnded_").replace("annotations", "questions")), file
        ),
        {"answered": len, "answered with no": lambda rows: list(rows["answer"]).count("no")},
    ),
    "tifa-captions": (tifa.captions, {"captions": len}),
    "tifa": (tifa.load, {"questions": len, "captions": _different("id")}),
    "prompts": (t2i_prompts.load, {"prompts": len}),
    "classes": (folders.load, {"images": len, "classes": lambda rows: len(rows.features["label"].names)}),
}
"""How the rows of a file are loaded and counted."""

_READERS: dict[str, Callable[[Path], Reading]] = {
    "celeba-splits": _celeba_splits,
    "voc": _voc,
    "negbench": _negbench,
    "flickr8k": _flickr8k,
    "flickr8k-split": lambda file: Reading({"photographs": len(flickr8k.read_split(file))}),
    "torch": lambda file: _entries(ccneg.read_pt(file), file),
    "json": lambda file: _entries(_reading.read_json(file), file),
    "files": lambda folder: Reading({"files": sum(file.is_file() for file in folder.iterdir())}),
}
KNOWN = frozenset((*_MEDIA, *_ROWS, *_READERS, "captions", "weights", "pipeline", ""))
"""The values that `read` may have in the catalogue."""
