"""What every model of notebook 05 is asked, and what it answers: one value for each item of every benchmark.

The benchmarks are those of NegationCLIP's tables (``suite``), NegBench's questions and retrieval, exclusion, and
the text tower's distance between "X" and "no X". Values are kept in the cache under weights, data and code, so a warm
run loads no model. All values of the notebook are means over such items.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from negutil import code, files, paths, progress
from negutil.cache import Cache
from negutil.captions import negbench_files, phrasing
from negutil.captions.english import HELD_OUT_NOUNS, NOUNS
from negutil.compare import negation_beyond
from negutil.compare.negation_beyond import Gallery
from negutil.config import Profile
from negutil.data import skipped, source
from negutil.errors import NegutilError
from negutil.models import encode, loader, precision, processes, registry, scorer, trained
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Cosine, Scorer
from negutil.tasks import coco_retrieval, exclusion, find, modules, negbench, probe, suite
from negutil.tasks.negbench import Items, Queries
from negutil.tasks.suite import Data
from negutil.train import wiseft

MCQ, NEGATED_RETRIEVAL = NEGBENCH = ("COCO MCQ, paraphrased", "COCO retrieval, paraphrased")
"""Of NegBench's variations; in retrieval the first caption of each picture looks for it among all pictures."""

EXCLUSION, TEXT, TEXT_COSINE = "exclusion", "text tower", "text tower, cosine"
CLAUSE = f"{suite.REFERRING}, what the negated clause adds"
NEGATION = f"{suite.REFERRING}, what the negation itself adds"
NEGATED, GAP = 'cosine of "X" and "no X"', "what negation moves"
"""Metrics of the text tower."""

COLUMNS = ("task", "item", "cluster", "type", "valid", "cue", "held_out_noun", "held_out_form")
AT = "@"
"""Between the name of a model and the share of it in weights between it and its base."""

