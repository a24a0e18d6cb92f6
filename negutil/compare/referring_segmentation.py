"""Notebook 08: CLIPSeg with other text towers, NegationCLIP's Table 5, and controls that it lacks.

``train`` makes the text towers that are missing, ``run`` puts each into the segmenter, takes its answers to everything
of ``segmentation_items`` and writes all numbers. The rest are tables and pictures for the notebook. The claims and
their tests are in configs/claims.toml.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from negutil import statistics
from negutil.compare import engine
from negutil.compare import segmentation_items as asked
from negutil.compare.engine import FEWEST, LEVEL, Column, Experiment, Method
from negutil.compare.segmentation_items import Answer, Phrases
from negutil.config import Bootstrap, Profile
from negutil.models import loader, miniclipseg, trained
from negutil.models.miniclipseg import Segmenter
from negutil.models.pictures import PictureFiles
from negutil.statistics import Floats
from negutil.tasks import segmentation
from negutil.tasks.segmentation import BINARY, FOREGROUND, METRICS, MIOU, Overlap
from negutil.train import recipes
from negutil.train.finetune import finetune_many

EXPERIMENT = "08_referring_segmentation"
ORIGINAL = "original"
OVER_ORIGINAL, OVER_PLAIN = "over the original", "over plain"
OVER_BARE, OVER_AFFIRMED = "over the bare phrase", "over the phrase without negation"
PAIRS = {OVER_BARE: asked.BARE, OVER_AFFIRMED: asked.AFFIRMED}
"""Differences of the same text tower on two wordings of a phrase, where these are not the same."""

FIXED, BEST = ("0.1", "0.3", "0.5"), "best"
NAMES = tuple(f"{metric}@{threshold}" for metric in METRICS for threshold in (*FIXED, BEST))
"""Metrics at a threshold."""

RIGHT, OVER_CHANCE = "right instance", "right instance minus chance"
SHOWN = (asked.PHRASECUT, asked.NEGATED)
RULES = (asked.EVERYTHING, asked.USUAL, asked.KIND, asked.OTHERS)
TITLES = {
    ORIGINAL: "original",
    recipes.PLAIN: "plain captions",
    "con-clip": "CoN-CLIP",
    recipes.NEGATIONCLIP: "NegationCLIP",
}
_TABLE_5 = {
    (asked.PHRASECUT, ORIGINAL): (0.562, 0.736),
    (asked.PHRASECUT, "con-clip"): (0.539, 0.724),
    (asked.PHRASECUT, recipes.NEGATIONCLIP): (0.561, 0.737),
    (asked.NEGATED, ORIGINAL): (0.267, 0.492),
    (asked.NEGATED, "con-clip"): (0.123, 0.379),
    (asked.NEGATED, recipes.NEGATIONCLIP): (0.288, 0.521),
}
PUBLISHED = {
    (f"{task} {metric}@{BEST}", method): (value, "NegationCLIP (ICCV 2025), Table 5")
    for (task, method), values in _TABLE_5.items()
    for metric, value in zip((MIOU, BINARY), values, strict=True)
}
"""Table 5 of NegationCLIP (ICCV 2025). It does not say at which threshold; CLIPSeg's code prints the best one."""

Data = Mapping[str, Phrases]
Answers = Mapping[str, Mapping[str, Answer]]
"""Answers by task, then by text tower."""


@dataclass(frozen=True, slots=True)
class Findings(engine.Findings):
    """What ``run`` leaves for the notebook; items are a row per phrase and text tower.

    Attributes:
        data: the test split of every task; ``answers`` those to it.
        thresholds: by task, text tower and metric the best of the validation split (a place in THRESHOLDS).
    """

    data: Data
    answers: Answers
    thresholds: Mapping[str, Mapping[str, Mapping[str, int]]]


def experiment() -> Experiment:
    """The experiment of this module."""
    printed = {"published": PUBLISHED}
    return Experiment(EXPERIMENT, title_of, printed, cell="{title} {metric}", difference="gain in {metric} {kind}")


def title_of(method: str) -> str:
    """A text tower, or a rule, as tables call it."""
    return TITLES.get(method, method)


# --------------------------------------------------------------------------------------------------------------------
# The run


def towers(settings: Profile) -> dict[str, list[str]]:
    """The names of the text towers of every method, one for each seed; the segmenter's own is ORIGINAL."""
    plan = settings.segmentation
    base = miniclipseg.find(plan.model).base
    tuned = {method: [recipes.model_name(base, method, seed) for seed in plan.seeds] for method in plan.methods}
    return {ORIGINAL: [ORIGINAL], **tuned}


