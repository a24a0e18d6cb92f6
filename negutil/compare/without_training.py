"""Methods without training on every benchmark, beside CLIP and the fine-tuned models that they claim to replace.

A method is a way to make the query (``negutil.models.queries``) on a model as it is; ``make`` has them all by label.
Its number (weight, threshold, strength) is chosen for each model on the mini world's validation images (``choices``),
by a rule that looks at no reported image, wording or held-out noun; published data have no such images, and
``queries.DEFAULTS`` count. Every method that splits sentences by rules is also run with an oracle's split and the same
hyperparameter, so their difference is the cost of the rules' errors.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from negutil import progress, statistics
from negutil.captions import claim_items, english, phrasing, sentence_forms, splitting
from negutil.compare import engine, evaluation, negation_beyond, negationclip, validation
from negutil.compare.engine import CLIP, OVER_CLIP, Column, Experiment, Findings, Group
from negutil.compare.evaluation import ALL, CLAIMS, JUDGED, TOP_1, TOP_5, WHOLE, Evaluation, EvaluationData
from negutil.compare.validation import MEASURES, Validation
from negutil.config import Profile
from negutil.data import skipped, source
from negutil.data.skipped import Skip
from negutil.models import encode, loader, queries
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.queries import AFFIRMED, CAPS, DEFAULTS, STEERED, SUBTRACTED, SplitQuery, Steered
from negutil.models.scorer import Cosine, Scorer
from negutil.tasks import ccneg, simpleneg, suite
from negutil.train import recipes
from negutil.train.finetune import finetune_many

EXPERIMENT = "10_without_training"
ORACLE, DEFAULT = ", oracle split", f"{CAPS}, default threshold"
SPLITTING = (AFFIRMED, SUBTRACTED, CAPS)
"""Methods that split the sentence."""

OVER_AFFIRMED, OVER_SUBTRACTED = "gain over the affirmed part", "gain over subtraction"
COST, BEYOND = "cost of the split's errors", "gain beyond the split's errors"
"""What an oracle's split adds to a method, and by how much more the method gains over CLIP (halved: the method minus
the mean of CLIP and the method with the oracle's split)."""

RIVALS = {recipes.NEGATIONCLIP: "gain over NegationCLIP", recipes.NEGFULL: "gain over NegFull"}
"""Fine-tuned models that methods without training claim to beat, and what the difference is called."""

ADDED = f"{recipes.NEGATIONCLIP}+{SUBTRACTED}"
"""Subtraction on a fine-tuned model: do the two gains add up?"""

