"""Notebook 08: CLIPSeg with other text towers, NegationCLIP's Table 5, and controls that it lacks.

``train`` makes the text towers that are missing, ``run`` puts each into the segmenter, asks it everything of
``segmentation_items`` and writes the numbers of ``segmentation_numbers``. The rest are tables and pictures for the
notebook. The claims and their tests are in configs/claims.toml.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from negutil import results, tables
from negutil.compare import segmentation_items as asked
from negutil.compare import segmentation_numbers as numbers
from negutil.compare.negationclip_numbers import FEWEST, LEVEL, Column
from negutil.compare.segmentation_items import Answer, Phrases
from negutil.compare.segmentation_numbers import BEST, OVER_CHANCE, RIGHT
from negutil.config import Bootstrap, Profile
from negutil.models import loader, miniclipseg, trained
from negutil.models.miniclipseg import Segmenter
from negutil.models.pictures import PictureFiles
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import segmentation
from negutil.tasks.segmentation import BINARY, MIOU, Overlap
from negutil.train import recipes_negation as recipes
from negutil.train.finetune import finetune_many

EXPERIMENT = "08_referring_segmentation"
ORIGINAL = "original"
OVER_ORIGINAL, OVER_PLAIN = "over the original", "over plain"
OVER_BARE, OVER_AFFIRMED = "over the bare phrase", "over the phrase without negation"
PAIRS = {OVER_BARE: asked.BARE, OVER_AFFIRMED: asked.AFFIRMED}
"""Differences of the same text tower on two wordings of a phrase, where these are not the same."""

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
    (task, method, numbers.name(metric, BEST)): value
    for (task, method), values in _TABLE_5.items()
    for metric, value in zip((MIOU, BINARY), values, strict=True)
}
"""Table 5 of NegationCLIP (ICCV 2025). It does not say at which threshold; CLIPSeg's code prints the best one."""

SOURCE = "NegationCLIP (ICCV 2025), Table 5"
Data = Mapping[str, Phrases]
Answers = Mapping[str, Mapping[str, Answer]]
"""Answers by task, then by text tower."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves for the notebook.

    Attributes:
        table: every number: task, method, seed (missing for means over seeds), metric, kind ("" or such as "over the
            original"), value, low, high, n, over.
        data: the test split of every task; ``answers`` those to it.
        validation: answers to the validation split.
        thresholds: by task, text tower and metric the best of the validation split (a place in THRESHOLDS).
    """

    table: pd.DataFrame
    data: Data
    answers: Answers
    validation: Answers
    thresholds: Mapping[str, Mapping[str, Mapping[str, int]]]


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
    """Ask the segmenter everything with every text tower.

    Writes the tables ``levels``, ``seeds``, ``gains`` and ``rules``, and all items. ``seed`` moves the resamples.
    Raises NegutilError where a text tower is missing, or data or weights are.
    """
    segmenter = miniclipseg.load(settings.segmentation.model)
    data = {split: asked.load(settings, segmenter.size, split) for split in asked.SPLITS}
    found = _answers(segmenter, settings, data)
    thresholds = _thresholds(found["val"])
    bootstrap = Bootstrap(settings.bootstrap.resamples, settings.bootstrap.seed + seed)
    findings = Findings(pd.DataFrame(), data["test"], found["test"], found["val"], thresholds)
    table = pd.concat([_table(findings, settings, bootstrap), _rules(data, bootstrap)], ignore_index=True)
    findings = replace(findings, table=table)
    _save(findings, settings, seed)
    return findings


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


def _thresholds(validation: Answers) -> dict[str, dict[str, dict[str, int]]]:
    return {
        task: {name: segmentation.best(answer.overlap) for name, answer in by_tower.items()}
        for task, by_tower in validation.items()
    }