def train(settings: Profile) -> list[str]:
    """Fine-tune the text towers that are not finished (notebook 05 makes the same); returns the names of all.

    Raises NegutilError as ``finetune_many`` does.
    """
    plan = settings.segmentation
    tuned = replace(settings, finetuning=replace(settings.finetuning, seeds=plan.seeds))
    jobs = recipes.jobs(tuned, miniclipseg.find(plan.model).base, plan.methods)
    finetune_many(jobs, plan.processes)
    return [name for names in towers(settings).values() for name in names if name != ORIGINAL]


def run(settings: Profile, seed: int = 0) -> Findings:
    """Give the segmenter every phrase with every text tower.

    Writes the tables ``levels``, ``seeds``, ``gains`` and ``rules``, and all items. ``seed`` moves the resamples.
    Raises NegutilError where a text tower is missing, or data or weights are.
    """
    segmenter = miniclipseg.load(settings.segmentation.model)
    data = {split: asked.load(settings, segmenter.size, split) for split in asked.SPLITS}
    answers = _answers(segmenter, settings, data)
    thresholds = {
        task: {name: segmentation.best(answer.overlap) for name, answer in by_tower.items()}
        for task, by_tower in answers["val"].items()
    }
    bootstrap = Bootstrap(settings.bootstrap.resamples, settings.bootstrap.seed + seed)
    items = _items(data["test"], answers["test"], thresholds)
    found = Findings(experiment(), pd.DataFrame(), items, data["test"], answers["test"], thresholds)
    parts = [*_by_task(found, settings, bootstrap), *_wordings(found, settings, bootstrap)]
    table = pd.concat([*parts, *_rules(data, settings, bootstrap)], ignore_index=True)
    found = replace(found, table=table)
    found.save(settings, {"rules": table["method"].isin(RULES).to_numpy()}, seed=seed)
    engine.save_items(items, settings, EXPERIMENT)
    return found


def _answers(segmenter: Segmenter, settings: Profile, data: Mapping[str, Data]) -> dict[str, dict[str, Any]]:
    """Answers by split, task and text tower."""
    texts = [text for tasks in data.values() for phrases in tasks.values() for text in phrases.texts]
    names = [name for group in towers(settings).values() for name in group]
    known = {name: _steering(segmenter, name, settings, texts) for name in names}
    batch = settings.segmentation.batch
    return {
        split: {task: asked.answers(segmenter, phrases, known, batch) for task, phrases in tasks.items()}
        for split, tasks in data.items()
    }


def _steering(
    segmenter: Segmenter, name: str, settings: Profile, texts: Sequence[str]
) -> tuple[str, Callable[[], dict[str, torch.Tensor]]]:
    """The sha256 of a text tower, and what makes its features when they are needed: a warm cache loads no tower."""
    sha256 = ORIGINAL if name == ORIGINAL else trained.read(name, settings.name).sha256

    @functools.cache
    def features() -> dict[str, torch.Tensor]:
        encoder = None if name == ORIGINAL else loader.load(name, profile=settings.name)
        return asked.steering(segmenter, encoder, texts)

    return sha256, features


def methods(settings: Profile) -> list[Method]:
    """Every text tower, with its differences from the original and from plain captions."""
    found = []
    for method, names in towers(settings).items():
        if method == ORIGINAL:
            found.append(Method(method, tuple(names)))
            continue
        over = [(ORIGINAL, OVER_ORIGINAL)] + [(recipes.PLAIN, OVER_PLAIN)] * (method != recipes.PLAIN)
        found.append(Method(method, tuple(names), settings.segmentation.seeds, tuple(over)))
    return found


def _by_task(found: Findings, settings: Profile, bootstrap: Bootstrap) -> list[pd.DataFrame]:
    """The numbers of every task, and of the negated phrases by their cue; small parts are left out."""
    columns = engine.columns(settings.segmentation.model, methods(settings))
    parts = []
    for task, phrases in found.data.items():
        views = {task: np.arange(len(phrases))}
        if task == asked.NEGATED:
            cues = np.array(phrases.cues)
            by_cue = {f"{task}, {cue}": np.flatnonzero(cues == cue) for cue in (*asked.CUES, asked.OTHER)}
            views |= {title: rows for title, rows in by_cue.items() if len(rows) >= FEWEST}
        for title, rows in views.items():
            answers = {name: _rows(answer, rows) for name, answer in found.answers[task].items()}
            clusters = phrases.clusters[rows]
            part = overlaps(answers, found.thresholds[task], clusters, columns, bootstrap)
            parts.append(part.assign(title=title))
    return parts


