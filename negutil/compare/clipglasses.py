"""Notebook 06: CLIPGlasses' Tables 1 to 3 and Figures 2 and 4, its controls, and every method on every benchmark.

A method has a label (in claims and results), a title (in tables) and a model for each seed, and says with which other
methods it is compared. ``train`` makes the models that are missing, ``evaluation`` has their values, ``run`` writes the
numbers. The claims and their tests are in configs/claims.toml.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from negutil import results, tables
from negutil.captions.english import NOUNS
from negutil.compare import clipglasses_controls as controls
from negutil.compare import engine, evaluation, layer_probe, negationclip
from negutil.compare.engine import CLIP, OVER_CLIP, Column, Experiment, Findings, Group, Number, Printed
from negutil.compare.evaluation import ALL, CCNEG, FEW, RETRIEVAL, WHOLE, ZERO_SHOT, Evaluation
from negutil.config import Profile
from negutil.models import glasses_model, loader, queries, trained
from negutil.models.loader import LoadedModel
from negutil.tasks import ccneg, pairwise, suite
from negutil.train import recipes
from negutil.train.finetune import Job, finetune_many
from negutil.train.settings import settings as named_settings

EXPERIMENT = "06_clipglasses"
PAPER = "published, ViT-B/32"
TABLE_1 = (suite.CCNEG, evaluation.MCQ)
TABLE_2 = (suite.IMAGENET, suite.CALTECH101)
LOOKING = (suite.CCNEG, ccneg.REVERSED, ccneg.BOTH)
EVERYTHING = (
    *(negationclip.ALL_ITEMS, suite.REFERRING, evaluation.MCQ, evaluation.NEGATED_RETRIEVAL, evaluation.EXCLUSION),
    *(suite.CCNEG, ccneg.REVERSED, suite.IMAGENET, suite.CALTECH101, suite.COCO),
)
FARS = (evaluation.FAR, evaluation.SIGNED)
ACCURACY, FAR = "Acc", "FAR"
"""Columns of Table 3."""

RULE = "rule"
FULL, RETRIEVED, SMALL = "glasses-ccneg", "glasses-retrieval", "glasses-ccneg-small"
RELEASED, RELEASED_RETRIEVED = "released-ccneg", "released-retrieval"
WORN = "negationclip+glasses"
SAME_CAPTIONS, AS_FEW = "fine-tuned-retrieval", "con-clip-small"
CLIP_PIXELS, RELEASED_PIXELS = f"CLIP {controls.PIXELS}", f"released-ccneg {controls.PIXELS}"
OVER_CON_CLIP, OVER_NEGATIONCLIP = "gain over CoN-CLIP", "gain over NegationCLIP"
OVER_SAME, OVER_FEW = "gain over fine-tuning on the same captions", "gain over CoN-CLIP on as few captions"
OVER_RULE, OVER_FULL, OVER_PAIRS = "gain over the rule", "gain over the full glasses", "gain over lambda of every pair"
OVER_CLASSIFIER = "gain over the classifier's mask"
TOKENS = "glasses-ccneg-tokens"
ANY_PIXELS = f"{CLIP_PIXELS}, for every seed"

ABLATIONS = {
    "without syntactic stream": "syntactic stream",
    "without semantic stream": "semantic stream",
    "without residual gate": "residual gating",
    "without cross-modal context": "cross-modal context",
    "without repulsion weight": "dynamic weight",
}
"""Rows of Table 3, and what ``glasses_settings.ABLATIONS`` calls what is left out."""

DIFFERENCES = {**recipes.DIFFERENCES, **recipes.TRAINED_OTHERWISE}
"""What the released code does otherwise, in its modules and in its training, and the recipe of each."""

RECIPES = {
    FULL: recipes.FULL,
    RETRIEVED: recipes.RETRIEVED,
    SMALL: recipes.SMALL,
    RELEASED: recipes.RELEASED,
    RELEASED_RETRIEVED: recipes.RELEASED_RETRIEVED,
    TOKENS: recipes.TOKENS,
    **{label: recipes.ABLATIONS[name] for label, name in ABLATIONS.items()},
    **DIFFERENCES,
}
"""The recipe of everything that is trained."""

CONTROLS = (controls.MASK, controls.RANDOM, controls.CONSTANT, controls.OBJECT)
VARIANTS = (*ABLATIONS, *DIFFERENCES, *CONTROLS, TOKENS)
"""Variants of the full glasses: they are evaluated on CC-Neg and multiple choice alone."""

TITLES = {
    CLIP: "CLIP",
    RULE: "rule: take the caption without a negation",
    SAME_CAPTIONS: "fine-tuned on NegBench's captions",
    AS_FEW: "CoN-CLIP, few captions",
    FULL: "CLIPGlasses, CC-Neg",
    RETRIEVED: "CLIPGlasses, NegBench's captions",
    RELEASED: "released code, CC-Neg",
    RELEASED_RETRIEVED: "released code, NegBench's captions",
    SMALL: "CLIPGlasses, few captions of CC-Neg",
    WORN: "NegationCLIP with CLIPGlasses",
    CLIP_PIXELS: "CLIP, images without mean and std",
    RELEASED_PIXELS: "released code, CC-Neg, images without mean and std",
    TOKENS: "CLIPGlasses, CC-Neg, attention over tokens",
}

_TITLES = {
    "CC-Neg-val": suite.CCNEG,
    "Neg-COCO-MCQ": evaluation.MCQ,
    "ImageNet": suite.IMAGENET,
    "Caltech101": suite.CALTECH101,
}
_ROWS = {
    "NegCLIP | trained on COCO-caption (82K/31K images/captions)": "negclip",
    "CoN-CLIP | trained on CC-Neg (188K/376K images/captions)": "con-clip",
    "CLIPGlasses | trained on CC-Neg (188K/376K images/captions)": FULL,
    "CoN-CLIP | trained on Neg-COCO-R (5K/22K images/captions)": SAME_CAPTIONS,
    "CLIPGlasses | trained on Neg-COCO-R (5K/22K images/captions)": RETRIEVED,
    "Vanilla CLIP | -": CLIP,
    "CoN-CLIP | CC-Neg": "con-clip",
    "CLIPGlasses | Neg-COCO-R": RETRIEVED,
    "CLIPGlasses | CC-Neg": FULL,
}
_TABLE_3 = {
    "w/o Syntax Stream": "without syntactic stream",
    "w/o Semantic Stream": "without semantic stream",
    "w/o Residual Gating": "without residual gate",
    "w/o Cross-modal": "without cross-modal context",
    "w/o Repulsion weight": "without repulsion weight",
    "Full Model": FULL,
}


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the tables on one CLIP.

    Attributes:
        label: what claims and results call it.
        models: the name of its model from each of ``seeds``.
        parts: of the benchmarks, as in ``evaluation``; a fine-tuned CLIP is evaluated as in notebook 05.
        change: of ``clipglasses_controls.CHANGES``, made after the training.
        over: other methods and what the difference from each is called.
    """

    label: str
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    parts: tuple[str, ...] = (WHOLE,)
    change: str = ""
    over: tuple[tuple[str, str], ...] = ((CLIP, OVER_CLIP),)

    @property
    def evaluations(self) -> list[Evaluation]:
        """Each of its models on each of its parts."""
        return [Evaluation(model, part, self.change) for model in self.models for part in self.parts]

    @property
    def compared(self) -> engine.Method:
        """The method with the columns of its values, one for each seed."""
        values = tuple(Evaluation(model, change=self.change).name for model in self.models)
        return engine.Method(self.label, values, self.seeds, self.over)


