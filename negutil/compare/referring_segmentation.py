"""Notebook 08: CLIPSeg with other text towers, NegationCLIP's Table 5, and controls that it lacks.

``train`` makes the text towers that are missing, ``run`` puts each into the segmenter, evaluates it on the tasks of
``segmentation_items`` and writes all numbers. The rest are tables and images for the notebook. The claims and their
tests are in configs/claims.toml.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from negutil import statistics
from negutil.compare import engine
from negutil.compare import segmentation_items as benchmarks
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
PAIRS = {OVER_BARE: benchmarks.BARE, OVER_AFFIRMED: benchmarks.AFFIRMED}
"""Differences of the same text tower on two wordings of a phrase, where these are not the same."""

FIXED, BEST = ("0.1", "0.3", "0.5"), "best"
NAMES = tuple(f"{metric}@{threshold}" for metric in METRICS for threshold in (*FIXED, BEST))
"""Metrics at a threshold."""

RIGHT, OVER_CHANCE = "right instance", "right instance minus chance"
SHOWN = (benchmarks.PHRASECUT, benchmarks.NEGATED)
RULES = (benchmarks.EVERYTHING, benchmarks.USUAL, benchmarks.KIND, benchmarks.OTHERS)
TITLES = {
    ORIGINAL: "original",
    recipes.PLAIN: "plain captions",
    "con-clip": "CoN-CLIP",
    recipes.NEGATIONCLIP: "NegationCLIP",
}
_TABLE_5 = {
    (benchmarks.PHRASECUT, ORIGINAL): (0.562, 0.736),
    (benchmarks.PHRASECUT, "con-clip"): (0.539, 0.724),
    (benchmarks.PHRASECUT, recipes.NEGATIONCLIP): (0.561, 0.737),
    (benchmarks.NEGATED, ORIGINAL): (0.267, 0.492),
    (benchmarks.NEGATED, "con-clip"): (0.123, 0.379),
    (benchmarks.NEGATED, recipes.NEGATIONCLIP): (0.288, 0.521),
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
    jobs = recipes.jobs(settings, miniclipseg.find(plan.model).base, plan.methods, plan.seeds)
    finetune_many(jobs, plan.processes)
    return [name for names in towers(settings).values() for name in names if name != ORIGINAL]


def run(settings: Profile, seed: int = 0) -> Findings:
    """Segment every phrase with every text tower.

    Writes the tables ``levels``, ``seeds``, ``gains`` and ``rules``, and all items. ``seed`` moves the resamples.
    Raises NegutilError if a text tower is missing, or data or weights are.
    """
    plan, segmenter = settings.segmentation, miniclipseg.load(settings.segmentation.model)
    data = {split: benchmarks.load(settings, segmenter.size, split) for split in benchmarks.SPLITS}
    texts = [text for tasks in data.values() for phrases in tasks.values() for text in phrases.texts]
    names = [name for group in towers(settings).values() for name in group]
    known = {name: _steering(segmenter, name, settings, texts) for name in names}
    validation, answers = (
        {task: benchmarks.answers(segmenter, phrases, known, plan.batch) for task, phrases in data[split].items()}
        for split in ("val", "test")
    )
    thresholds = {
        task: {name: segmentation.best(answer.overlap) for name, answer in by_tower.items()}
        for task, by_tower in validation.items()
    }
    bootstrap = settings.bootstrap.moved(seed)
    experiment = Experiment(
        EXPERIMENT,
        lambda method: TITLES.get(method, method),
        {"published": PUBLISHED},
        "{title} {metric}",
        "gain in {metric} {kind}",
    )
    found = Findings(experiment, pd.DataFrame(), pd.DataFrame(), data["test"], answers, thresholds)
    parts = [*_by_task(found, settings, bootstrap), *_wordings(found, settings, bootstrap)]
    table = pd.concat([*parts, *_rules(data, settings, bootstrap)], ignore_index=True)
    found = replace(found, table=table, items=_items(found))
    found.save(settings, {"rules": table["method"].isin(RULES).to_numpy()}, seed=seed)
    engine.save_items(found.items, settings, EXPERIMENT)
    return found


def _steering(
    segmenter: Segmenter, name: str, settings: Profile, texts: Sequence[str]
) -> tuple[str, Callable[[], dict[str, torch.Tensor]]]:
    """The sha256 of a text tower, and what makes its features when they are needed: a warm cache loads no tower."""

    @functools.cache
    def features() -> dict[str, torch.Tensor]:
        encoder = None if name == ORIGINAL else loader.load(name, profile=settings.name)
        return benchmarks.steering(segmenter, encoder, texts)

    return ORIGINAL if name == ORIGINAL else trained.read(name, settings.name).sha256, features


def _by_task(found: Findings, settings: Profile, bootstrap: Bootstrap) -> list[pd.DataFrame]:
    """The numbers of every task, and of the negated phrases by their cue; small parts are left out."""
    original, *others = towers(settings).items()
    methods = [Method(original[0], tuple(original[1]))]
    for method, names in others:  # with differences from the original and from plain captions
        over = [(ORIGINAL, OVER_ORIGINAL)] + [(recipes.PLAIN, OVER_PLAIN)] * (method != recipes.PLAIN)
        methods.append(Method(method, tuple(names), settings.segmentation.seeds, tuple(over)))
    columns = engine.columns(settings.segmentation.model, methods)
    parts = []
    for task, phrases in found.data.items():
        views = {task: np.arange(len(phrases))}
        if task == benchmarks.NEGATED:
            cues = np.array(phrases.cues)
            by_cue = {cue: np.flatnonzero(cues == cue) for cue in (*benchmarks.CUES, benchmarks.OTHER)}
            views |= {f"{task}, {cue}": rows for cue, rows in by_cue.items() if len(rows) >= FEWEST}
        for title, rows in views.items():
            answers = {name: _rows(answer, rows) for name, answer in found.answers[task].items()}
            part = overlaps(
                answers,
                found.thresholds[task],
                phrases.clusters[rows],
                columns,
                bootstrap,
                over_seeds=settings.over_seeds,
            )
            parts.append(part.assign(title=title))
    return parts


def _wordings(found: Findings, settings: Profile, bootstrap: Bootstrap) -> list[pd.DataFrame]:
    """The negated phrases minus other wordings of them, for every method; only phrases that differ count."""
    negated, parts = found.data[benchmarks.NEGATED], []
    for kind, other in PAIRS.items():
        changed = np.flatnonzero([a != b for a, b in zip(negated.texts, found.data[other].texts, strict=True)])
        answers, best, columns = {}, {}, []
        for method, names in towers(settings).items():
            plus, minus = (tuple(f"{name}/{task}" for name in names) for task in (benchmarks.NEGATED, other))
            columns.append(Column(settings.segmentation.model, method, plus, minus, kind))
            for name, task in itertools.product(names, (benchmarks.NEGATED, other)):
                answers[f"{name}/{task}"] = _rows(found.answers[task][name], changed)
                best[f"{name}/{task}"] = found.thresholds[task][name]
        part = overlaps(answers, best, negated.clusters[changed], columns, bootstrap, over_seeds=settings.over_seeds)
        parts.append(part.assign(title=benchmarks.NEGATED))
    return parts


def _rows(answer: Answer, rows: NDArray[np.int64]) -> Answer:
    whole = answer.overlap
    part = Overlap(whole.hit[rows], whole.marked[rows], whole.meant[rows], whole.pixels)
    return Answer(part, answer.right[rows], answer.chance[rows])


def _rules(data: Mapping[str, Data], settings: Profile, bootstrap: Bootstrap) -> list[pd.DataFrame]:
    """What marks something without a model, as methods of their own."""
    parts = []
    for task in (benchmarks.PHRASECUT, benchmarks.NEGATED, benchmarks.AFFIRMATIVE):
        test, validation = data["test"][task], data["val"][task]
        tuned = benchmarks.blind(validation, validation)
        best = {name: segmentation.best(each.overlap) for name, each in tuned.items()}
        answers = benchmarks.blind(test, validation)
        columns = [Column(settings.segmentation.model, name, (name,)) for name in answers]
        parts.append(overlaps(answers, best, test.clusters, columns, bootstrap).assign(title=task))
    return parts


def _items(found: Findings) -> pd.DataFrame:
    """One row per phrase and text tower: its overlap at the best threshold, and whether the right object won."""
    parts = []
    for task, phrases in found.data.items():
        about = {"task": task, "item": np.arange(len(phrases)), "picture": phrases.clusters}
        about |= {"phrase": phrases.texts, "cue": phrases.cues}
        for name, answer in found.answers[task].items():
            overlap = segmentation.per_phrase(answer.overlap.at(found.thresholds[task][name][MIOU]))
            parts.append(pd.DataFrame(about | {"tower": name, MIOU: overlap, RIGHT: answer.right}))
    return pd.concat(parts, ignore_index=True)


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
    return gains(found, names, (LEVEL,)).drop(columns="difference")


def gains(found: Findings, metrics: Sequence[str] | Mapping[str, str], kinds: Sequence[str]) -> pd.DataFrame:
    """Paired differences: a row per task, method and kind, a column per metric (which a mapping renames)."""
    names = metrics if isinstance(metrics, Mapping) else {metric: metric for metric in metrics}
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
    negated = [task for task in dict.fromkeys(found.table["title"]) if task.startswith(benchmarks.NEGATED)]
    tasks = [benchmarks.AFFIRMATIVE, *(task for task in negated if task not in {benchmarks.BARE, benchmarks.AFFIRMED})]
    shown = of_metrics(found, {RIGHT: "{task}"}, tasks).levels(tasks, list(TITLES), published=False)
    means = found.means()
    of_original = means[means["method"] == ORIGINAL].set_index(["title", "metric"])["value"]
    chance = {task: f"{of_original[task, RIGHT] - of_original[task, OVER_CHANCE]:.3f}" for task in tasks}
    return pd.concat([shown, pd.DataFrame([{"model": "chance"} | chance])], ignore_index=True).fillna("")


def seeds(found: Findings, metric: str = f"{MIOU}@{BEST}") -> pd.DataFrame:
    """Every seed's number: a row per method, a column per task with the seeds side by side."""
    return of_metrics(found, {metric: "{task}"}, benchmarks.TASKS).seeds(benchmarks.TASKS, list(TITLES))


