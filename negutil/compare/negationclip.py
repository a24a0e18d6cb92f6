"""Notebook 05: text towers fine-tuned on negation, NegationCLIP's Tables 2 and 3, and controls that it lacks.

``train`` makes the models of ``train.recipes_negation``, ``run`` asks them everything of ``negationclip_items`` and
writes the numbers of ``negationclip_numbers``. The rest are tables for the notebook. The claims and their tests are in
configs/claims.toml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from negutil import results
from negutil.compare import method_tables
from negutil.compare import negationclip_items as asked
from negutil.compare import negationclip_numbers as numbers
from negutil.compare import negationclip_published as paper
from negutil.compare.negationclip_numbers import LEVEL, Column
from negutil.config import Bootstrap, Profile
from negutil.data import skipped
from negutil.models import trained
from negutil.models.trained import MARK, Trained
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import suite
from negutil.train import recipes_negation as recipes
from negutil.train.finetune import finetune_many

EXPERIMENT = "05_negationclip"
CLIP, PAPER = "CLIP", f"published, {paper.ARCHITECTURE}"
OVER_CLIP, OVER_PLAIN = "gain over CLIP", "gain over plain captions"
TABLE_2 = (numbers.ALL_ITEMS, suite.REFERRING, suite.IMAGENET, suite.CALTECH101, suite.COCO, suite.CCNEG)
TABLE_3 = (numbers.ALL_ITEMS, suite.REFERRING)
NEGBENCH = (asked.MCQ, asked.NEGATED_RETRIEVAL, asked.EXCLUSION)
METHODS = (recipes.PLAIN, "con-clip", "negclip", "clip-bnl", recipes.NEGCAP, recipes.NEGFULL, recipes.NEGATIONCLIP)
CAPTIONS = (recipes.RANDOM, recipes.P1, recipes.P2, recipes.NEGATIONCLIP)
_MORE_DIFFERENCES = (
    (recipes.P1, recipes.RANDOM, "gain over Rand-P1"),
    (recipes.NEGATIONCLIP, recipes.P1, "gain over P1"),
    (recipes.NEGATIONCLIP, recipes.P2, "gain over P2"),
    (recipes.NEGFULL, recipes.NEGCAP, "gain over NegCap"),
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves for the notebook.

    Attributes:
        table: every number: base, method ("" for CLIP), seed (missing for means over seeds), title, metric, kind ("" or
            such as "gain over CLIP"), value, low, high, n, over.
        items: one row per item of every benchmark, with a column of values for each model.
    """

    table: pd.DataFrame
    items: pd.DataFrame


# --------------------------------------------------------------------------------------------------------------------
# The run


def train(settings: Profile) -> list[Trained]:
    """Fine-tune every model of the profile that is not finished; raises NegutilError as ``finetune_many`` does."""
    plan = settings.finetuning
    jobs = [job for base in settings.models for job in recipes.jobs(settings, base, _trained_on(settings, base))]
    return finetune_many(jobs, plan.processes)


def _trained_on(settings: Profile, base: str) -> tuple[str, ...]:
    """The recipes of ``base``, rows of the tables first."""
    plan = settings.finetuning
    controls = plan.controls if base in plan.control_models else ()
    return (*recipes.rows(settings, base), *recipes.possible(settings, controls))


def run(settings: Profile, seed: int = 0) -> Findings:
    """Ask every model that ``train`` made; writes the tables ``levels``, ``seeds`` and ``gains``, and all items.

    ``seed`` moves the resamples. Raises NegutilError where a model is missing.
    """
    columns = [column for base in settings.models for column in _columns(settings, base)]
    names = list(dict.fromkeys(name for column in columns for name in (*column.plus, *column.minus)))
    items = asked.values(settings, names)
    bootstrap = Bootstrap(settings.bootstrap.resamples, settings.bootstrap.seed + seed)
    table = _named(numbers.table(items, columns, bootstrap))
    _save(table, items, settings, seed)
    skipped.save(settings, EXPERIMENT)
    return Findings(table, items)


def _columns(settings: Profile, base: str) -> list[Column]:
    seeds_of = models_of(settings, base)
    over = [(name, recipes.PLAIN, OVER_PLAIN) for name in seeds_of if name != recipes.PLAIN and asked.AT not in name]
    over += [*_MORE_DIFFERENCES]
    rivals = ((name, recipes.find(name).rival) for name in settings.finetuning.controls)
    rivals = ((name, rival) for name, rival in rivals if rival != recipes.PLAIN)  # that difference is there already
    over += [(name, rival, f"gain over {recipes.find(rival).title}") for name, rival in rivals]
    return numbers.columns(base, seeds_of, over)


def models_of(settings: Profile, base: str) -> dict[str, list[str]]:
    """The models of every method on ``base``, one for each seed, and WiSE-FT's of the first seed where controls are."""
    plan = settings.finetuning
    names = _trained_on(settings, base)
    found = {name: [recipes.model_name(base, name, seed) for seed in recipes.seeds(settings, name)] for name in names}
    if base in plan.control_models and recipes.NEGATIONCLIP in found:
        tuned = found[recipes.NEGATIONCLIP][0]
        found |= {f"{recipes.NEGATIONCLIP}{asked.AT}{share:g}": [_between(base, tuned, share)] for share in plan.shares}
    return found