def truly_masked(label: str) -> str:
    """The label of the row beside the glasses ``label`` that has the true mask."""
    return f"{label}, {controls.TRUE_MASK}"


def title_of(label: str) -> str:
    """A method as tables call it."""
    if label.endswith(truly_masked("")):
        return truly_masked(title_of(label.removesuffix(truly_masked(""))))
    if label in TITLES:
        return TITLES[label]
    return recipes.RECIPES[label].title if label in recipes.RECIPES else label


def methods(settings: Profile, base: str) -> list[Method]:
    """Every method on ``base``; the released code's, ablations and controls on the control models alone.

    Glasses that are no variant have a row with the true mask after them.
    """
    found = _methods(settings, base)
    asked = (FEW, ZERO_SHOT, RETRIEVAL)
    beside = {
        each.label: Method(
            truly_masked(each.label),
            each.models,
            each.seeds,
            asked,
            controls.TRUE_MASK,
            ((CLIP, OVER_CLIP), (each.label, OVER_CLASSIFIER)),
        )
        for each in found
        if each.parts == (ALL,)
    }
    return [row for each in found for row in (each, beside.get(each.label)) if row is not None]


def _methods(settings: Profile, base: str) -> list[Method]:
    seeds, controlled = settings.glasses.seeds, base in settings.glasses.control_models
    full, retrieved, released = (glasses_names(settings, base, label) for label in (FULL, RETRIEVED, RELEASED))

    def glasses(label: str, *over: tuple[str, str]) -> Method:
        names = glasses_names(settings, base, label)
        return Method(label, names, seeds, (ALL,), over=((CLIP, OVER_CLIP), *over))

    def tuned(label: str) -> Method:
        return Method(label, tuple(recipes.model_name(base, label, seed) for seed in seeds), seeds)

    found = [tuned(label) for label in [*_rivals(settings, base), *([SAME_CAPTIONS] if controlled else [])]]
    found.append(glasses(FULL, ("con-clip", OVER_CON_CLIP), (RULE, OVER_RULE)))
    found.append(glasses(RETRIEVED, (SAME_CAPTIONS, OVER_SAME), (RULE, OVER_RULE)))
    if not controlled:
        return found
    found += [glasses(RELEASED), glasses(RELEASED_RETRIEVED), tuned(AS_FEW), glasses(SMALL, (AS_FEW, OVER_FEW))]
    towers = [(recipes.model_name(base, "negationclip", seed), seed) for seed in seeds]
    worn = tuple(recipes.model_name(tower, RECIPES[FULL], seed) for tower, seed in towers)
    over_tower = ((CLIP, OVER_CLIP), ("negationclip", OVER_NEGATIONCLIP))
    found.append(Method(WORN, worn, seeds, (ALL,), over=over_tower))
    over_full = (FULL, OVER_FULL)
    for label in ABLATIONS:  # Table 3
        others = tuple((other, f"accuracy minus {other}") for other in ABLATIONS if other != label)
        found.append(Method(label, glasses_names(settings, base, label), seeds, (FEW,), over=(over_full, *others)))
    if queries.has_end_token(base):
        tokens = glasses_names(settings, base, TOKENS)
        found.append(Method(TOKENS, tokens, seeds, (FEW, RETRIEVAL), over=((CLIP, OVER_CLIP), over_full)))
    for label in DIFFERENCES:  # each from the first seed
        first = glasses_names(settings, base, label)[:1]
        found.append(Method(label, first, seeds[:1], (FEW,), over=(over_full,)))
    for label in CONTROLS:
        found.append(Method(label, full, seeds, (CCNEG if label == controls.OBJECT else FEW,), label, (over_full,)))
    found.append(Method(controls.GOLD, retrieved, seeds, (RETRIEVAL,), controls.GOLD, ((RETRIEVED, OVER_PAIRS),)))
    found.append(Method(CLIP_PIXELS, (base,), seeds[:1], (FEW, ZERO_SHOT), controls.PIXELS))
    over = ((ANY_PIXELS, OVER_CLIP), (RELEASED, "gain over the usual images"))
    return [*found, Method(RELEASED_PIXELS, released, seeds, (FEW, ZERO_SHOT), controls.PIXELS, over)]


