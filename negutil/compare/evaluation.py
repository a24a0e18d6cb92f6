"""Evaluations of models on the benchmarks of notebooks 05 and 06: one value for each item, cached per model.

The benchmarks are those of NegationCLIP's tables (``suite``), NegBench's questions and retrieval, exclusion, and the
text tower's distance between "X" and "no X". Glasses are evaluated on CC-Neg's differences of scores too, of which FAR
is made, and their variants on some parts alone. The cache knows an evaluation by weights, data and code, so a warm run
loads no model. All numbers of the two notebooks are means over such items.
"""

import functools
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from negutil import code, paths, progress
from negutil.cache import Cache
from negutil.captions import negbench_files, phrasing
from negutil.captions.english import HELD_OUT_NOUNS, NOUNS
from negutil.compare import negation_beyond, validation
from negutil.compare.negation_beyond import Gallery
from negutil.config import Profile
from negutil.data import skipped, source
from negutil.errors import NegutilError
from negutil.models import encode, glasses_model, loader, precision, processes, registry, scorer, trained
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Cosine, Scorer
from negutil.tasks import (
    ccneg,
    coco_retrieval,
    exclusion,
    find,
    mcq,
    modules,
    negbench,
    probe,
    simpleneg,
    suite,
    true_false,
)
from negutil.tasks.negbench import Items, Queries, Questions
from negutil.tasks.suite import Data
from negutil.train import wiseft

MCQ, NEGATED_RETRIEVAL = NEGBENCH = ("COCO MCQ, paraphrased", "COCO retrieval, paraphrased")
"""Of NegBench's variations; in retrieval the first caption of each image looks for it among all images."""

EXCLUSION, TEXT, TEXT_COSINE = "exclusion", "text tower", "text tower, cosine"
CLAUSE = f"{suite.REFERRING}, what the negated clause adds"
NEGATION = f"{suite.REFERRING}, what the negation itself adds"
NEGATED, GAP = 'cosine of "X" and "no X"', "what negation moves"
"""Metrics of the text tower."""

FAR, SIGNED = "CC-Neg, FAR", "CC-Neg, FAR as the code computes it"
"""The mean of |s+ - s-| (the paper's eq. 20) and of s+ - s- (the released code), in logits."""

WHOLE, ALL, FEW, ZERO_SHOT, RETRIEVAL, CCNEG = "", "all", "few", "zero-shot", "retrieval", "ccneg"
"""Parts of the benchmarks: all but FAR; all; CC-Neg with FAR and multiple choice; classification; negated retrieval;
CC-Neg with FAR."""

JUDGED = "judged"
"""A part of its own, no part of any table but notebook 10's: claims true or false, and SimpleNeg."""

CLAIMS, TOP_1, TOP_5 = "claims", f"{simpleneg.TITLE}, top-1", f"{simpleneg.TITLE}, top-5"

VALIDATION = "validation"
"""No part of any benchmark: the measures of ``negutil.compare.validation``."""

COLUMNS = ("task", "item", "cluster", "type", "valid", "cue", "held_out_noun", "held_out_form")
KEYS = ["task", "item"]
AT = "@"
"""Between the name of a model and the share of it in weights between it and its base."""

_JUDGED = ("celeba", "chexpert")
"""Datasets of the part JUDGED beside the others."""

_DATASETS = ("valse", "negrefcocog", "negbench", "refcocog", "imagenet", "caltech101", "ccneg", "coco")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on a part of the benchmarks, after a ``change`` of ``clipglasses_controls`` ("": as it is).

    A model is one of the registry, a fine-tuned one, a pair of glasses, or weights between a fine-tuned one and its
    base, such as ``b+m/seed0@0.5``.
    """

    model: str
    part: str = WHOLE
    change: str = ""

    @property
    def name(self) -> str:
        """The column of its values."""
        return f"{self.model}|{self.change}" if self.change else self.model

    @classmethod
    def named(cls, name: str, part: str = WHOLE) -> "Evaluation":
        """The evaluation with this ``name``."""
        model, _, change = name.partition("|")
        return cls(model, part, change)


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """The data of the benchmarks, NegBench's tasks, and exclusion's gallery."""

    benchmarks: Data
    negbench: tuple[Items, ...]
    gallery: Gallery | None

    @property
    def texts(self) -> list[str]:
        """Every different text, so that a scorer may read all of them together."""
        found = suite.texts(self.benchmarks) + [text for task in self.negbench for text in task.texts]
        found += [query.text for query in self.gallery.queries if query.cue] if self.gallery else []
        found += probe.prompts(NOUNS, probe.AFFIRMATIVE) + probe.prompts(NOUNS, probe.NEGATED)
        return list(dict.fromkeys(found))

    @property
    def queries(self) -> Queries | None:
        """NegBench's retrieval; None if its files are missing."""
        return next((task for task in self.negbench if isinstance(task, Queries)), None)