def _columns(settings: Profile) -> list[Column]:
    """Every text tower, every method's mean over seeds, and its differences from the original and from plain."""
    found = []
    seeds_of = {method: tuple(names) for method, names in towers(settings).items()}
    for method, names in seeds_of.items():
        found += [Column(name, (name,)) for name in names if method != ORIGINAL]
        found.append(Column(method, names))
        rivals = {ORIGINAL: OVER_ORIGINAL, recipes.PLAIN: OVER_PLAIN}
        found += [
            Column(method, names, seeds_of[rival], kind)
            for rival, kind in rivals.items()
            if rival in seeds_of and method not in {rival, ORIGINAL}
        ]
    return found


def _table(found: Findings, settings: Profile, bootstrap: Bootstrap) -> pd.DataFrame:
    """The numbers of every task, of the negated phrases by their cue, and of their differences from other wordings."""
    columns = _columns(settings)
    parts = []
    for task, phrases in found.data.items():
        for title, rows in _views(phrases).items():
            answers = {name: _rows(answer, rows) for name, answer in found.answers[task].items()}
            part = numbers.table(answers, found.thresholds[task], phrases.clusters[rows], columns, bootstrap)
            parts.append(part.assign(task=title))
    parts += [_wordings(found, settings, kind, bootstrap) for kind in PAIRS]
    return _named(pd.concat(parts, ignore_index=True))


def _views(phrases: Phrases) -> dict[str, NDArray[np.int64]]:
    """All phrases, and those that negate by each cue; small parts are left out."""
    found = {phrases.task: np.arange(len(phrases))}
    if phrases.task == asked.NEGATED:
        cues = np.array(phrases.cues)
        own = {f"{phrases.task}, {cue}": np.flatnonzero(cues == cue) for cue in (*asked.CUES, asked.OTHER)}
        found |= {title: rows for title, rows in own.items() if len(rows) >= FEWEST}
    return found


def _wordings(found: Findings, settings: Profile, kind: str, bootstrap: Bootstrap) -> pd.DataFrame:
    """The negated phrases minus another wording of them, for every method; only phrases that differ count."""
    other, own = PAIRS[kind], found.data[asked.NEGATED]
    changed = np.flatnonzero([a != b for a, b in zip(own.texts, found.data[other].texts, strict=True)])
    answers, best, columns = {}, {}, []
    for method, names in towers(settings).items():
        for name in names:
            for task in (asked.NEGATED, other):
                answers[f"{name}/{task}"] = _rows(found.answers[task][name], changed)
                best[f"{name}/{task}"] = found.thresholds[task][name]
        plus, minus = (tuple(f"{name}/{task}" for name in names) for task in (asked.NEGATED, other))
        columns.append(Column(method, plus, minus, kind))
    return numbers.table(answers, best, own.clusters[changed], columns, bootstrap).assign(task=asked.NEGATED)


def _rows(answer: Answer, rows: NDArray[np.int64]) -> Answer:
    own = answer.overlap
    part = Overlap(own.hit[rows], own.marked[rows], own.meant[rows], own.pixels)
    return Answer(part, answer.right[rows], answer.chance[rows])


def _rules(data: Mapping[str, Data], bootstrap: Bootstrap) -> pd.DataFrame:
    """What marks something without a model, as methods of their own."""
    parts = []
    for task in (asked.PHRASECUT, asked.NEGATED, asked.AFFIRMATIVE):
        test, validation = data["test"][task], data["val"][task]
        tuned = {name: segmentation.best(each.overlap) for name, each in asked.blind(validation, validation).items()}
        found = asked.blind(test, validation)
        columns = [Column(name, (name,)) for name in found]
        parts.append(numbers.table(found, tuned, test.clusters, columns, bootstrap).assign(task=task))
    return _named(pd.concat(parts, ignore_index=True))


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with text towers' names taken apart into method and seed."""
    base = table["model"].str.extract(r"^[^+]+\+(?P<method>.+)/seed(?P<seed>\d+)$")
    method = base["method"].fillna(table["model"])
    found = table.assign(method=method, seed=pd.to_numeric(base["seed"]).astype("Int64"))
    return found[["task", "method", "seed", "metric", "kind", "value", "low", "high", "n", "over"]]


