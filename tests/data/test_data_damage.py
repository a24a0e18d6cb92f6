"""Random damage to small files of every JSON format: a loader reads them or says what is wrong, never anything else."""

from __future__ import annotations

import copy
import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import test_data_coco
import test_data_msrvtt
import test_data_negationclip
import test_data_negrefcocog
import test_data_phrasecut
import test_data_refcocog
import test_data_t2i_prompts
import test_data_valse
import test_data_vqa
import test_tifa
from data_files import write_json
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil import paths
from negutil.data import (
    coco,
    msrvtt,
    negationclip,
    negrefcocog,
    phrasecut,
    refcocog,
    simpleneg,
    t2i_prompts,
    tifa,
    valse,
    vqa,
)
from negutil.errors import NegutilError


def _coco_captions(path: Path) -> Dataset:
    return coco.load(captions=path)


def _coco_instances(path: Path) -> Dataset:
    return coco.load(instances=path)


def _vqa_annotations(path: Path) -> Dataset:
    return vqa.load(write_json(path.with_name("questions.json"), test_data_vqa.QUESTIONS), path)


def _refs(path: Path) -> Dataset:
    folder = path.parent / "refcocog"
    write_json(folder / "instances.json", test_data_refcocog.INSTANCES)
    path.replace(folder / "refs(umd).json")
    return refcocog.load(folder)


FORMATS: dict[str, tuple[Any, Callable[[Path], Dataset]]] = {
    "coco captions": (test_data_coco.CAPTIONS, _coco_captions),
    "coco instances": (test_data_coco.INSTANCES, _coco_instances),
    "msrvtt": (test_data_msrvtt.CONTENT, msrvtt.load),
    "negationclip": (test_data_negationclip.CONTENT, negationclip.load),
    "negrefcocog": (test_data_negrefcocog.ROWS, negrefcocog.load),
    "phrasecut": (test_data_phrasecut.TASKS, phrasecut.load),
    "refcocog": (test_data_refcocog.REFS, _refs),
    "simpleneg": ([["a desk with no lamp", "is there a lamp?", "is there a desk?"]] * 2, simpleneg.load),
    "simpleneg pairs": ({"a dog runs": "no dog runs", "a cat": "no cat"}, simpleneg.pairs),
    "t2i prompts": (test_data_t2i_prompts.ROWS, t2i_prompts.load),
    "tifa": ([test_tifa.ROW], tifa.load),
    "tifa captions": ([test_tifa.ROW], tifa.captions),
    "valse": (test_data_valse.ITEMS, valse.load),
    "vqa questions": (test_data_vqa.QUESTIONS, vqa.load),
    "vqa annotations": (test_data_vqa.ANNOTATIONS, _vqa_annotations),
}
JUNK: list[Any] = [
    None,
    True,
    0,
    -7,
    2**70,
    1.5,
    float("nan"),
    "",
    "x",
    "\ud800",
    [],
    [None],
    [[]],
    ["x"],
    [1, 2],
    {},
    {"id": 1},
]


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested JSON, as the keys and indices that lead there."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path] * bool(path) + [place for key, value in inside for place in places(value, (*path, key))]


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None, max_examples=30)
@given(damage=st.data())
def test_damaged_files_are_read_or_explained(name: str, damage: st.DataObject) -> None:
    sound, load = FORMATS[name]
    content = copy.deepcopy(sound)
    *parents, last = damage.draw(st.sampled_from(places(content)))
    parent = content
    for key in parents:
        parent = parent[key]
    if damage.draw(st.booleans()):
        del parent[last]
    else:
        parent[last] = damage.draw(st.sampled_from(JUNK))
    folder = paths.cache() / "damage"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file.json").write_text(json.dumps(content), encoding="utf-8")
    try:
        rows = load(folder / "file.json")
    except NegutilError as error:
        assert "\n" not in str(error)
        assert "file.json" in str(error) or "refs(umd)" in str(error) or "questions.json" in str(error)
    else:
        assert len(rows.to_dict()[rows.column_names[0]]) >= 1


def test_every_json_format_is_damaged() -> None:
    covered = {load.__module__.rpartition(".")[2] for _, load in FORMATS.values()} | {"coco", "vqa", "refcocog"}
    reads_json = {
        path.stem
        for path in Path(importlib.import_module("negutil.data").__file__ or "").parent.glob("[a-z]*.py")
        if re.search("_reading.(read_json|json_columns)", path.read_text(encoding="utf-8"))
    }
    assert reads_json <= covered
