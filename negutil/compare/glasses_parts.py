"""The glasses of notebook 06 taken apart: how often their classifier calls a text negated, costs, and lambda.

Everything that glasses do passes through the classifier's mask (CLIPGlasses eq. 14): a class prompt that is called
negated has the class itself pushed away, and a negation that is not seen changes nothing. Costs are trained weights,
examples seen, and operations, counted by torch's FlopCounterMode (matrix products alone) and not timed, so that table
is the same on every machine; ``benchmarks/glasses.py`` measures time.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from datasets import Dataset

from negutil import statistics
from negutil.captions import english, phrasing
from negutil.compare import clipglasses, engine, evaluation
from negutil.compare import clipglasses_controls as controls
from negutil.compare.evaluation import WHOLE
from negutil.config import Bootstrap, Profile
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.models import architectures, encode, glasses_model, loader, trained
from negutil.models.glasses_model import GlassesModel
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Features
from negutil.statistics import Floats
from negutil.tasks import find, suite

METRIC = "share that the classifier calls negated"
ACCURACY = "accuracy of the classifier"
SENTENCES, WITH_CUE, WITHOUT_CUE = "all sentences", "sentences with a negation", "sentences without"
PROMPTS, AFFIRMED, NEGATED = "prompts of ImageNet's classes", "captions of CC-Neg", "negated captions of CC-Neg"
SENTENCE = "there is no dog on the beach, but a red car and two people with umbrellas can be seen"


def mask(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """Columns model, task, metric, value, low, high, n, over: means over the glasses' seeds, intervals over texts.

    It is about the glasses that were trained on CC-Neg; writes the table ``mask``. Raises NegutilError if they are
    missing.
    """
    texts_of, bootstrap = texts(settings), settings.bootstrap.moved(seed)
    rows = []
    for base in settings.models:
        models = _glasses(settings, base)
        for kind, chosen in texts_of.items():
            called = np.mean([controls.masked(model, chosen) for model in models], axis=0)
            (share,) = engine.means(called[:, None], np.arange(len(chosen)).astype(str), bootstrap)
            rows.append({"model": base, "task": kind, "metric": METRIC, **dataclasses.asdict(share)})
    table = pd.DataFrame(rows)
    engine.save_numbers(table, settings, clipglasses.EXPERIMENT, "mask", seed=seed)
    skipped.save(settings, clipglasses.EXPERIMENT)
    return table


def gate(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """How often the classifier is right about a sentence of the benchmarks.

    ``accuracies`` with the columns model and glasses (the label of those that were trained on CC-Neg, and of those that
    were trained on NegBench's captions); writes the table ``gate``. Raises NegutilError if glasses are missing.
    """
    sentences, bootstrap = evaluation.prepare(settings).texts, settings.bootstrap.moved(seed)
    parts = []
    for base, label in itertools.product(settings.models, (clipglasses.FULL, clipglasses.RETRIEVED)):
        called = np.stack([controls.masked(model, sentences) for model in _glasses(settings, base, label)])
        numbers = accuracies(called, sentences, bootstrap, over_seeds=settings.over_seeds)
        parts.append(numbers.assign(model=base, glasses=label))
    table = pd.concat(parts, ignore_index=True)
    named = table.assign(task=table["task"] + "/" + table["glasses"])
    engine.save_numbers(named, settings, clipglasses.EXPERIMENT, "gate", seed=seed)
    return table


def accuracies(called: Floats, sentences: Sequence[str], bootstrap: Bootstrap, *, over_seeds: bool) -> pd.DataFrame:
    """How often a classifier is right about sentences [N] that it ``called`` negated (1) or not (0), [S, N].

    Columns task, metric, value, low, high, n, over. Tasks are all sentences, those with and those without a cue of
    negation, and each cue (``captions.phrasing``) of at least ``engine.FEWEST`` of them; means over S seeds.
    """
    cues = phrasing.table(sentences)["cue"].to_numpy()
    right = (called == (cues != "")).astype(float)
    groups = {SENTENCES: np.full(len(cues), True), WITHOUT_CUE: cues == "", WITH_CUE: cues != ""}
    groups |= {f"{WITH_CUE}: {cue}": cues == cue for cue in sorted(set(cues) - {""})}
    rows = []
    for task, chosen in groups.items():
        own, count = right[:, chosen], int(chosen.sum())
        if count >= engine.FEWEST:
            by_seed = [own.mean(axis=1)] if over_seeds else []
            mean, items = own.mean(axis=0)[:, None], np.arange(count).astype(str)
            (share,) = engine.means(mean, items, bootstrap, by_seed=by_seed)
            rows.append({"task": task, "metric": ACCURACY, **dataclasses.asdict(share)})
    return pd.DataFrame(rows)


def _glasses(settings: Profile, base: str, label: str = clipglasses.FULL) -> list[GlassesModel]:
    """The glasses called ``label``, from every seed."""
    return [controls.glasses(name, settings) for name in clipglasses.glasses_names(settings, base, label)]


def texts(settings: Profile) -> dict[str, list[str]]:
    """The texts that the classifier is given, by kind; without ImageNet there are no prompts of its classes."""
    data = suite.prepare(settings, (suite.IMAGENET, suite.CCNEG))
    if suite.CCNEG not in data:
        raise NegutilError(f"The mask is measured on {suite.CCNEG}: put it in place.")
    prompts = find()[suite.IMAGENET].texts(data[suite.IMAGENET]) if suite.IMAGENET in data else []
    rows = data[suite.CCNEG].plain
    captions = {AFFIRMED: list(rows["caption"][:]), NEGATED: list(rows["negated_caption"][:])}
    return {PROMPTS: prompts, **captions} if prompts else captions


def costs(settings: Profile) -> pd.DataFrame:
    """A row per method of the last CLIP of the profile, first seed: model, weights, examples, operations.

    Variants and changes after training are left out. Raises NegutilError if a model has not been trained.
    """
    base = settings.models[-1]
    methods = [each for each in clipglasses.methods(settings, base) if not each.change]
    methods = [each for each in methods if each.label not in clipglasses.VARIANTS]
    trained_parts: list[tuple[str, GlassesModel | LoadedModel, int, int]] = [
        (clipglasses.CLIP, loader.load(base), 0, 0)
    ]
    for method in methods:
        name = method.models[0]
        if method.parts != (WHOLE,):
            glasses = controls.glasses(name, settings)
            weights = sum(parameter.numel() for parameter in glasses.glasses.parameters())
            examples = int(glasses_model.read(name, settings.name).about["examples"])
            trained_parts.append((method.label, glasses, weights, examples))
        else:
            tuned = trained.read(name, settings.name)
            weights = sum(tensor.numel() for tensor in trained.tensors(tuned)[0].values())
            examples = int(tuned.about["steps"]) * int(tuned.identity["config"]["batch"])
            trained_parts.append((method.label, loader.load(name, profile=settings.name), weights, examples))
    rows = []
    for label, model, weights, examples in trained_parts:
        tower = model.tower if isinstance(model, GlassesModel) else model
        width = architectures.encode_text(tower.model, tower.tokenizer([SENTENCE])).shape[1]
        per_text, per_pair = text_operations(tower), 2.0 * width
        if isinstance(model, GlassesModel):
            more, per_pair = glasses_operations(model)
            per_text += more
        about = {"model": clipglasses.title_of(label), "trained weights": weights, "examples": examples}
        rows.append(about | {"million operations per text": per_text / 1e6, "operations per pair": round(per_pair)})
    return pd.DataFrame(rows)


def text_operations(model: LoadedModel) -> float:
    """Operations of the text tower for SENTENCE."""
    tokens = model.tokenizer([SENTENCE])
    return _count(lambda: architectures.encode_text(model.model, tokens))


def glasses_operations(model: GlassesModel) -> tuple[float, float]:
    """Operations of the glasses for one text, and for one more pair of a text and an image."""
    width = model.glasses.config.width

    def forward(texts: int, images: int) -> float:
        last, levels = torch.ones(texts, width), torch.ones(texts, 3, width)
        rows = torch.zeros(texts, dtype=torch.int64)
        return _count(lambda: model.glasses(last, levels, torch.ones(images, width), partners=rows))

    one, more_texts, more_images, more_pairs = (forward(*size) for size in ((1, 1), (2, 1), (1, 2), (2, 2)))
    pair = more_pairs - more_texts - more_images + one
    return more_texts - one - pair, pair


def _count(call: Callable[[], object]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    # With gradients: without them torch takes attention as one operation, which is not counted.
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


# --------------------------------------------------------------------------------------------------------------------
# Does lambda fall with weaker negation? CLIPGlasses' Fig. 4, with paired differences and tau. The published captions
# (CC-Neg's, reworded by a language model in four strengths) are not public, so templates stand in for them: the
# object that an item of CC-Neg denies, denied in each strength, with that item's image.
# See docs/protocols.md#lambda-figure.


STRENGTHS: dict[str, str] = {
    "no": "a photo in which there is no {bare}",
    "not any": "a photo in which there are not any {many}",
    "appears to be absent": "a photo in which {one} appears to be absent",
    "may not be present": "a photo in which {one} may not be present",
}
"""The strongest first."""

DIFFERENCE, TAU, MONOTONE, LAMBDA = (
    *("difference of lambda", "Kendall's tau", "share in the order of the strengths", "mean lambda"),
)
ALL = "four strengths"


@dataclass(frozen=True, slots=True)
class Items:
    """Objects that are denied of images: ``nouns`` [N] and the ``pictures`` [N]."""

    nouns: tuple[str, ...]
    pictures: PictureFiles

    def texts(self, strength: str) -> list[str]:
        """The sentence [N] of every object in one strength."""
        words = ((noun, english.with_article(noun), english.plural(noun)) for noun in self.nouns)
        return [STRENGTHS[strength].format(bare=bare, one=one, many=many) for bare, one, many in words]


@dataclass(frozen=True, slots=True)
class Strengths:
    """Lambda for four strengths of negation: ``items`` (one model), and ``table`` with the numbers of every base."""

    items: pd.DataFrame
    table: pd.DataFrame


def strengths(settings: Profile, seed: int = 0) -> Strengths:
    """Lambda in four strengths, means over the seeds of the glasses from CC-Neg, for every CLIP; writes ``lambda``."""
    data = suite.prepare(settings, (suite.CCNEG,))
    denied = denied_items(data[suite.CCNEG].plain, settings.glasses.strengths, seed)
    parts, shown = [], pd.DataFrame()
    for base in settings.models:
        images = encode.images(loader.load(base), denied.pictures, batch=settings.encode.batch)
        models = _glasses(settings, base)
        shown, masked = (
            sum(frames[1:], frames[0]) / len(frames)
            for frames in (
                [lambda_table(denied, images, partial(score, model)) for model in models]
                for score in (controls.lambdas, controls.masked)
            )
        )
        parts.append(lambda_summary(shown, masked, denied.nouns, settings.bootstrap).assign(base=base))
    table = pd.concat(parts, ignore_index=True)
    engine.save_numbers(table.rename(columns={"base": "model"}), settings, clipglasses.EXPERIMENT, "lambda", seed=seed)
    return Strengths(shown.assign(noun=denied.nouns), table)


def denied_items(rows: Dataset, count: int, seed: int = 0) -> Items:
    """``count`` random items of CC-Neg that say what they deny; raises NegutilError if there is none."""
    named = [row for row, noun in enumerate(rows["negated_object"][:]) if noun]
    if not named:
        raise NegutilError("No item of CC-Neg says which object it denies: use a file with sop_chosen_object.")
    chosen = rows.select(np.sort(np.random.default_rng(seed).permutation(named)[:count]).tolist())
    return Items(tuple(chosen["negated_object"][:]), PictureFiles.of(chosen))


def lambda_table(
    denied: Items, images: Features, lambda_of: Callable[[Sequence[str], Features], Floats]
) -> pd.DataFrame:
    """Lambda of every item (rows) in every strength (columns), for features ``images`` [N, D] of its images."""
    return pd.DataFrame({strength: lambda_of(denied.texts(strength), images) for strength in STRENGTHS})


def lambda_summary(
    lambdas: pd.DataFrame, masked: pd.DataFrame, nouns: Sequence[str], bootstrap: Bootstrap
) -> pd.DataFrame:
    """Rows task, metric, value, low, high, n, over from the table of lambdas and that of the classifier's answers.

    Tasks are the strengths, "no minus not any" and the like (paired), and ALL. Nouns are drawn whole, as all sentences
    about one are the same.
    """
    columns: dict[tuple[str, str], Floats] = {}
    for strength in STRENGTHS:
        columns[strength, LAMBDA] = lambdas[strength].to_numpy(float)
        columns[strength, METRIC] = masked[strength].to_numpy(float)
    for first, second in itertools.pairwise(STRENGTHS):
        columns[f"{first} minus {second}", DIFFERENCE] = (lambdas[first] - lambdas[second]).to_numpy(float)
    columns[ALL, TAU] = tau(lambdas.to_numpy(float))
    columns[ALL, MONOTONE] = (np.diff(lambdas.to_numpy(float), axis=1) < 0).all(axis=1).astype(float)
    rows = []
    for (task, metric), values in columns.items():
        mean = statistics.bootstrap_mean(values, np.asarray(nouns), **dataclasses.asdict(bootstrap))
        rows.append({"task": task, "metric": metric, **dataclasses.asdict(mean)})
    return pd.DataFrame(rows)


def tau(values: Floats) -> Floats:
    """Kendall's tau [N] of ``values`` [N, K] with the order of the columns: 1 where each is below the one before.

    A tie counts as neither (tau-a).
    """
    pairs = itertools.combinations(values.T, 2)
    return np.stack([np.sign(first - second) for first, second in pairs], axis=1).mean(axis=1)