def glasses_names(settings: Profile, base: str, label: str) -> tuple[str, ...]:
    """The names of the glasses called ``label`` (of RECIPES) on ``base``, one for each seed."""
    return tuple(recipes.model_name(base, RECIPES[label], seed) for seed in settings.glasses.seeds)


def _rivals(settings: Profile, base: str) -> list[str]:
    """The rivals that notebook 05 trains on ``base``, so that none is trained for this comparison alone."""
    known = recipes.rows(settings, base)
    return [name for name in settings.glasses.rivals if name in known]


def train(settings: Profile) -> None:
    """Train every rival and every pair of glasses of the profile that is not finished.

    Raises NegutilError as ``finetune_many`` does; what is finished is kept when it is stopped.
    """
    plan = settings.glasses
    jobs: list[Job] = []
    for base in settings.models:
        jobs += recipes.jobs(settings, base, _rivals(settings, base), plan.seeds)
        if base in plan.control_models:
            model = loader.load(base)
            same = [(label, seed) for label in (SAME_CAPTIONS, AS_FEW) for seed in plan.seeds]
            jobs += [_same_job(settings, model, label, seed) for label, seed in same]
    finetune_many(jobs, plan.processes)
    # The last base first: what it learns from was read for its rivals just now.
    names: list[str] = []
    for base in reversed(settings.models):
        glasses = [method for method in methods(settings, base) if method.parts != (WHOLE,)]
        own = dict.fromkeys(name for method in glasses for name in method.models if name != base)
        names += sorted(own, key=glasses_model.base_of)  # those that one model wears together
    recipes.train_glasses(settings, names)