def _wordings(found: Findings, settings: Profile, bootstrap: Bootstrap) -> list[pd.DataFrame]:
    """The negated phrases minus other wordings of them, for every method; only phrases that differ count."""
    negated, parts = found.data[asked.NEGATED], []
    for kind, other in PAIRS.items():
        changed = np.flatnonzero([a != b for a, b in zip(negated.texts, found.data[other].texts, strict=True)])
        answers, best, columns = {}, {}, []
        for method, names in towers(settings).items():
            for name in names:
                for task in (asked.NEGATED, other):
                    answers[f"{name}/{task}"] = _rows(found.answers[task][name], changed)
                    best[f"{name}/{task}"] = found.thresholds[task][name]
            plus, minus = (tuple(f"{name}/{task}" for name in names) for task in (asked.NEGATED, other))
            columns.append(Column(settings.segmentation.model, method, plus, minus, kind))
        part = overlaps(answers, best, negated.clusters[changed], columns, bootstrap)
        parts.append(part.assign(title=asked.NEGATED))
    return parts


def _rows(answer: Answer, rows: NDArray[np.int64]) -> Answer:
    own = answer.overlap
    part = Overlap(own.hit[rows], own.marked[rows], own.meant[rows], own.pixels)
    return Answer(part, answer.right[rows], answer.chance[rows])


def _rules(data: Mapping[str, Data], settings: Profile, bootstrap: Bootstrap) -> list[pd.DataFrame]:
    """What marks something without a model, as methods of their own."""
    parts = []
    for task in (asked.PHRASECUT, asked.NEGATED, asked.AFFIRMATIVE):
        test, validation = data["test"][task], data["val"][task]
        tuned = {name: segmentation.best(each.overlap) for name, each in asked.blind(validation, validation).items()}
        answers = asked.blind(test, validation)
        columns = [Column(settings.segmentation.model, name, (name,)) for name in answers]
        parts.append(overlaps(answers, tuned, test.clusters, columns, bootstrap).assign(title=task))
    return parts


def _items(data: Data, answers: Answers, thresholds: Mapping[str, Mapping[str, Mapping[str, int]]]) -> pd.DataFrame:
    """One row per phrase and text tower: its overlap at the best threshold, and whether the right thing was found."""
    parts = []
    for task, phrases in data.items():
        for name, answer in answers[task].items():
            overlap = segmentation.per_phrase(answer.overlap.at(thresholds[task][name][MIOU]))
            about = {"task": task, "item": np.arange(len(phrases)), "picture": phrases.clusters}
            about |= {"phrase": phrases.texts, "cue": phrases.cues, "tower": name}
            parts.append(pd.DataFrame(about | {MIOU: overlap, RIGHT: answer.right}))
    return pd.concat(parts, ignore_index=True)


# --------------------------------------------------------------------------------------------------------------------
# For the notebook


def of_metrics(found: engine.Findings, names: Mapping[str, str], tasks: Sequence[str] = SHOWN) -> engine.Findings:
    """The numbers of some metrics alone, with a title for each task and metric.

    ``names`` has for each metric a title in which {task} and {metric} are filled in.
    """
    rows = found.table[found.table["metric"].isin(names) & found.table["title"].isin(tasks)]
    pairs = zip(rows["title"], rows["metric"], strict=True)
    titles = [names[metric].format(task=task, metric=metric) for task, metric in pairs]
    return engine.Findings(found.experiment, rows.assign(title=titles), found.items)


def table_5(found: Findings, metrics: Sequence[str] = (MIOU, BINARY), threshold: str = BEST) -> pd.DataFrame:
    """Table 5: a row per method, a column per task and metric, means over seeds with intervals; then the paper's rows.

    The rules that read no phrase follow the methods.
    """
    names = [f"{metric}@{threshold}" for metric in metrics]
    titles = [f"{task} {name}" for task in SHOWN for name in names]
    return of_metrics(found, dict.fromkeys(names, "{task} {metric}")).levels(titles, (*TITLES, *RULES))


def by_threshold(found: Findings, metric: str = MIOU) -> pd.DataFrame:
    """A metric at every reported threshold: a row per task and method, a column per threshold."""
    names = {f"{metric}@{threshold}": f"at {threshold}" for threshold in (*FIXED, BEST)}
    return _by_rows(found, names, (LEVEL,)).drop(columns="difference")