def _save(found: Findings, settings: Profile, seed: int) -> None:
    table = found.table
    is_level, of_seed, is_rule = table["kind"] == LEVEL, table["seed"].notna(), table["method"].isin(RULES)
    parts = {"levels": is_level & ~of_seed & ~is_rule, "seeds": of_seed, "gains": ~is_level, "rules": is_rule}
    for name, rows in parts.items():
        records = [_record(row, settings) for row in table[rows].to_dict("records")]
        results.save(records, settings.name, EXPERIMENT, name, seed=seed)
    results.save_items(items(found), settings.name, EXPERIMENT, "items")


def _record(row: Mapping[Any, Any], settings: Profile) -> Record:
    of_seed = not pd.isna(row["seed"])
    is_level = row["kind"] == LEVEL and not of_seed
    known = PUBLISHED.get((row["task"], row["method"], row["metric"])) if is_level else None
    return Record.of(
        Interval(*(row[name] for name in ("value", "low", "high", "n", "over"))),
        experiment=EXPERIMENT,
        task=f"{row['task']}/{row['method']}",
        model=settings.segmentation.model,
        metric=f"gain in {row['metric']} {row['kind']}" if row["kind"] != LEVEL else row["metric"],
        seed=int(row["seed"]) if of_seed else None,
        paper_value=known,
        paper_source=SOURCE if known is not None else "",
    )


def items(found: Findings) -> pd.DataFrame:
    """One row per phrase and text tower: its overlap at the best threshold, and whether the right thing was found."""
    parts = []
    for task, phrases in found.data.items():
        for name, answer in found.answers[task].items():
            counts = answer.overlap.at(found.thresholds[task][name][MIOU])
            about = {"task": task, "item": np.arange(len(phrases)), "picture": phrases.clusters}
            about |= {"phrase": phrases.texts, "cue": phrases.cues, "tower": name}
            own = {MIOU: segmentation.per_phrase(counts).astype(np.float32), RIGHT: answer.right.astype(np.float32)}
            parts.append(pd.DataFrame(about | own))
    names = ("task", "picture", "phrase", "cue", "tower")
    return pd.concat(parts, ignore_index=True).astype(dict.fromkeys(names, "category"))


# --------------------------------------------------------------------------------------------------------------------
# For the notebook


def table_5(found: Findings, metrics: Sequence[str] = (MIOU, BINARY), threshold: str = BEST) -> pd.DataFrame:
    """Table 5: a row per method, a column per task and metric, means over seeds with intervals; then the paper's rows.

    The rules that read no phrase follow the methods.
    """
    rows = found.table[(found.table["kind"] == LEVEL) & found.table["seed"].isna() & found.table["task"].isin(SHOWN)]
    names = {numbers.name(metric, threshold): metric for metric in metrics}
    rows = rows[rows["metric"].isin(names)]
    cells = _cells(rows, [f"{task} {names[metric]}" for task, metric in zip(rows["task"], rows["metric"], strict=True)])
    wide = cells.reindex([name for name in (*TITLES, *RULES) if name in cells.index]).reset_index()
    printed = _published(list(cells.columns), names) if threshold == BEST else pd.DataFrame()
    return _titled(pd.concat([wide, printed], ignore_index=True).fillna(""))


def _published(columns: Sequence[str], names: Mapping[str, str]) -> pd.DataFrame:
    found: dict[str, dict[str, str]] = {}
    for (task, method, metric), value in PUBLISHED.items():
        if metric in names and f"{task} {names[metric]}" in columns:
            own = found.setdefault(method, {"method": f"{TITLES[method]}, published"})
            own[f"{task} {names[metric]}"] = f"{value:.3f}"
    return pd.DataFrame(list(found.values()))