def _same_job(settings: Profile, model: LoadedModel, label: str, seed: int) -> Job:
    """Fine-tuning on what glasses learn from: as many steps, the best epoch by validation loss."""
    name, method = {SAME_CAPTIONS: (RETRIEVED, "infonce"), AS_FEW: (SMALL, "con-clip")}[label]
    chosen = recipes.glasses_items(settings, model, RECIPES[name], seed).examples()
    options: dict[str, Any] = {"seed": seed, **recipes.where()}
    config = named_settings(method, settings.finetuning.source, **options)
    wanted = recipes.examples_wanted(settings, config.batch) or len(chosen)
    config = dataclasses.replace(config, epochs=recipes.epochs(config.epochs, wanted, len(chosen)))
    out = trained.folder(recipes.model_name(model.name, label, seed), settings.name)
    return Job(model.name, chosen, config, out, replace=True)


@cache
def published() -> Printed:
    """Tables 1 to 3, of CLIP ViT-B/32.

    Table 1 mixes evaluations: NegCLIP's multiple choice is from before NegBench's correction of March 2025 (28.7 %
    after it), the rows of CLIPGlasses are of images without CLIP's mean and standard deviation, and a log gives
    40.0 % and 89.4 % for the weights of a later model (docs/protocols.md#glasses-evaluation).
    """
    title = {ACCURACY: suite.CCNEG, FAR: FARS[0]}
    found = {(title[column], variant): number for (variant, column), number in ablations().items()}
    for number in (1, 2):
        found |= engine.published(f"clipglasses_table{number}.csv", "CLIPGlasses", _TITLES, _ROWS)
    return found


@cache
def ablations() -> dict[tuple[str, str], Number]:
    """(variant, ACCURACY or FAR) of Table 3: (accuracy as a fraction or FAR in logits, where it is printed)."""
    found: dict[tuple[str, str], Number] = {}
    for row in results.published_rows("clipglasses_table3.csv"):
        if row["column"] in (ACCURACY, FAR):
            value = row["value"] if row["column"] == FAR else round(row["value"] / 100, 4)
            found[_TABLE_3[row["row"]], row["column"]] = (value, engine.source("CLIPGlasses", row))
    return found


def published_changes() -> pd.DataFrame:
    """Table 3 as differences from the full model: title, method, value (a fraction)."""
    known = {name: number[0] for (name, column), number in ablations().items() if column == ACCURACY}
    rows = [(suite.CCNEG, name, value - known[FULL]) for name, value in known.items() if name != FULL]
    return pd.DataFrame(rows, columns=["title", "method", "value"])


def logs() -> pd.DataFrame:
    """What the authors' development repository logs of other weights and settings: row, column, metric, value, unit."""
    return pd.DataFrame(results.published_rows("clipglasses_logs.csv"))[["row", "column", "metric", "value", "unit"]]


def experiment() -> Experiment:
    """The experiment of this module."""
    return Experiment(EXPERIMENT, title_of, {PAPER: published()})


def run(settings: Profile, seed: int = 0) -> Findings:
    """Evaluate every model; writes ``levels``, ``seeds``, ``gains``, ``ablations`` and all items.

    ``seed`` moves the resamples. Raises NegutilError if a model is missing.
    """
    compared = {base: methods(settings, base) for base in settings.models}
    evaluations = [each for own in compared.values() for method in own for each in method.evaluations]
    evaluations = sorted(evaluations, key=lambda each: each.part != WHOLE)  # fine-tuned CLIPs first
    evaluations += [Evaluation(base, part) for base in settings.models for part in (WHOLE, CCNEG)]
    items = evaluation.items(settings, evaluations, controls.load)
    # The rule that takes the caption without a negation, on CC-Neg's three tasks.
    frames = suite.rules(suite.prepare(settings, (suite.CCNEG,)))[pairwise.ALWAYS_AFFIRMATIVE]
    right = suite.table(frames, RULE).set_index(evaluation.KEYS)["right"].astype(float)
    items[RULE] = right.reindex(pd.MultiIndex.from_frame(items[evaluation.KEYS])).to_numpy()
    wanted = [column for base, own in compared.items() for column in columns(base, own)]
    ways: dict[str, Any] = {"seeds_first": True, "over_seeds": settings.over_seeds}
    table = engine.table(items, wanted, groups(items), settings.bootstrap.moved(seed), **ways)
    found = Findings(experiment(), table, items)
    variant, of_seed = table["method"].isin(VARIANTS).to_numpy(), table["seed"].notna().to_numpy()
    found.save(settings, {"ablations": variant & ~of_seed, "ablation_seeds": variant & of_seed}, seed=seed)
    engine.save_items(items, settings, EXPERIMENT)
    return found