def gains(found: Findings, metrics: Sequence[str], kinds: Sequence[str]) -> pd.DataFrame:
    """Paired differences: a row per task, method and kind, a column per metric."""
    return _by_rows(found, {metric: metric for metric in metrics}, kinds)


def _by_rows(found: Findings, names: Mapping[str, str], kinds: Sequence[str]) -> pd.DataFrame:
    parts = []
    for task in SHOWN:
        shown = of_metrics(found, names, (task,))
        for kind in (kind for kind in kinds if len(shown.means(kind))):
            wide = shown.gains(list(names.values()), list(TITLES), kind)
            parts.append(wide.assign(task=task, difference=kind))
    return pd.concat(parts, ignore_index=True).fillna("")[["task", "model", "difference", *names.values()]]


def instances(found: Findings) -> pd.DataFrame:
    """How often the thing that is meant has the highest score: a row per method, a column per kind of phrases.

    The last row is what guessing gets: the difference of the two metrics about instances, the same for all methods.
    """
    negated = [task for task in dict.fromkeys(found.table["title"]) if task.startswith(asked.NEGATED)]
    tasks = [asked.AFFIRMATIVE, *(task for task in negated if task not in {asked.BARE, asked.AFFIRMED})]
    shown = of_metrics(found, {RIGHT: "{task}"}, tasks).levels(tasks, list(TITLES), published=False)
    means = found.means()
    of_original = means[means["method"] == ORIGINAL].set_index(["title", "metric"])["value"]
    chance = {task: f"{of_original[task, RIGHT] - of_original[task, OVER_CHANCE]:.3f}" for task in tasks}
    return pd.concat([shown, pd.DataFrame([{"model": "chance"} | chance])], ignore_index=True).fillna("")


def seeds(found: Findings, metric: str = f"{MIOU}@{BEST}") -> pd.DataFrame:
    """Every seed's number: a row per method, a column per task with the seeds side by side."""
    return of_metrics(found, {metric: "{task}"}, asked.TASKS).seeds(asked.TASKS, list(TITLES))


def curves(found: Findings, tasks: Sequence[str] = SHOWN) -> pd.DataFrame:
    """mIoU of the test split by threshold, the mean over seeds: task, method, threshold, value."""
    parts = []
    for task in tasks:
        curve = {name: segmentation.curves(answer.overlap)[MIOU] for name, answer in found.answers[task].items()}
        for method in TITLES:
            own = [values for name, values in curve.items() if name == method or f"+{method}/" in name]
            if own:
                about = {"task": task, "method": method, "threshold": segmentation.THRESHOLDS}
                parts.append(pd.DataFrame(about | {"value": np.mean(own, axis=0)}))
    return pd.concat(parts, ignore_index=True)


def asked_of(found: Findings) -> pd.DataFrame:
    """How many pictures and phrases each task has, how many have others of their kind, and one phrase."""
    rows = [
        {
            "task": task,
            "pictures": len(phrases.files),
            "phrases": len(phrases),
            "with others of the kind": len(np.unique(phrases.rival_of)),
            "for example": phrases.texts[0],
        }
        for task, phrases in found.data.items()
    ]
    return pd.DataFrame(rows)


@dataclass(frozen=True, slots=True)
class Example:
    """A phrase about a picture (uint8 [H, W, 3]) with the mask that is meant, and each method's scores [H, W]."""

    text: str
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    scores: Mapping[str, NDArray[np.float32]]


def examples(settings: Profile, task: str, count: int = 5, seed: int = 0) -> list[Example]:
    """Phrases drawn at random, with the scores of the first seed of every method; one phrase per picture."""
    segmenter = miniclipseg.load(settings.segmentation.model)
    phrases = asked.load(settings, segmenter.size)[task]
    first = np.unique(phrases.picture, return_index=True)[1]
    rows = np.random.default_rng(seed).choice(first, size=min(count, len(first)), replace=False)
    files = PictureFiles([phrases.files[place] for place in phrases.picture[rows]])
    layers = miniclipseg.activations(segmenter, torch.stack([segmenter.preprocess(files[n]) for n in range(len(rows))]))
    texts = [phrases.texts[row] for row in rows]
    scores = {}
    for method, names in towers(settings).items():
        encoder = None if method == ORIGINAL else loader.load(names[0], profile=settings.name)
        known = asked.steering(segmenter, encoder, texts)
        steer = torch.stack([known[text] for text in texts])
        scores[method] = miniclipseg.scores(segmenter, layers, steer).cpu().numpy()
    size = (segmenter.size, segmenter.size)
    return [
        Example(text, np.asarray(files[n].resize(size)), mask, {method: each[n] for method, each in scores.items()})
        for n, (text, mask) in enumerate(zip(texts, phrases.masks(rows), strict=True))
    ]