def prepare(settings: Profile) -> EvaluationData:
    """Read, and build where they are missing, the data of all benchmarks."""
    chosen = [each for each in negbench_files.VARIATIONS if each.title in NEGBENCH]
    tasks = skipped.attempt(settings, "NegBench", partial(negbench.load_all, settings, chosen), "negbench")
    thinned: list[Items] = []
    for task in tasks or ():
        if isinstance(task, Queries):  # one caption of each image, in the whole gallery
            rows, first = np.unique(task.rows, return_index=True)
            thinned.append(replace(task, rows=rows, captions=[task.captions[index] for index in first]))
        else:
            thinned.append(task)
    return EvaluationData(suite.prepare(settings), tuple(thinned), negation_beyond.gallery(settings))


_prepared = functools.lru_cache(maxsize=1)(prepare)
"""Once for each process."""


def evaluate(model: LoadedModel | Scorer, data: EvaluationData, settings: Profile, part: str = WHOLE) -> pd.DataFrame:
    """Evaluate ``model`` on a part of the benchmarks: a row per item with COLUMNS and ``value``.

    The value is 1 or 0 (right or not), an area under the curve (exclusion), a distance or cosine (text tower), the
    difference of two answers (CLAUSE and NEGATION) or of two logits (FAR and SIGNED). No rows without data.
    """
    who = scorer.of(model, settings.encode.batch, share=True)
    if part in (WHOLE, ALL):
        who.remember(data.texts)
    cc_neg = partial(_suite, titles=(suite.CCNEG,))
    tasks = {
        WHOLE: (_benchmarks, _negbench, _exclusion, _text_tower),
        ALL: (_benchmarks, _negbench, _exclusion, _text_tower, _far),
        FEW: (cc_neg, _far, _questions),
        CCNEG: (cc_neg, _far),
        ZERO_SHOT: (partial(_suite, titles=(suite.IMAGENET, suite.CALTECH101)),),
        RETRIEVAL: (_retrieval,),
        VALIDATION: (_validation,),
        JUDGED: (_claims, _simpleneg),
    }
    parts = [rows for task in tasks[part] for rows in task(who, data, settings)]
    whole = [rows.reindex(columns=[*COLUMNS, "value"]) for rows in parts if len(rows)]
    found = pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=[*COLUMNS, "value"])
    flags = {name: found[name].fillna(False).astype(bool) for name in ("held_out_noun", "held_out_form")}
    valid = found["valid"].fillna(True).astype(bool)
    texts = {name: found[name].fillna("").astype(str) for name in ("type", "cue", "item", "cluster")}
    return found.assign(valid=valid, **flags, **texts)


def _suite(model: Scorer, data: EvaluationData, settings: Profile, titles: Sequence[str]) -> list[pd.DataFrame]:
    frames = suite.run(model, {title: rows for title, rows in data.benchmarks.items() if title in titles}, settings)
    if not frames:
        return []
    table = suite.table(frames, model.name)
    return [table.assign(value=table["right"].astype(float))]