def columns(base: str, compared: Sequence[Method]) -> list[Column]:
    """The numbers of one architecture: CLIP, the rule, every seed, means over seeds, and differences."""
    shown = [engine.Method(CLIP, (base,)), engine.Method(RULE, (RULE,)), *(method.compared for method in compared)]
    pixels = [engine.Method(ANY_PIXELS, method.values) for method in shown if method.label == CLIP_PIXELS]
    return engine.columns(base, shown, hidden=pixels)


def groups(items: pd.DataFrame) -> list[Group]:
    """Those of notebook 05 without what is about the text tower alone, and the two kinds of FAR."""
    of_text = (evaluation.TEXT, evaluation.TEXT_COSINE)
    kept = [group for group in negationclip.groups(items) if not group.title.startswith(of_text)]
    return kept + [Group(task, "logits", (items["task"] == task).to_numpy()) for task in FARS]


AT_HUNDRED = 100.0
"""OpenAI's exp(logit_scale), to which the paper's and the code's margins belong."""


def margins(found: Findings, settings: Profile) -> pd.DataFrame:
    """Table 3 where accuracy is at its ceiling: the margin between true and false caption, for the control models.

    A row for the full glasses and each variant of ABLATIONS, for the paper's margin (FAR, absolute) and the code's
    (signed), in logits of this CLIP and at OpenAI's scale of 100: base, method, title, scale ("own" or "100"), value,
    low, high, and the paired difference from the full glasses: change, change_low, change_high.
    """
    bounds = {"value": "change", "low": "change_low", "high": "change_high"}
    keys = ["base", "method", "title"]
    levels, changes = (found.means(kind)[[*keys, *bounds]] for kind in (engine.LEVEL, OVER_FULL))
    rows = levels.merge(changes.rename(columns=bounds), on=keys, how="left")
    rows = rows[rows["title"].isin(FARS) & rows["method"].isin((FULL, *ABLATIONS))]
    rows = rows[rows["base"].isin(settings.glasses.control_models)]
    numbers = [*bounds, *bounds.values()]
    scales = {base: loader.load(base).model.logit_scale.exp().item() for base in rows["base"].unique()}
    factor = AT_HUNDRED / rows["base"].map(scales).astype(float)
    both = [rows.assign(scale="own"), rows.assign(scale="100", **{name: rows[name] * factor for name in numbers})]
    return pd.concat(both, ignore_index=True)[[*keys, "scale", *numbers]]


def layers(settings: Profile, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The layers of every CLIP under the probe: numbers (with ``base``), and rows per pair; writes ``layers``."""
    pairs = _pairs(settings, seed)
    items = {base: layer_probe.evaluate(loader.load(base), pairs, seed) for base in settings.models}
    numbers = [layer_probe.summary(rows, settings.bootstrap).assign(base=base) for base, rows in items.items()]
    table = pd.concat(numbers, ignore_index=True)
    engine.save_numbers(table.rename(columns={"base": "model"}), settings, EXPERIMENT, "layers", seed=seed)
    return table, pd.concat([rows.assign(base=base) for base, rows in items.items()], ignore_index=True)


def tsne(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """t-SNE of some pairs of sentences in the first layer and the output of the last CLIP of the profile."""
    return layer_probe.tsne(loader.load(settings.models[-1]), _pairs(settings, seed), seed=seed)


def _pairs(settings: Profile, seed: int) -> layer_probe.Pairs:
    return layer_probe.pairs(NOUNS[: settings.glasses.probe_nouns or None], seed)


def as_records(table: pd.DataFrame) -> pd.DataFrame:
    """A table of layers or strengths with the columns of records: model, task, metric, value, ci_low, ci_high."""
    return table.rename(columns={"base": "model", **tables.BOUNDS})[
        ["model", "task", "metric", "value", "ci_low", "ci_high"]
    ]