def _between(base: str, tuned: str, share: float) -> str:
    return {0.0: base, 1.0: tuned}.get(share, f"{tuned}{asked.AT}{share:g}")


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the models' names taken apart into base, method and seed."""
    parts = table["model"].str.partition(MARK)
    method = parts[2].str.partition("/seed")
    found = table.assign(base=parts[0], method=method[0], seed=pd.to_numeric(method[2]).astype("Int64"))
    return found[["base", "method", "seed", "title", "metric", "kind", "value", "low", "high", "n", "over"]]


def _save(table: pd.DataFrame, items: pd.DataFrame, settings: Profile, seed: int) -> None:
    is_level, of_seed = table["kind"] == LEVEL, table["seed"].notna()
    parts = {"levels": is_level & ~of_seed, "seeds": of_seed, "gains": ~is_level}
    for name, rows in parts.items():
        records = [_record(row) for row in table[rows].to_dict("records")]
        if records:
            results.save(records, settings.name, EXPERIMENT, name, seed=seed)
    names = dict.fromkeys(asked.COLUMNS[:4], "category")
    results.save_items(items.astype(names | {"cue": "category"}), settings.name, EXPERIMENT, "items")


def _record(row: Mapping[Any, Any]) -> Record:
    of_seed = not pd.isna(row["seed"])
    known = None if row["kind"] or of_seed else _published(row["title"], row["method"])
    return Record.of(
        Interval(*(row[name] for name in ("value", "low", "high", "n", "over"))),
        experiment=EXPERIMENT,
        task=f"{row['title']}/{row['method'] or CLIP}",
        model=row["base"],
        metric=row["kind"] or row["metric"],
        seed=int(row["seed"]) if of_seed else None,
        paper_value=known[0] if known else None,
        paper_source=known[1] if known else "",
    )


# --------------------------------------------------------------------------------------------------------------------
# For the notebook


def learned_from(settings: Profile, models: Sequence[Trained]) -> pd.DataFrame:
    """What each method of the tables is trained on: model, training set, loss, epochs, steps, kept epoch, seconds."""
    rows = []
    for found in models:
        recipe = found.name.partition(MARK)[2].partition("/")[0]
        if found.base == settings.models[-1] and found.name.endswith(f"seed{settings.finetuning.seeds[0]}"):
            curve = curve_of(found)
            config = found.identity["config"]
            rows.append(
                {
                    "model": recipe,
                    "training set": recipes.find(recipe).set,
                    "loss": config["method"],
                    "epochs": config["epochs"],
                    "steps": int(curve["step"].max()),
                    "kept epoch": found.about["epoch"],
                    "validation loss": found.about["validation_loss"],
                }
            )
    return pd.DataFrame(rows)


def curve_of(found: Trained) -> pd.DataFrame:
    """The learning curve of a model: step, epoch, loss, lr, logit_scale, validation_loss."""
    return pd.read_csv(found.folder / trained.CURVE)


def title_of(method: str) -> str:
    """A method as tables call it."""
    name, at, share = method.partition(asked.AT)
    return CLIP if not method else f"{recipes.find(name).title}{f' ({share})' if at else ''}"


def levels(
    table: pd.DataFrame, titles: Sequence[str], methods: Sequence[str], published: bool = True, digits: int = 3
) -> pd.DataFrame:
    """Means over seeds with intervals: a row per architecture and method (CLIP first), a column per benchmark.

    The last rows are the published numbers, where there are any.
    """
    rows = table[(table["kind"] == LEVEL) & table["seed"].isna()]
    shown = _wide(rows, titles, ("", *methods), digits)
    if not published:
        return shown
    printed = method_tables.published(titles, ("", *methods), _published, title_of, architecture=PAPER, digits=digits)
    return pd.concat([shown, printed]).fillna("")


def gains(table: pd.DataFrame, titles: Sequence[str], methods: Sequence[str], kind: str = OVER_CLIP) -> pd.DataFrame:
    """Differences of means over seeds with paired intervals, in the shape of ``levels``."""
    return _wide(table[table["kind"] == kind], titles, methods)


def seeds(table: pd.DataFrame, titles: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    """Every seed's number: a row per architecture and method, a column per benchmark with the seeds side by side."""
    return method_tables.seeds(table[table["seed"].notna()], titles, methods, title_of)


def differences(table: pd.DataFrame, titles: Sequence[str], kinds: Sequence[str]) -> pd.DataFrame:
    """Paired differences of the given kinds: a row per architecture, method and kind, a column per benchmark."""
    parts = []
    for kind in kinds:
        rows = table[table["kind"] == kind]
        if rows.empty:  # a control that this profile does not train
            continue
        parts.append(_wide(rows, titles, list(dict.fromkeys(rows["method"]))).assign(difference=kind))
    first = ["architecture", "model", "difference"]
    if not parts:
        return pd.DataFrame(columns=[*first, *titles])
    found = pd.concat(parts, ignore_index=True)
    return found[[*first, *found.columns.drop(first)]]


def _wide(rows: pd.DataFrame, titles: Sequence[str], methods: Sequence[str], digits: int = 3) -> pd.DataFrame:
    return method_tables.wide(rows, titles, methods, title_of, digits)


def _published(title: str, method: str) -> paper.Number | None:
    return paper.published().get((title, method))