def _benchmarks(model: Scorer, data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    """The suite, and what its negated clause, and its negation, add to each phrase of NegRefCOCOg."""
    parts = _suite(model, data, settings, tuple(data.benchmarks))
    if not parts:
        return []
    (table,) = parts
    negated: dict[tuple[str, str], str] = {}  # the negated sentence of every item of VALSE and NegRefCOCOg
    if suite.VALSE in data.benchmarks:
        columns = (data.benchmarks[suite.VALSE][name][:] for name in ("item", "negated", "caption", "foil"))
        for item, side, caption, foil in zip(*columns, strict=True):
            negated[suite.VALSE, item] = caption if side == "caption" else foil
    if suite.REFERRING in data.benchmarks:
        phrases = data.benchmarks[suite.REFERRING]["phrase"][:]
        negated |= {(suite.REFERRING, str(row)): text for row, text in enumerate(phrases)}
    texts = [negated.get(key, "") for key in zip(table["task"], table["item"], strict=True)]
    table = pd.concat([table, phrasing.table(texts)], axis=1)
    whole, bare, affirmed = (table[table["task"] == task] for task in (suite.REFERRING, suite.BARE, suite.AFFIRMED))
    added = [
        whole.assign(task=task, value=whole["value"].to_numpy() - other["value"].to_numpy())
        for task, other in ((CLAUSE, bare), (NEGATION, affirmed))
    ]
    return [table, *added]


def _negbench(model: Scorer, data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    if not data.negbench:
        return []
    items = negbench.score(model, data.negbench, settings.encode.batch)
    recalled = items["rank"] <= coco_retrieval.K
    value = np.where(items["rank"].notna(), recalled.astype(float), items["right"].fillna(False).astype(float))
    about = {"task": items["variation"], "item": items["item"], "cluster": items["picture"], "type": items["type"]}
    return [pd.concat([pd.DataFrame(about).assign(value=value), phrasing.table(items["text"].tolist())], axis=1)]


def _exclusion(model: Scorer, data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    if not data.gallery:
        return []
    images = encode.images(model.tower, data.gallery.pictures, batch=settings.encode.batch)
    queries = [query for query in data.gallery.queries if query.cue]
    columns = {
        "task": EXCLUSION,
        "item": np.arange(len(queries)),
        "cluster": [f"{query.wanted} without {query.excluded}" for query in queries],
        "type": [query.form for query in queries],
        "cue": [query.cue for query in queries],
        "held_out_noun": [query.excluded in HELD_OUT_NOUNS for query in queries],
        "held_out_form": [query.held_out for query in queries],
        "value": exclusion.areas(model, queries, images, data.gallery.there),
    }
    return [pd.DataFrame(columns)]


def _text_tower(model: Scorer, _data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    distances = text_distances(model, batch=settings.encode.batch)
    about = {"item": distances["noun"], "cluster": distances["noun"], "held_out_noun": distances["held_out"]}
    values = {TEXT: distances["gap"], TEXT_COSINE: distances["negated"]}
    return [pd.DataFrame(about).assign(task=task, value=value) for task, value in values.items()]


def _far(model: Scorer, data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    """The absolute and the signed difference of CC-Neg's two scores, in logits: glasses score in these already."""
    if suite.CCNEG not in data.benchmarks:
        return []
    table = ccneg.evaluate(model, data.benchmarks[suite.CCNEG].plain, batch=settings.encode.batch)
    logits_per_unit = model.tower.model.logit_scale.exp().item() if isinstance(model, Cosine) else 1.0
    gap = (table["true"] - table["false"]) * logits_per_unit
    return [table.assign(task=task, value=value) for task, value in {FAR: gap.abs(), SIGNED: gap}.items()]


def _questions(model: Scorer, data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    parts = []
    for task in (task for task in data.negbench if isinstance(task, Questions)):
        images = encode.images(model.tower, PictureFiles(list(task.media)), batch=settings.encode.batch)
        found = mcq.items(mcq.scores_by(model, task.options, images[task.rows]), task.correct, task.types)
        parts.append(found[["item"]].assign(task=task.variation.title, value=found["right"].astype(float)))
    return parts


def _retrieval(model: Scorer, data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    """NegBench's retrieval, all captions at once: a scorer may know each one's image."""
    if data.queries is None:
        return []
    images = encode.images(model.tower, PictureFiles(list(data.queries.media)), batch=settings.encode.batch)
    scores = model.matrix(data.queries.captions, images)
    of_image = np.take_along_axis(scores, data.queries.rows[:, None], axis=1)
    recalled = (scores >= of_image).sum(axis=1) <= coco_retrieval.K
    about = {"task": data.queries.variation.title, "item": np.arange(len(recalled))}
    return [pd.DataFrame(about | {"value": recalled.astype(float)})]


def _claims(model: Scorer, _data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    """Whether each claim is judged rightly, at the threshold that is best for validation claims."""
    parts = []
    for name, domain in _domains(settings).items():
        scored = []
        for claims, pictures in (domain.val, domain.test):
            images = encode.images(model.tower, pictures, batch=settings.encode.batch)
            scored.append(true_false.score_by(model, claims, images))
        judged = true_false.items(scored[1], true_false.thresholds(scored[0]))
        about = {
            "task": f"{CLAIMS}, {name}",
            "item": np.arange(len(judged)),
            "cluster": judged["pair"],
            "type": np.where(judged["negated"], "negated", "affirmative"),
            "cue": judged["cue"],
            "held_out_form": judged["held_out"],
            "value": judged["right"].astype(float),
        }
        parts.append(pd.DataFrame(about))
    return parts


@functools.lru_cache(maxsize=1)
def _domains(settings: Profile) -> dict[str, negation_beyond.Domain]:
    return negation_beyond.domains(settings)


def _simpleneg(model: Scorer, _data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    """Whether the first image satisfies each query, and the share of the first five that do."""
    task = find()[simpleneg.TITLE]
    rows = skipped.attempt(settings, task.title, partial(task.read, settings), "coco2017")
    if rows is None:
        return []
    answers = task.evaluate(model, rows, settings.encode.batch)[task.title]
    values = {TOP_1: answers["right"], TOP_5: answers["share"]}
    return [answers.assign(task=title, value=value.astype(float)) for title, value in values.items()]


def _validation(model: Scorer, _data: EvaluationData, settings: Profile) -> list[pd.DataFrame]:
    """What the rule looks at that chooses how long to train."""
    rows = validation.items(model, validation.needed(settings), settings.encode.batch)
    return [rows.assign(cluster=rows["item"])]


def text_distances(
    model: LoadedModel | Scorer,
    nouns: Sequence[str] = NOUNS,
    negated: str = probe.NEGATED,
    *,
    batch: int = encode.BATCH,
) -> pd.DataFrame:
    """Return one row per noun for the text tower of ``model``; templates as in `probe.prompts`.

    Columns: noun, held_out (no training set negates it), negated (cosine of its two sentences), other (mean cosine of
    its affirmative sentence with those of all other nouns), gap (1 where "no X" is as far from "X" as another noun is,
    0 where it is the same: (1 - negated) / (1 - other)). Fine-tuning may spread all texts, so ``other`` is the measure
    of what is far. Of a scorer whose scores are no cosines only the text tower counts: what it adds needs an image.
    """
    who = scorer.of(model, batch)
    tower = who if isinstance(who, Cosine) else Cosine(who.tower, batch)
    plain, denied = (tower.features(probe.prompts(nouns, form)).astype(float) for form in (probe.AFFIRMATIVE, negated))
    near = (plain * denied).sum(axis=1)
    other = ((plain @ plain.T).sum(axis=1) - 1) / (len(nouns) - 1)
    held_out = [noun in HELD_OUT_NOUNS for noun in nouns]
    table = pd.DataFrame({"noun": list(nouns), "held_out": held_out, "negated": near, "other": other})
    return table.assign(gap=(1 - near) / (1 - other))


def load(evaluation: Evaluation, _data: EvaluationData, settings: Profile) -> LoadedModel | Scorer:
    """The CLIP of an evaluation without a change, weights between it and its base included."""
    tuned, _, share = evaluation.model.partition(AT)
    model = loader.load(tuned, profile=settings.name)
    return wiseft.interpolate(loader.load(_base(tuned)), model, float(share)) if share else model


Load = Callable[[Evaluation, EvaluationData, Profile], LoadedModel | Scorer]
"""Loads the model of an evaluation; a function at the top of a module, whose code is part of the cache's keys."""


def items(settings: Profile, evaluations: Sequence[Evaluation], load_part: Load = load) -> pd.DataFrame:
    """All items (COLUMNS) with a column of values for each name of ``evaluations``, from the cache or computed now.

    Items that a model was not evaluated on are missing in its column; where two evaluations of a name have the same
    items, the later one counts. ``load_part`` loads the models of all but the WHOLE. As many processes run as the
    profile has.
    """
    data, store = data_fingerprint(settings), Cache()
    loads = {each: load_part if each.part else load for each in evaluations}
    fields = {each: cache_fields(each, settings, data, loads[each]) for each in evaluations}
    missing = [each for each in fields if store.load(store.key(**fields[each])) is None]
    # In processes of one thread each; the first of each base goes ahead alone: it encodes the images for all.
    first = list({_base(each.model): each for each in reversed(missing)}.values())
    with progress.bar("evaluating models", total=len(missing)) as bar:
        for group in (first, [each for each in missing if each not in first]):
            jobs = [(each, settings, fields[each], loads[each]) for each in group]
            for _ in processes.each(_compute, jobs, settings.finetuning.processes) if jobs else ():
                bar.update()
    parts = {each.part: _cached(fields[each]) for each in {each.part: each for each in reversed(evaluations)}.values()}
    ordered = [parts[part][list(COLUMNS)] for part in dict.fromkeys(each.part for each in evaluations)]
    known = pd.concat(ordered, ignore_index=True).drop_duplicates(KEYS, ignore_index=True)
    index = pd.MultiIndex.from_frame(known[KEYS])
    places = {part: index.get_indexer(pd.MultiIndex.from_frame(rows[KEYS])) for part, rows in parts.items()}
    columns: dict[str, np.ndarray] = {}
    for each, own in fields.items():
        rows = _cached(own, [*KEYS, "value"])
        if not rows[KEYS].equals(parts[each.part][KEYS]):
            raise NegutilError(f"{each.name} was evaluated on other items than the others: clear the cache.")
        column = columns.setdefault(each.name, np.full(len(known), np.nan, np.float32))
        column[places[each.part]] = rows["value"]
    return pd.concat([known, pd.DataFrame(columns)], axis=1)


def _compute(evaluation: Evaluation, settings: Profile, fields: dict[str, str], load: Load) -> None:
    """Evaluate one model and cache its values with their items."""
    store, data = Cache(), _prepared(settings)
    with encode.without_text_cache():
        rows = evaluate(load(evaluation, data, settings), data, settings, evaluation.part)
    buffer = io.BytesIO()
    rows.astype({"value": "float32"}).to_parquet(buffer, index=False, compression="zstd")
    store.store(store.key(**fields), {"rows": np.frombuffer(buffer.getvalue(), np.uint8)}, fields)


def _cached(fields: dict[str, str], columns: list[str] | None = None) -> pd.DataFrame:
    store = Cache()
    arrays = store.load(store.key(**fields))
    if arrays is None:
        raise NegutilError(f"The values of {fields['name']} were deleted while they were read: start again.")
    return pd.read_parquet(io.BytesIO(arrays["rows"].tobytes()), columns=columns)


def data_fingerprint(settings: Profile) -> str:
    """What the items depend on: digest of the data, which are built where they are missing.

    Device and dtype are part of it where they are not the default.
    """
    others = [title for title in suite.names() if title not in suite.TITLES]
    data = _prepared(settings) if others or not source.is_world(settings) else None
    if data is not None and not source.is_world(settings):
        media = [str(path) for task in data.negbench for path in task.media]
        media += [str(path) for path in data.gallery.pictures.paths] if data.gallery else []
        # Of a part of the data more may be there tomorrow, and the texts stay the same.
        asked = [group for title, rows in data.benchmarks.items() for group in find()[title].pictures(rows)]
        media += [str(path) for group in asked for path in group.paths]
        texts = json.dumps([data.texts, media, str(settings.data)])
        made = [hashlib.sha256(texts.encode()).hexdigest()]
    else:
        made = [source.digest(source.folder(settings, name)) for name in (*_DATASETS, "ccneg-reversed")]
    rows = data.benchmarks if data and others else {}
    made += [text for title in others if title in rows for text in find()[title].texts(rows[title])]
    return hashlib.sha256(" ".join([*made, *precision.identity().values()]).encode()).hexdigest()


def cache_fields(evaluation: Evaluation, settings: Profile, data: str, load: Load) -> dict[str, str]:
    """What the values depend on, without loading any model: its weights, ``data_fingerprint``, and the code."""
    name = evaluation.model
    if glasses_model.is_name(name):
        weights = glasses_model.sha256(name, settings.name)
    else:
        tuned, _, share = name.partition(AT)
        base = registry.find(_base(name))
        weights = f"{loader.locate(base)[1]} {base.architecture} {base.activation} {sorted(base.preprocessing.items())}"
        weights += f" {trained.read(tuned, settings.name).sha256} {share}" if trained.is_name(tuned) else ""
    if evaluation.part == JUDGED:
        data = " ".join([data, *(_state(settings, name) for name in _JUDGED)])
    fields = {"kind": "evaluation", "code_version": _code_version(load.__module__), "data": data, "model": weights}
    return fields | {"name": evaluation.name, "part": evaluation.part, "batch": str(settings.encode.batch)}


def _state(settings: Profile, name: str) -> str:
    """The digest of a dataset of the mini world; of a published one, its folder and whether it is there."""
    if source.is_world(settings):
        return source.digest(source.folder(settings, name))
    own = paths.published() / name
    return f"{own} {own.is_dir()}"


@functools.cache
def _code_version(module: str) -> str:
    return code.fingerprint(__name__, module, *modules())


def _base(name: str) -> str:
    return name.partition(trained.MARK)[0].partition(AT)[0]