GRID: Mapping[str, tuple[float, ...]] = {
    SUBTRACTED: (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    CAPS: (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.95, 0.98),
    STEERED: (0.01, 0.02, 0.05, 0.08, 0.13, 0.2, 0.3, 0.5),
}
"""Numbers that are tried on validation data."""

TITLES = {
    CLIP: "CLIP",
    AFFIRMED: "affirmed part alone",
    SUBTRACTED: "affirmed minus w times denied",
    CAPS: "SpaceVLM's caps",
    DEFAULT: "SpaceVLM's caps, threshold .92",
    STEERED: "negation steering",
    ADDED: "NegationCLIP, affirmed minus w times denied",
}
TABLE = (
    *(suite.CCNEG, ccneg.REVERSED, evaluation.MCQ, evaluation.EXCLUSION, evaluation.NEGATED_RETRIEVAL),
    *(suite.IMAGENET, suite.COCO, f"{CLAIMS}, objects", TOP_1, TOP_5),
)
"""Columns of the notebook's table."""


def title_of(label: str) -> str:
    """A method as tables call it."""
    if label.endswith(ORACLE):
        return f"{title_of(label.removesuffix(ORACLE))}{ORACLE}"
    return TITLES[label] if label in TITLES else negationclip.title_of(label)


# --------------------------------------------------------------------------------------------------------------------
# Numbers from validation data


def choices(model: LoadedModel, settings: Profile, data: Validation, methods: Sequence[str]) -> pd.DataFrame:
    """Return what every number of GRID for ``methods`` gets on validation data.

    Columns: method, number, MEASURES, score, chosen.

    The score is the mean of the measures; of equal ones the smaller number is chosen. Sentences are split by rules.
    """
    batch, rows = settings.encode.batch, []
    split = SplitQuery(model, splitting.Rules(), queries.affirmed_alone, batch=batch, share=True)
    possible = [(method, number) for method in GRID if method in methods for number in GRID[method]]
    with progress.quiet():
        split.remember(data.texts)
        for method, number in possible:
            who: Cosine
            if method == STEERED:
                who = Steered(model, _towards(model.name, settings), number, batch=batch)
                who.remember(data.texts)
            else:
                who = split.with_combine(queries.combination(method, number))
            measured = validation.items(who, data, batch).groupby("task")["value"].mean()
            rows.append({"method": method, "number": number, **measured[list(MEASURES)]})
    table = pd.DataFrame(rows)
    table["score"] = table[list(MEASURES)].mean(axis=1)
    best = table.groupby("method")["score"].idxmax()
    return table.assign(chosen=table.index.isin(best))


@functools.lru_cache(maxsize=32)
def chosen(name: str, settings: Profile, method: str) -> float:
    """Return the number of ``method`` for the model called ``name``: by ``choices``, or ``queries.DEFAULTS``."""
    data = validation.data(settings)
    if data is None or method not in GRID:
        return DEFAULTS.get(method, 0.0)
    table = choices(loader.load(name, profile=settings.name), settings, data, (method,))
    return float(table.loc[table["chosen"], "number"].item())


@functools.lru_cache(maxsize=8)
def _towards(name: str, settings: Profile) -> queries.Features:
    affirmed, negated = zip(*sentence_forms.negation_pairs(seed=settings.world.seed), strict=True)
    return queries.directions(loader.load(name, profile=settings.name), affirmed, negated, settings.encode.batch)


# --------------------------------------------------------------------------------------------------------------------
# Methods


def make(model: LoadedModel, label: str, settings: Profile) -> Scorer:
    """Return ``model`` with the method ``label``, a key of TITLES, with or without ORACLE behind it.

    Raises NegutilError for a method that there is not, or that the text tower does not allow.
    """
    batch, method = settings.encode.batch, label.partition(", ")[0]
    if method == CLIP:
        return Cosine(model, batch, share=True)
    number = DEFAULTS[CAPS] if label == DEFAULT else chosen(model.name, settings, method)
    name = f"{model.name}|{label}"
    if method == STEERED:
        return Steered(model, _towards(model.name, settings), number, name, batch)
    splitter = splitting.Grammar() if label.endswith(ORACLE) else splitting.Rules()
    return SplitQuery(model, splitter, queries.combination(method, number), name, batch=batch, share=True)


def load(each: Evaluation, _data: EvaluationData, settings: Profile) -> Scorer:
    """The model of an evaluation with its method."""
    return make(loader.load(each.model, profile=settings.name), each.change, settings)


def labels(settings: Profile) -> list[str]:
    """The methods of a profile: without an oracle's split if there is none, or steering without an end token."""
    plain = [AFFIRMED, SUBTRACTED, CAPS, DEFAULT]
    plain += [STEERED] * all(map(queries.has_end_token, settings.models))
    return plain + [f"{method}{ORACLE}" for method in SPLITTING] * source.is_world(settings)


def methods(settings: Profile, base: str) -> list[engine.Method]:
    """CLIP, every method without training, and the rivals, on ``base``."""
    found = [engine.Method(CLIP, (base,))]
    for label in labels(settings):
        over = [(CLIP, OVER_CLIP)]
        over += [(AFFIRMED, OVER_AFFIRMED)] * (label in (SUBTRACTED, CAPS))
        over += [(SUBTRACTED, OVER_SUBTRACTED)] * (label == CAPS)
        over += [(label.removesuffix(ORACLE), COST)] * label.endswith(ORACLE)
        over += [(rival, kind) for rival, kind in RIVALS.items() if label in (SUBTRACTED, CAPS, STEERED)]
        found.append(engine.Method(label, (Evaluation(base, change=label).name,), over=tuple(over)))
    for recipe in _rivals(settings, base):
        seeds = recipes.seeds(settings, recipe)
        values = tuple(recipes.model_name(base, recipe, seed) for seed in seeds)
        found.append(engine.Method(recipe, values, seeds, ((CLIP, OVER_CLIP),)))
        if recipe == recipes.NEGATIONCLIP:
            values = tuple(Evaluation(name, change=SUBTRACTED).name for name in values)
            over = [(CLIP, OVER_CLIP), (recipe, RIVALS[recipe]), (SUBTRACTED, OVER_SUBTRACTED)]
            found.append(engine.Method(ADDED, values, seeds, tuple(over)))
    return found


def _rivals(settings: Profile, base: str) -> list[str]:
    known = recipes.rows(settings, base)
    return [name for name in RIVALS if name in known]


def train(settings: Profile) -> None:
    """Fine-tune every rival that is not finished (notebook 05 has trained the same ones)."""
    jobs = [job for base in settings.models for job in recipes.jobs(settings, base, _rivals(settings, base))]
    finetune_many(jobs, settings.finetuning.processes)


def experiment() -> Experiment:
    """The experiment of this module."""
    return Experiment(EXPERIMENT, title_of, {negationclip.PAPER: negationclip.published()})


def run(settings: Profile, seed: int = 0) -> Findings:
    """Evaluate every method on every benchmark; writes ``levels``, ``seeds``, ``gains`` and all items.

    ``seed`` moves the resamples. Raises NegutilError if a rival is missing.
    """
    compared = {base: methods(settings, base) for base in settings.models}
    judged = [Evaluation.named(name, JUDGED) for own in compared.values() for each in own for name in each.values]
    others = [dataclasses.replace(each, part=ALL if each.change else WHOLE) for each in judged]
    items = evaluation.items(settings, others + judged, load)
    columns = [column for base, own in compared.items() for column in _columns(base, own, settings)]
    ways: dict[str, Any] = {"over_seeds": settings.over_seeds}
    table = engine.table(items, columns, groups(items), settings.bootstrap.moved(seed), **ways)
    found = Findings(experiment(), table, items)
    found.save(settings, seed=seed)
    engine.save_items(items, settings, EXPERIMENT)
    for base in (name for name in settings.models if not queries.has_end_token(name)):
        skipped.note(settings, Skip(f"steering of {base}", "Its text tower has no end token."))
    skipped.save(settings, EXPERIMENT)
    return found


def _columns(base: str, compared: Sequence[engine.Method], settings: Profile) -> list[Column]:
    """The numbers of one architecture, and how much more a method gains than the errors of its split cost."""
    values = {method.label: method.values for method in compared}
    beyond = [
        Column(base, label, values[label] * 2, (base, *values[f"{label}{ORACLE}"]), BEYOND)
        for label in SPLITTING
        if f"{label}{ORACLE}" in labels(settings)
    ]
    return engine.columns(base, compared) + beyond


def groups(items: pd.DataFrame) -> list[Group]:
    """Those of notebook 05 without what is about the text tower alone, claims by domain, and SimpleNeg."""
    of_text = (evaluation.TEXT, evaluation.TEXT_COSINE)
    found = [group for group in negationclip.groups(items) if not group.title.startswith(of_text)]
    tasks = items["task"].to_numpy()
    for task in dict.fromkeys(task for task in tasks if task.startswith(f"{CLAIMS}, ")):
        found.append(Group(task, "accuracy", tasks == task))
        for kind in ("affirmative", "negated"):
            found.append(Group(f"{task}, {kind}", "accuracy", (tasks == task) & (items["type"] == kind).to_numpy()))
    return found + [Group(task, "share", tasks == task) for task in (TOP_1, TOP_5) if (tasks == task).any()]


def numbers(settings: Profile) -> pd.DataFrame:
    """Return ``choices`` for every model of the profile, with a column model; without rows for published data."""
    data = validation.data(settings)
    columns = ["model", "method", "number", *MEASURES, "score", "chosen"]
    if data is None:
        return pd.DataFrame(columns=columns)
    methods = labels(settings)
    parts = [choices(loader.load(name), settings, data, methods).assign(model=name) for name in settings.models]
    return pd.concat(parts, ignore_index=True)[columns]


# --------------------------------------------------------------------------------------------------------------------
# The split by itself, and SimpleNeg's argument


def split_errors(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """Write the table ``splits`` and return it: how often the rules split a negated sentence wrongly, by the oracle.

    Columns: task (a benchmark, or "all sentences" and a cue), metric, value, low, high, n, over. Each sentence counts
    once for each benchmark. Without rows if there is no oracle.
    """
    oracle = splitting.oracle(settings)
    if oracle is None:
        return pd.DataFrame(columns=["task", "metric", *engine.INTERVAL])
    by_benchmark, rows = _texts(settings), list[dict[str, object]]()
    every = list(dict.fromkeys(text for texts in by_benchmark.values() for text in texts))
    table = splitting.agreement(every, splitting.Rules().split(every), oracle.split(every)).set_index("text")
    parts = {name: table.loc[texts] for name, texts in by_benchmark.items()}
    parts |= {f"all sentences, {cue}": part for cue, part in table.groupby("cue") if len(part) >= engine.FEWEST}
    for task, part in {"all sentences": table, **parts}.items():
        for side in ("affirmed", "denied", "both"):
            metric = "wrong splits" if side == "both" else f"wrong {side} parts"
            share = statistics.bootstrap_share(~part[side].to_numpy(bool), None, **_resampling(settings, seed))
            rows.append({"task": task, "metric": metric, **dataclasses.asdict(share)})
    found = pd.DataFrame(rows)
    engine.save_numbers(found.assign(model="rules"), settings, EXPERIMENT, "splits", seed=seed)
    return found


def _texts(settings: Profile) -> dict[str, list[str]]:
    """The negated sentences of every benchmark about scenes, each once."""
    data = evaluation.prepare(settings)
    found = {title: suite.texts({title: rows}) for title, rows in data.benchmarks.items()}
    found |= {task.variation.title: task.texts for task in data.negbench}
    found[evaluation.EXCLUSION] = [query.text for query in data.gallery.queries] if data.gallery else []
    for name, domain in negation_beyond.domains(settings).items():
        if name in (claim_items.OBJECTS, claim_items.ATTRIBUTES):
            found[f"{CLAIMS}, {name}"] = domain.test[0].claims["text"].tolist()
    negated = {name: [text for text in dict.fromkeys(texts) if phrasing.of(text).cue] for name, texts in found.items()}
    return {name: texts for name, texts in negated.items() if texts}


def _resampling(settings: Profile, seed: int) -> dict[str, int]:
    return dataclasses.asdict(settings.bootstrap.moved(seed))


def against_recall(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """Write the table ``recall`` and return it: SimpleNeg's argument, on NegBench's retrieval in the mini world.

    Columns: model, method, metric, value, low, high, n, over. Metrics: how many images satisfy a query besides the
    gold one, recall@5 of that one, and recall@5 where every image that satisfies it counts. What a caption names has
    to be there and what it denies has not; colours, numbers and places do not count. Without rows for published data.
    """
    oracle = splitting.oracle(settings)
    data = evaluation.prepare(settings) if oracle else None
    if oracle is None or data is None or data.queries is None or data.gallery is None:
        return pd.DataFrame(columns=["model", "method", "metric", *engine.INTERVAL])
    wanted = data.queries
    row_of = {str(path): row for row, path in enumerate(data.gallery.pictures.paths)}
    places = [row_of[str(path)] for path in wanted.media]
    there = {noun: flags[places] for noun, flags in data.gallery.there.items()}
    splits = oracle.split(wanted.captions)
    affirmed = [list(english.mentions(each.affirmed)) for each in splits]
    denied = [list(english.mentions(each.denied)) for each in splits]
    satisfied, rows = simpleneg.satisfying(affirmed, denied, there), []
    for name in settings.models:
        model = loader.load(name)
        images = encode.images(model, PictureFiles(list(wanted.media)), batch=settings.encode.batch)
        for label in (CLIP, SUBTRACTED, CAPS):
            who = make(model, label, settings)
            who.remember(wanted.captions)
            found = simpleneg.recall_of_any(who.matrix(wanted.captions, images), wanted.rows.tolist(), satisfied)
            for column, metric in AGAINST_RECALL.items():
                mean = statistics.bootstrap_mean(found[column], **_resampling(settings, seed))
                rows.append({"model": name, "method": label, "metric": metric, **dataclasses.asdict(mean)})
    table = pd.DataFrame(rows)
    task = table["method"].map(lambda label: f"{evaluation.NEGATED_RETRIEVAL}/{label or 'CLIP'}")
    engine.save_numbers(table.assign(task=task), settings, EXPERIMENT, "recall", seed=seed)
    return table


AGAINST_RECALL = {
    "others": "images that satisfy the query besides the gold one",
    "gold": "recall@5 of the gold image",
    "any": "recall@5 of any image that satisfies the query",
}
"""Columns of ``simpleneg.recall_of_any`` and what they are called."""