def by_threshold(found: Findings, metric: str = MIOU) -> pd.DataFrame:
    """A metric at every reported threshold: a row per task and method, a column per threshold."""
    names = {numbers.name(metric, threshold): f"at {threshold}" for threshold in (*numbers.FIXED, BEST)}
    rows = _levels(found, SHOWN, list(names))
    wide = _cells(rows, [names[each] for each in rows["metric"]], ["task", "method"]).reset_index()
    order = {name: place for place, name in enumerate((*SHOWN, *TITLES))}
    wide = wide.sort_values(["task", "method"], key=lambda column: column.map(order), kind="stable")
    return _titled(wide[["task", "method", *names.values()]])


def instances(found: Findings) -> pd.DataFrame:
    """How often the thing that is meant has the highest score: a row per method, a column per kind of phrases."""
    tasks = [asked.AFFIRMATIVE, *(task for task in dict.fromkeys(found.table["task"]) if _is_negated(task))]
    rows = _levels(found, tasks, [RIGHT])
    wide = _cells(rows, list(rows["task"])).reindex([name for name in TITLES if name in set(rows["method"])])
    chances = {task: f"{_chance(found, task):.3f}" for task in tasks}
    chance = pd.DataFrame([{"method": "chance"} | chances])
    return _titled(pd.concat([wide.reset_index(), chance], ignore_index=True)[["method", *tasks]])


def _is_negated(task: str) -> bool:
    return task.startswith(asked.NEGATED) and task not in {asked.BARE, asked.AFFIRMED}


def _chance(found: Findings, task: str) -> float:
    """What guessing gets: the difference of the two metrics about instances, the same for every text tower."""
    rows = _levels(found, [task], [RIGHT, OVER_CHANCE])
    own = rows[rows["method"] == ORIGINAL].set_index("metric")["value"]
    return float(own[RIGHT] - own[OVER_CHANCE])


def gains(found: Findings, metrics: Sequence[str], kinds: Sequence[str]) -> pd.DataFrame:
    """Paired differences: a row per task, method and kind, a column per metric."""
    table = found.table
    rows = table[table["kind"].isin(kinds) & table["metric"].isin(metrics) & table["task"].isin(SHOWN)]
    wide = _cells(rows, list(rows["metric"]), ["task", "kind", "method"]).reset_index()
    order = {name: place for place, name in enumerate((*SHOWN, *kinds, *TITLES))}
    wide = wide.sort_values(["task", "kind", "method"], key=lambda column: column.map(order), kind="stable")
    return _titled(wide[["task", "method", "kind", *metrics]].rename(columns={"kind": "difference"}))


def seeds(found: Findings, metric: str = numbers.name(MIOU, BEST)) -> pd.DataFrame:
    """Every seed's number: a row per method, a column per task with the seeds side by side."""
    rows = found.table[found.table["seed"].notna() & (found.table["metric"] == metric)]
    rows = rows[rows["task"].isin(asked.TASKS)].sort_values("seed", kind="stable")
    joined = rows.assign(cell=rows["value"].map("{:.3f}".format))
    wide = joined.groupby(["method", "task"], sort=False)["cell"].agg(" · ".join).unstack().reset_index()
    wide = wide.sort_values("method", key=lambda column: column.map(list(TITLES).index))
    return _titled(wide[["method", *asked.TASKS]].rename_axis(columns=None))


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


def _levels(found: Findings, tasks: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """The means over seeds of the methods (rules left out), in the orders given."""
    table = found.table
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna() & ~table["method"].isin(RULES)]
    return rows[rows["task"].isin(tasks) & rows["metric"].isin(metrics)]


def _cells(rows: pd.DataFrame, columns: Sequence[str], index: Sequence[str] = ("method",)) -> pd.DataFrame:
    """Values with intervals as texts: ``columns`` names the column of each row, ``index`` the rows."""
    texts = [tables.with_interval(*each) for each in zip(rows["value"], rows["low"], rows["high"], strict=True)]
    tall = rows[list(index)].assign(column=list(columns), cell=texts)
    wide = tall.pivot(index=list(index), columns="column", values="cell")
    return wide[list(dict.fromkeys(columns))].rename_axis(columns=None)


def _titled(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(method=[TITLES.get(name, name) for name in table["method"]])
