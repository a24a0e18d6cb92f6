"""Notebook 06: CLIPGlasses' Tables 1 to 3 and Figures 2 and 4, its controls, and every method on every benchmark.

``clipglasses_methods`` says which models there are, ``clipglasses_items`` has their answers, ``run`` writes the
numbers. The claims and their tests are in configs/claims.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from negutil import results
from negutil.captions.english import NOUNS
from negutil.compare import clipglasses_controls as controls
from negutil.compare import clipglasses_items, engine, layer_probe, negationclip
from negutil.compare import clipglasses_methods as methods
from negutil.compare import negationclip_items as benchmarks
from negutil.compare.clipglasses_methods import CLIP, FULL, RULE, Method, title_of
from negutil.compare.engine import Column, Experiment, Findings, Group, Number, Printed
from negutil.config import Bootstrap, Profile
from negutil.models import loader
from negutil.tasks import ccneg, pairwise, suite

EXPERIMENT = "06_clipglasses"
PAPER = "published, ViT-B/32"
TABLE_1 = (suite.CCNEG, benchmarks.MCQ)
TABLE_2 = (suite.IMAGENET, suite.CALTECH101)
LOOKING = (suite.CCNEG, ccneg.REVERSED, ccneg.BOTH)
EVERYTHING = (
    *(negationclip.ALL_ITEMS, suite.REFERRING, benchmarks.MCQ, benchmarks.NEGATED_RETRIEVAL, benchmarks.EXCLUSION),
    *(suite.CCNEG, ccneg.REVERSED, suite.IMAGENET, suite.CALTECH101, suite.COCO),
)
FARS = (clipglasses_items.FAR, clipglasses_items.SIGNED)
ACCURACY, FAR = "Acc", "FAR"
"""Columns of Table 3."""

_TITLES = {
    "CC-Neg-val": suite.CCNEG,
    "Neg-COCO-MCQ": benchmarks.MCQ,
    "ImageNet": suite.IMAGENET,
    "Caltech101": suite.CALTECH101,
}
_ROWS = {
    "NegCLIP | trained on COCO-caption (82K/31K images/captions)": "negclip",
    "CoN-CLIP | trained on CC-Neg (188K/376K images/captions)": "con-clip",
    "CLIPGlasses | trained on CC-Neg (188K/376K images/captions)": FULL,
    "CoN-CLIP | trained on Neg-COCO-R (5K/22K images/captions)": methods.SAME_CAPTIONS,
    "CLIPGlasses | trained on Neg-COCO-R (5K/22K images/captions)": methods.RETRIEVED,
    "Vanilla CLIP | -": CLIP,
    "CoN-CLIP | CC-Neg": "con-clip",
    "CLIPGlasses | Neg-COCO-R": methods.RETRIEVED,
    "CLIPGlasses | CC-Neg": FULL,
}
_ABLATIONS = {
    "w/o Syntax Stream": "without syntactic stream",
    "w/o Semantic Stream": "without semantic stream",
    "w/o Residual Gating": "without residual gate",
    "w/o Cross-modal": "without cross-modal context",
    "w/o Repulsion weight": "without repulsion weight",
    "Full Model": FULL,
}


# --------------------------------------------------------------------------------------------------------------------
# Published numbers


@cache
def published() -> Printed:
    """Tables 1 to 3, of CLIP ViT-B/32.

    Table 1 mixes evaluations: NegCLIP's multiple choice is from before NegBench's correction of March 2025 (28.7 %
    after it), the rows of CLIPGlasses are of pictures without CLIP's mean and standard deviation, and a log gives
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
            found[_ABLATIONS[row["row"]], row["column"]] = (value, engine.source("CLIPGlasses", row))
    return found


def published_changes() -> pd.DataFrame:
    """Table 3 as differences from the full model: title, method, value (a fraction)."""
    known = {name: number[0] for (name, column), number in ablations().items() if column == ACCURACY}
    rows = [(suite.CCNEG, name, value - known[FULL]) for name, value in known.items() if name != FULL]
    return pd.DataFrame(rows, columns=["title", "method", "value"])


def logs() -> pd.DataFrame:
    """What the authors' development repository logs of other weights and settings: row, column, metric, value, unit."""
    return pd.DataFrame(results.published_rows("clipglasses_logs.csv"))[["row", "column", "metric", "value", "unit"]]


# --------------------------------------------------------------------------------------------------------------------
# The run


def experiment() -> Experiment:
    """The experiment of this module."""
    return Experiment(EXPERIMENT, title_of, {PAPER: published()})