# --------------------------------------------------------------------------------------------------------------------
# Numbers: linear combinations of text towers' metrics, which are no means over phrases. Pictures are resampled with all
# their phrases, for all metrics and text towers at once.


def overlaps(
    answers: Mapping[str, Answer],
    thresholds: Mapping[str, Mapping[str, int]],
    clusters: NDArray[np.object_],
    wanted: Sequence[Column],
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Every metric of every column as ``engine.table`` gives them, without a title.

    ``answers`` are to the same phrases, by text tower; ``thresholds`` has each one's best for every metric (places in
    ``segmentation.THRESHOLDS``); ``clusters`` names the picture of each phrase. Metrics that cannot be told, as the
    right instance where there are no others, are left out.
    """
    towers = list(answers)
    parts = [features_of(answers[tower], thresholds[tower]) for tower in towers]
    named, codes = np.unique(clusters.astype(str), return_inverse=True)
    sums = np.zeros((len(named), len(towers), parts[0].shape[1]))
    np.add.at(sums, codes, np.stack(parts, axis=1))
    mixing = engine.mixing(wanted, towers)

    def statistic(values: Floats, weights: Floats) -> Floats:
        return (metrics_of(np.tensordot(weights, values, axes=1)) @ mixing).reshape(len(weights), -1)

    found = statistics.bootstrap_many(statistic, sums, **dataclasses.asdict(bootstrap))
    n, with_rivals = len(codes), int((~np.isnan(answers[towers[0]].right)).sum())
    over = "clusters" if len(sums) < n else "items"
    rows = []
    numbers = ((metric, column) for metric in (*NAMES, RIGHT, OVER_CHANCE) for column in wanted)
    for (metric, column), interval in zip(numbers, found, strict=True):
        if not np.isnan(interval.value):
            counted = with_rivals if metric in (RIGHT, OVER_CHANCE) else n
            counted_over = dataclasses.replace(interval, n=counted, over=over)
            rows.append(column.about | {"metric": metric} | dataclasses.asdict(counted_over))
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def features_of(answer: Answer, best: Mapping[str, int]) -> Floats:
    """What the metrics are made of, added up over phrases: [N, F].

    The columns are: 1; the overlap of the phrase at each fixed and the best threshold; pixel counts at the fixed
    thresholds, the best for fgIoU and the best for IoU_BIN; whether the right instance was found, what guessing gets,
    and whether there is another.
    """
    places = [segmentation.place_of(float(threshold)) for threshold in FIXED]
    counts = {place: answer.overlap.at(place) for place in {*places, *best.values()}}
    known = ~np.isnan(answer.right)
    columns = [np.ones((len(answer.right), 1))]
    columns += [segmentation.per_phrase(counts[place])[:, None] for place in (*places, best[MIOU])]
    columns += [counts[place] for place in (*places, best[FOREGROUND], best[BINARY])]
    columns += [np.nan_to_num(answer.right)[:, None], (answer.chance * known)[:, None], known[:, None].astype(float)]
    return np.concatenate(columns, axis=1)


def metrics_of(sums: Floats) -> Floats:
    """The metrics [R, 14, E] of sums of ``features_of`` [R, E, F], in the order of NAMES, RIGHT, OVER_CHANCE."""
    fixed = len(FIXED)
    n, per_phrase = sums[..., 0], sums[..., 1 : fixed + 2]
    rest = sums[..., fixed + 2 :]
    # Of each threshold hits, false alarms, misses, and rightly unmarked pixels.
    counts = rest[..., : 4 * (fixed + 2)].reshape(*rest.shape[:2], fixed + 2, 4)
    right, chance, known = (rest[..., place] for place in (-3, -2, -1))
    pooled = segmentation.pooled(counts)
    rows = [per_phrase[..., place] / n for place in range(fixed + 1)]
    rows += [pooled[FOREGROUND][..., place] for place in range(fixed + 1)]
    rows += [pooled[BINARY][..., place] for place in (*range(fixed), fixed + 1)]
    rows += [_share(right, known), _share(right - chance, known)]
    return np.stack(rows, axis=1)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