_PARTS = ("refcocog", "imagenet", "caltech101", "ccneg", "coco")


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that is asked: the data of the benchmarks, NegBench's tasks, and exclusion's gallery."""

    data: Data
    negbench: tuple[Items, ...]
    gallery: Gallery | None

    @property
    def texts(self) -> list[str]:
        """Every different text, so that a scorer may read all of them together."""
        found = suite.texts(self.data) + [text for task in self.negbench for text in task.texts]
        found += [query.text for query in self.gallery.queries if query.cue] if self.gallery else []
        found += probe.prompts(NOUNS, probe.AFFIRMATIVE) + probe.prompts(NOUNS, probe.NEGATED)
        return list(dict.fromkeys(found))


def prepare(settings: Profile) -> Asked:
    """Read, and build where they are missing, the data of all benchmarks."""
    chosen = [each for each in negbench_files.VARIATIONS if each.title in NEGBENCH]
    tasks = skipped.attempt(settings, "NegBench", partial(negbench.load_all, settings, chosen), "negbench")
    thinned: list[Items] = []
    for task in tasks or ():
        if isinstance(task, Queries):  # one caption of each picture, in the whole gallery
            rows, first = np.unique(task.rows, return_index=True)
            thinned.append(replace(task, rows=rows, captions=[task.captions[index] for index in first]))
        else:
            thinned.append(task)
    return Asked(suite.prepare(settings), tuple(thinned), negation_beyond.gallery(settings))


# --------------------------------------------------------------------------------------------------------------------
# Asking one model


def ask(model: LoadedModel | Scorer, asked: Asked, settings: Profile) -> pd.DataFrame:
    """Everything that ``model`` answers: a row per item with COLUMNS and ``value``.

    The value is 1 or 0 (right or not), an area under the curve (exclusion), a distance or cosine (text tower), or the
    difference of two answers (CLAUSE and NEGATION).
    """
    who = scorer.of(model, settings.encode.batch, share=True)
    who.remember(asked.texts)
    benchmarks = _benchmarks(who, asked, settings)
    parts = [benchmarks]
    # Each answer to a phrase of NegRefCOCOg minus that to the phrase without its clause, or without its negation.
    own = {task: benchmarks[benchmarks["task"] == task] for task in (suite.REFERRING, suite.BARE, suite.AFFIRMED)}
    for task, other in ((CLAUSE, suite.BARE), (NEGATION, suite.AFFIRMED)):
        change = own[suite.REFERRING]["value"].to_numpy() - own[other]["value"].to_numpy()
        parts.append(own[suite.REFERRING].assign(task=task, value=change))
    parts += [_negbench(who, asked, settings)] if asked.negbench else []
    parts += [_exclusion(who, asked.gallery, settings)] if asked.gallery else []
    distances = text_distances(who, batch=settings.encode.batch)
    about = {"item": distances["noun"], "cluster": distances["noun"], "held_out_noun": distances["held_out"]}
    columns = {TEXT: "gap", TEXT_COSINE: "negated"}
    parts += [pd.DataFrame(about).assign(task=task, value=distances[column]) for task, column in columns.items()]
    whole = [part.reindex(columns=[*COLUMNS, "value"]) for part in parts if len(part)]
    found = pd.concat(whole, ignore_index=True)
    flags = {name: found[name].fillna(False).astype(bool) for name in ("held_out_noun", "held_out_form")}
    valid = found["valid"].fillna(True).astype(bool)
    texts = {name: found[name].fillna("").astype(str) for name in ("type", "cue", "item", "cluster")}
    return found.assign(valid=valid, **flags, **texts)


def _benchmarks(model: Scorer, asked: Asked, settings: Profile) -> pd.DataFrame:
    frames = suite.run(model, asked.data, settings)
    if not frames:
        return pd.DataFrame(columns=[*COLUMNS, "value"])
    table = suite.table(frames, model.name)
    said: dict[tuple[str, str], str] = {}  # the negated sentence of every item of VALSE and NegRefCOCOg
    if suite.VALSE in asked.data:
        rows = asked.data[suite.VALSE]
        columns = (rows[name][:] for name in ("item", "negated", "caption", "foil"))
        for item, side, caption, foil in zip(*columns, strict=True):
            said[suite.VALSE, item] = caption if side == "caption" else foil
    if suite.REFERRING in asked.data:
        phrases = asked.data[suite.REFERRING]["phrase"][:]
        said |= {(suite.REFERRING, str(row)): text for row, text in enumerate(phrases)}
    texts = [said.get((task, item), "") for task, item in zip(table["task"], table["item"], strict=True)]
    return pd.concat([table, phrasing.table(texts)], axis=1).assign(value=table["right"].astype(float))


def _negbench(model: Scorer, asked: Asked, settings: Profile) -> pd.DataFrame:
    items = negbench.score(model, asked.negbench, settings.encode.batch)
    found = items["rank"] <= coco_retrieval.K
    value = np.where(items["rank"].notna(), found.astype(float), items["right"].fillna(False).astype(float))
    said = phrasing.table(items["text"].tolist())
    about = {"task": items["variation"], "item": items["item"], "cluster": items["picture"], "type": items["type"]}
    return pd.concat([pd.DataFrame(about).assign(value=value), said], axis=1)


def _exclusion(model: Scorer, gallery: Gallery, settings: Profile) -> pd.DataFrame:
    """The area under the curve of every query with a negation."""
    images = encode.images(model.tower, gallery.pictures, batch=settings.encode.batch)
    queries = [query for query in gallery.queries if query.cue]
    return pd.DataFrame(
        {
            "task": EXCLUSION,
            "item": np.arange(len(queries)),
            "cluster": [f"{query.wanted} without {query.excluded}" for query in queries],
            "type": [query.form for query in queries],
            "cue": [query.cue for query in queries],
            "held_out_noun": [query.excluded in HELD_OUT_NOUNS for query in queries],
            "held_out_form": [query.held_out for query in queries],
            "value": exclusion.areas(model, queries, images, gallery.there),
        }
    )


# --------------------------------------------------------------------------------------------------------------------
# Asking many models


def values(settings: Profile, names: Sequence[str]) -> pd.DataFrame:
    """The items (COLUMNS) and a column of values for each of ``names``, from the cache or asked now.

    A name is one of the registry, of a fine-tuned model, or of one with a share, such as ``b+m/seed0@0.5``: weights
    between the base and the model. Models are asked in as many processes as the profile has.
    """
    data, store = data_fingerprint(settings), Cache()
    fields = {name: _fields(name, settings, data) for name in names}
    missing = [name for name in names if store.load(store.key(**fields[name])) is None]
    path = _items_path(settings, data)
    if not path.exists() and names[0] not in missing:
        missing = [names[0], *missing]
    # In processes of one thread each; the first of each base goes ahead alone: it encodes the pictures for all.
    first = list({_base(name): name for name in reversed(missing)}.values())
    with progress.bar("evaluating models", total=len(missing)) as bar:
        for group in (first, [name for name in missing if name not in first]):
            rows = [(name, settings, data) for name in group]
            for _ in processes.each(answer, rows, settings.finetuning.processes) if rows else ():
                bar.update()
    found = {name: store.load(store.key(**fields[name])) for name in names}
    lost = [name for name, arrays in found.items() if arrays is None]
    if lost:
        raise NegutilError(f"The answers of {lost[0]} were deleted while they were read: start again.")
    columns = {name: arrays["values"] for name, arrays in found.items() if arrays is not None}
    return pd.concat([pd.read_parquet(path), pd.DataFrame(columns)], axis=1)


def data_fingerprint(settings: Profile) -> str:
    """What the items depend on: digest of the data (built where they are missing) and of the code that asks.

    Device and dtype are part of it where they are not the default.
    """
    others = [title for title in suite.names() if title not in suite.TITLES]
    asked = everything(settings) if others or not source.is_world(settings) else None
    if asked is not None and not source.is_world(settings):
        media = [str(path) for task in asked.negbench for path in task.media]
        media += [str(path) for path in asked.gallery.pictures.paths] if asked.gallery else []
        texts = json.dumps([asked.texts, media, str(settings.data)])
        made = [hashlib.sha256(texts.encode()).hexdigest()]
    else:
        names = ("valse", "negrefcocog", "negbench", *_PARTS, "ccneg-reversed")
        made = [source.digest(source.folder(settings, name)) for name in names]
    read = asked.data if asked and others else {}
    made += [text for title in others if title in read for text in find()[title].texts(read[title])]
    made += [code.fingerprint(__name__, *modules()), *precision.identity().values()]
    return hashlib.sha256(" ".join(made).encode()).hexdigest()


def answer(name: str, settings: Profile, data: str) -> None:
    """Ask one model everything; keep its values and, where that has not been done, the items under ``data``."""
    store = Cache()
    with encode.without_text_cache():
        found = ask(load(name, settings), everything(settings), settings)
    path = _items_path(settings, data)
    own = found[list(COLUMNS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            buffer = io.BytesIO()
            own.to_parquet(buffer, index=False, compression="zstd")
            files.write_bytes(path, buffer.getvalue())
    if not pd.read_parquet(path, columns=["task", "item"]).equals(own[["task", "item"]]):
        raise NegutilError(f"{name} was asked other items than those of {path}: delete that file and start again.")
    fields = _fields(name, settings, data)
    store.store(store.key(**fields), {"values": found["value"].to_numpy(np.float32)}, fields)


def load(name: str, settings: Profile) -> LoadedModel:
    """A model by its name, weights between it and its base included."""
    tuned, _, share = name.partition(AT)
    model = loader.load(tuned, profile=settings.name)
    return wiseft.interpolate(loader.load(_base(name)), model, float(share)) if share else model


@functools.lru_cache(maxsize=1)
def everything(settings: Profile) -> Asked:
    """What ``prepare`` gives, once for each process."""
    return prepare(settings)


def _fields(name: str, settings: Profile, data: str) -> dict[str, str]:
    """What a model's values depend on, without loading it."""
    tuned, _, share = name.partition(AT)
    own = trained.read(tuned, settings.name).sha256 if trained.is_name(tuned) else ""
    base = registry.find(_base(name))
    entry = f"{loader.locate(base)[1]} {base.architecture} {base.activation} {sorted(base.preprocessing.items())}"
    made = {"kind": "answers", "code_version": "", "data": data, "base": entry, "tuned": own, "share": share}
    return made | {"batch": str(settings.encode.batch)}