def curves(found: Findings, tasks: Sequence[str] = SHOWN) -> pd.DataFrame:
    """mIoU of the test split by threshold, the mean over seeds: task, method, threshold, value."""
    parts = []
    for task, method in itertools.product(tasks, TITLES):
        own = [
            segmentation.curves(answer.overlap)[MIOU]
            for name, answer in found.answers[task].items()
            if name == method or f"+{method}/" in name
        ]
        if own:
            about = {"task": task, "method": method, "threshold": segmentation.THRESHOLDS}
            parts.append(pd.DataFrame(about | {"value": np.mean(own, axis=0)}))
    return pd.concat(parts, ignore_index=True)


def sizes(found: Findings) -> pd.DataFrame:
    """How many images and phrases each task has, how many have others of their kind, and one phrase."""
    rows = [
        (task, len(each.files), len(each), len(np.unique(each.rival_of)), each.texts[0])
        for task, each in found.data.items()
    ]
    return pd.DataFrame(rows, columns=["task", "pictures", "phrases", "with others of the kind", "for example"])


@dataclass(frozen=True, slots=True)
class Example:
    """A phrase about an image (uint8 [H, W, 3]) with the mask that is meant, and each method's scores [H, W]."""

    text: str
    picture: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    scores: Mapping[str, NDArray[np.float32]]