def run(settings: Profile, seed: int = 0) -> Findings:
    """Take the answers of every model; writes ``levels``, ``seeds``, ``gains``, ``ablations`` and all items.

    ``seed`` moves the resamples. Raises NegutilError where a model is missing.
    """
    found = {base: methods.of(settings, base) for base in settings.models}
    names = [name for base, own in found.items() for name in (base, *(name for one in own for name in one.names))]
    askings = [asking for own in found.values() for method in own for asking in method.askings]
    askings += [controls.Asking(base, clipglasses_items.CCNEG) for base in settings.models]
    items = _with_rule(clipglasses_items.values(settings, names, askings), settings)
    wanted = [column for base, own in found.items() for column in columns(base, own)]
    bootstrap = Bootstrap(settings.bootstrap.resamples, settings.bootstrap.seed + seed)
    table = engine.table(items, wanted, groups(items), bootstrap, seeds_first=True)
    findings = Findings(experiment(), table, items)
    variant = table["method"].isin(methods.VARIANTS).to_numpy()
    of_seed = table["seed"].notna().to_numpy()
    findings.save(settings, {"ablations": variant & ~of_seed, "ablation_seeds": variant & of_seed}, seed=seed)
    engine.save_items(items, settings, EXPERIMENT)
    return findings


def _with_rule(items: pd.DataFrame, settings: Profile) -> pd.DataFrame:
    """The items with the answers of the rule that takes the caption without a negation, on CC-Neg's three tasks."""
    frames = suite.rules(suite.prepare(settings, (suite.CCNEG,)))[pairwise.ALWAYS_AFFIRMATIVE]
    right = {
        (task, str(item)): float(answer)
        for task, rows in frames.items()
        for item, answer in zip(rows["item"], rows["right"], strict=True)
    }
    keys = zip(items["task"], items["item"], strict=True)
    return items.assign(**{RULE: [right.get(key, np.nan) for key in keys]})


def columns(base: str, found: Sequence[Method]) -> list[Column]:
    """The numbers of one architecture: CLIP, the rule, every seed, means over seeds, and differences."""
    shown = [engine.Method(CLIP, (base,)), engine.Method(RULE, (RULE,)), *(method.compared for method in found)]
    pixels = [engine.Method(methods.ANY_PIXELS, one.values) for one in shown if one.label == methods.CLIP_PIXELS]
    return engine.columns(base, shown, hidden=pixels)


def groups(items: pd.DataFrame) -> list[Group]:
    """Those of notebook 05 without what is about the text tower alone, and the two kinds of FAR."""
    of_text = (benchmarks.TEXT, benchmarks.TEXT_COSINE)
    kept = [group for group in negationclip.groups(items) if not group.title.startswith(of_text)]
    return kept + [Group(task, "logits", (items["task"] == task).to_numpy()) for task in FARS]


# --------------------------------------------------------------------------------------------------------------------
# Figure 2


def layers(settings: Profile, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The layers of every CLIP under the probe: numbers (with ``base``), and rows per pair; writes ``layers``."""
    pairs = _pairs(settings, seed)
    items = {base: layer_probe.evaluate(loader.load(base), pairs, seed) for base in settings.models}
    found = {base: layer_probe.summary(own, settings.bootstrap) for base, own in items.items()}
    table = pd.concat([own.assign(base=base) for base, own in found.items()], ignore_index=True)
    experiment().save_numbers(table, settings, "layers", seed=seed)
    return table, pd.concat([own.assign(base=base) for base, own in items.items()], ignore_index=True)


def by_cue(pairs: pd.DataFrame, base: str) -> pd.DataFrame:
    """Accuracy of the probe on one CLIP for each way to negate that was held out, a column per layer."""
    return layer_probe.by_cue(pairs[pairs["base"] == base])


def tsne(settings: Profile, seed: int = 0) -> pd.DataFrame:
    """t-SNE of some pairs of sentences in the first layer and the output of the last CLIP of the profile."""
    return layer_probe.tsne(loader.load(settings.models[-1]), _pairs(settings, seed), seed=seed)


def _pairs(settings: Profile, seed: int) -> layer_probe.Pairs:
    """The sentences in which layers are probed."""
    return layer_probe.pairs(NOUNS[: settings.glasses.probe_nouns or None], seed)


def as_records(table: pd.DataFrame) -> pd.DataFrame:
    """A table of layers or strengths with the columns of records: model, task, metric, value, ci_low, ci_high."""
    named = {"base": "model", "low": "ci_low", "high": "ci_high"}
    return table.rename(columns=named)[["model", "task", "metric", "value", "ci_low", "ci_high"]]
