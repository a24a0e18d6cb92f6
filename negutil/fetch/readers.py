"""How each part of a published dataset is read and counted, with the loaders of ``negutil.data``.

A reader takes the files of a part and returns counts by name. The names are those of the counts in
configs/datasets.toml. Loaders raise NegutilError for damaged files, with the file, the place and the fix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from negutil.errors import NegutilError
from negutil.fetch import media
from negutil.fetch.catalogue import Part
from negutil.fetch.media import Reading


def read(part: Part, files: list[Path], pictures: Path | None = None, deep: bool = False) -> Reading:
    """Read the files of a part, and look for the pictures that they name in ``pictures`` where that folder exists.

    Raises NegutilError as the loaders do.
    """
    if part.hub:
        return media.hub(files)
    if part.read in _FOLDERS:
        return _FOLDERS[part.read](files[0], deep)
    found = _READERS[part.read](files[0]) if part.read in _READERS else _MANY[part.read](files)
    if part.read == "weights":
        media.compare_registry(found, part, files[0])
    if pictures is not None and found.names:
        _look_for(found, pictures)
    return found


def _look_for(found: Reading, folder: Path) -> None:
    """Note how many of the pictures that the rows name are in ``folder``."""
    from negutil.data import _reading

    names = list(dict.fromkeys(found.names))
    if not folder.is_dir():
        found.notes.append(f"the folder of its pictures, {folder}, is not there")
        return
    try:
        lost = _reading.find_files(names, folder, folder, "drop").count(None)
    except NegutilError:
        lost = len(names)
    found.lost = lost
    if lost:
        found.notes.append(f"{len(names) - lost:,} of its {len(names):,} pictures are in {folder.name}")


# --------------------------------------------------------------------------------------------------------------------
# Files with rows


def _captions(files: list[Path]) -> Reading:
    import pyarrow.parquet as pq

    from negutil.data import laion

    columns = Counter(laion.caption_column(file) for file in files)
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    told = f"captions are in {' and '.join(repr(name) for name in columns)}"
    return Reading({"files": len(files), "captions": rows}, [told])


def _celeba(file: Path) -> Reading:
    from negutil.data import celeba

    rows = celeba.load(file.parent, pictures=False)
    return Reading({"faces": len(rows), "attributes": len(celeba.attribute_names(file.parent))}, names=_names(rows))


def _celeba_splits(file: Path) -> Reading:
    from negutil.data import _reading

    splits = [line.split()[-1] for line in _reading.read_text(file).splitlines() if line.strip()]
    return Reading({"faces": len(splits), "faces for testing": splits.count("2")})


def _coco_captions(file: Path) -> Reading:
    from negutil.data import coco

    rows = coco.load(captions=file)
    return Reading({"pictures": len(rows), "captions": sum(map(len, rows["captions"][:]))}, names=_names(rows))


def _coco_instances(file: Path) -> Reading:
    from negutil.data import coco

    rows = coco.load(instances=file)
    kinds = [kind for kinds in rows["categories"][:] for kind in kinds]
    return Reading({"pictures": len(rows), "objects": len(kinds), "categories": len(set(kinds))})


def _voc(file: Path) -> Reading:
    from negutil import data
    from negutil.data import voc

    rows = voc.load(file.parents[2], file.stem, missing="drop")
    told = data.report(rows)
    notes = [f"{told.missing_pictures:,} pictures are not there"] if told.missing_pictures else []
    return Reading({"pictures": told.rows + told.missing_pictures}, notes, lost=told.missing_pictures)


def _msrvtt(file: Path) -> Reading:
    from negutil.data import msrvtt

    rows = msrvtt.load(file)
    return Reading({"clips": len(rows), "captions": sum(map(len, rows["captions"][:]))})


def _chexpert(file: Path) -> Reading:
    from negutil.data import chexpert

    rows = chexpert.load(file)
    return Reading({"radiographs": len(rows)}, _left_out(rows), names=_names(rows))


def _negbench(file: Path) -> Reading:
    from negutil import data
    from negutil.data import negbench

    rows = negbench.load(file)
    told = data.report(rows)
    counts = {"rows": len(rows) + len(told.left_out)}
    if "captions" in rows.column_names:
        counts["captions"] = told.counts["captions"]
    if "template" in rows.column_names:
        counts |= {kind: list(rows["template"]).count(kind) for kind in negbench.TEMPLATES}
    return Reading(counts, _left_out(rows), names=_names(rows))


def _valse(file: Path) -> Reading:
    from negutil.data import valse

    rows = valse.load(file)
    valid = sum(votes >= valse.VALID_VOTES for votes in rows["votes_caption"])
    cued = list(rows["negated"]).count("caption")
    counts = {"items": len(rows), "valid items": valid, "items with the cue in the caption": cued}
    return Reading(counts, names=_names(rows))


def _ccneg(file: Path) -> Reading:
    from negutil.data import ccneg

    rows = ccneg.load(file, n_evaluation=1)
    return Reading({"items": len(rows)}, names=_names(rows))


def _torch(file: Path) -> Reading:
    from negutil.data import ccneg

    return _entries(ccneg.read_pt(file), file)


def _negrefcocog(file: Path) -> Reading:
    from negutil.data import negrefcocog

    rows = negrefcocog.load(file)
    names, phrases = _names(rows), rows["phrase"][:]
    counts = {"phrases": len(rows), "pictures": len(set(names)), "different phrases": len(set(phrases))}
    return Reading(counts, names=names)


def _refcocog(file: Path) -> Reading:
    from negutil.data import refcocog

    rows = refcocog.load(file.parent)
    names = _names(rows)
    counts = {"sentences": len(rows), "objects": len(set(rows["ann_id"])), "pictures": len(set(names))}
    return Reading(counts, names=names)


def _phrasecut(file: Path) -> Reading:
    from negutil.data import phrasecut

    rows = phrasecut.load(file)
    return Reading({"phrases": len(rows), "pictures": len(set(rows["image_id"]))}, names=_names(rows))


def _vqa(file: Path) -> Reading:
    from negutil.data import vqa

    rows = vqa.load(file)
    return Reading({"questions": len(rows), "pictures": len(set(rows["image_id"]))})


def _vqa_answers(file: Path) -> Reading:
    from negutil.data import vqa

    questions = file.with_name(file.name.replace("v2_", "v2_OpenEnded_").replace("annotations", "questions"))
    rows = vqa.load(questions, file)
    return Reading({"answered": len(rows), "answered with no": list(rows["answer"]).count("no")})


def _tifa_captions(file: Path) -> Reading:
    from negutil.data import tifa

    return Reading({"captions": len(tifa.captions(file))})


def _tifa(file: Path) -> Reading:
    from negutil.data import tifa

    rows = tifa.load(file)
    return Reading({"questions": len(rows), "captions": len(set(rows["id"]))})


def _prompts(file: Path) -> Reading:
    from negutil.data import t2i_prompts

    return Reading({"prompts": len(t2i_prompts.load(file))})


def _json(file: Path) -> Reading:
    from negutil.data import _reading

    return _entries(_reading.read_json(file), file)


def _entries(content: Any, file: Path) -> Reading:
    if not isinstance(content, list | dict):
        raise NegutilError(f"{file}: it holds a {type(content).__name__}, no list or table; fetch the file again.")
    return Reading({"entries": len(content)})


def _names(rows: Any) -> list[str]:
    return list(rows["file_name"])


def _left_out(rows: Any) -> list[str]:
    from negutil import data

    lines = data.report(rows).left_out
    return [f"{len(lines)} left out as malformed, the first is {lines[0]}"] if lines else []


_MANY: dict[str, Callable[[list[Path]], Reading]] = {"captions": _captions}
_FOLDERS: dict[str, Callable[[Path, bool], Reading]] = {
    "pictures": media.pictures,
    "clips": media.clips,
    "files": media.files_of,
    "classes": media.classes,
}
_READERS: dict[str, Callable[[Path], Reading]] = {
    "celeba": _celeba,
    "celeba-splits": _celeba_splits,
    "coco-captions": _coco_captions,
    "coco-instances": _coco_instances,
    "voc": _voc,
    "msrvtt": _msrvtt,
    "chexpert": _chexpert,
    "negbench": _negbench,
    "valse": _valse,
    "ccneg": _ccneg,
    "torch": _torch,
    "negrefcocog": _negrefcocog,
    "refcocog": _refcocog,
    "phrasecut": _phrasecut,
    "vqa": _vqa,
    "vqa-answers": _vqa_answers,
    "tifa-captions": _tifa_captions,
    "tifa": _tifa,
    "prompts": _prompts,
    "json": _json,
    "weights": media.weights,
}
KNOWN = frozenset((*_MANY, *_FOLDERS, *_READERS, "pipeline", ""))
"""What may stand under `read` in the catalogue."""