def _base(name: str) -> str:
    return name.partition(trained.MARK)[0].partition(AT)[0]


def _items_path(settings: Profile, data: str) -> Path:
    return paths.cache() / "items" / settings.name / f"{data[:32]}.parquet"


def text_distances(
    model: LoadedModel | Scorer,
    nouns: Sequence[str] = NOUNS,
    affirmative: str = probe.AFFIRMATIVE,
    negated: str = probe.NEGATED,
    *,
    batch: int = encode.BATCH,
) -> pd.DataFrame:
    """Return one row per noun for the text tower of ``model``; templates as in `probe.prompts`.

    Columns: noun, held_out (no training set negates it), negated (cosine of its two sentences), other (mean cosine of
    its affirmative sentence with those of all other nouns), gap (1 where "no X" is as far from "X" as another noun is,
    0 where it is the same: (1 - negated) / (1 - other)). Fine-tuning may spread all texts, so ``other`` is the measure
    of what is far. A scorer whose scores are no cosines is told by its text tower alone: what it adds needs a picture.
    """
    asked = scorer.of(model, batch)
    tower = asked if isinstance(asked, Cosine) else Cosine(asked.tower, batch)
    said, denied = (tower.features(probe.prompts(nouns, form)).astype(float) for form in (affirmative, negated))
    near = (said * denied).sum(axis=1)
    other = ((said @ said.T).sum(axis=1) - 1) / (len(nouns) - 1)
    held_out = [noun in HELD_OUT_NOUNS for noun in nouns]
    table = pd.DataFrame({"noun": list(nouns), "held_out": held_out, "negated": near, "other": other})
    return table.assign(gap=(1 - near) / (1 - other))