def examples(settings: Profile, task: str, count: int = 5, seed: int = 0) -> list[Example]:
    """Phrases drawn at random, with the scores of the first seed of every method; one phrase per image."""
    segmenter = miniclipseg.load(settings.segmentation.model)
    phrases = benchmarks.load(settings, segmenter.size)[task]
    first = np.unique(phrases.picture, return_index=True)[1]
    rows = np.random.default_rng(seed).choice(first, size=min(count, len(first)), replace=False)
    files = PictureFiles([phrases.files[place] for place in phrases.picture[rows]])
    layers = miniclipseg.activations(segmenter, torch.stack([segmenter.preprocess(files[n]) for n in range(len(rows))]))
    texts = [phrases.texts[row] for row in rows]
    scores = {}
    for method, names in towers(settings).items():
        encoder = None if method == ORIGINAL else loader.load(names[0], profile=settings.name)
        known = benchmarks.steering(segmenter, encoder, texts)
        steer = torch.stack([known[text] for text in texts])
        scores[method] = miniclipseg.scores(segmenter, layers, steer).cpu().numpy()
    size = (segmenter.size, segmenter.size)
    return [
        Example(text, np.asarray(files[n].resize(size)), mask, {method: each[n] for method, each in scores.items()})
        for n, (text, mask) in enumerate(zip(texts, phrases.masks(rows), strict=True))
    ]


# --------------------------------------------------------------------------------------------------------------------
# Numbers: linear combinations of text towers' metrics, which are no means over phrases. Images are resampled with all
# their phrases, for all metrics and text towers at once.


def overlaps(
    answers: Mapping[str, Answer],
    thresholds: Mapping[str, Mapping[str, int]],
    clusters: NDArray[np.object_],
    wanted: Sequence[Column],
    bootstrap: Bootstrap,
    *,
    over_seeds: bool = False,
) -> pd.DataFrame:
    """Every metric of every column as ``engine.table`` gives them, without a title.

    ``answers`` are to the same phrases, by text tower; ``thresholds`` has each one's best for every metric (places in
    ``segmentation.THRESHOLDS``); ``clusters`` names the image of each phrase. Metrics that are not defined, as the
    right instance where there are no others, are left out. ``over_seeds``: as for ``engine.table``.
    """
    towers = list(answers)
    features = np.stack([features_of(answers[tower], thresholds[tower]) for tower in towers], axis=1)
    named, codes = np.unique(clusters.astype(str), return_inverse=True)
    sums = np.zeros((len(named), *features.shape[1:]))
    np.add.at(sums, codes, features)
    mixing = engine.mixing(wanted, towers)

    def statistic(values: Floats, weights: Floats) -> Floats:
        return (metrics_of(np.tensordot(weights, values, axes=1)) @ mixing).reshape(len(weights), -1)

    of_towers = [dict(zip(towers, values, strict=True)) for values in metrics_of(sums.sum(axis=0)[None])[0]]
    by_seed = [engine.seed_means(of_tower, column) for of_tower in of_towers for column in wanted] if over_seeds else []
    intervals = statistics.bootstrap_many(statistic, sums, by_seed=by_seed, **dataclasses.asdict(bootstrap))
    n, with_rivals = len(codes), int((~np.isnan(answers[towers[0]].right)).sum())
    over = "clusters" if len(sums) < n else "items"
    rows = []
    for (metric, column), interval in zip(
        itertools.product((*NAMES, RIGHT, OVER_CHANCE), wanted), intervals, strict=True
    ):
        if not np.isnan(interval.value):
            covered = statistics.SEEDS if interval.over.startswith(statistics.SEEDS) else ""
            counted = {"n": with_rivals if metric in (RIGHT, OVER_CHANCE) else n, "over": covered + over}
            rows.append(column.about | {"metric": metric} | dataclasses.asdict(interval) | counted)
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
    with np.errstate(invalid="ignore"):  # without rivals nothing is known
        rows += [right / known, (right - chance) / known]
    return np.stack(rows, axis=1)
