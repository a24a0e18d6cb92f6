"""Notebook 07: text encoders fine-tuned on negation in a text-to-image pipeline, NegationCLIP's Table 4, and controls.

``train`` makes the encoders, ``run`` draws and judges all pictures and writes the numbers: Neg Score (``neg_score``),
TIFA (``tifa``), the judge's errors (``picture_judge``) and what the pipeline can do at all (``t2i_floor``). The claims
and their tests are in configs/claims.toml.

Every way to draw a picture has the same noise for the same prompt and seed, and differences are between such pairs.
Encoders from several seeds share the pictures of a prompt evenly among them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil import results, statistics
from negutil.captions import t2i_prompts
from negutil.compare import negationclip_numbers as numbers
from negutil.compare import t2i_floor
from negutil.compare import text_to_image_published as paper
from negutil.config import Bootstrap, Profile
from negutil.data import source
from negutil.data import tifa as tifa_files
from negutil.models.trained import Trained
from negutil.results import Record
from negutil.statistics import Interval
from negutil.tasks import degradation, drawing, neg_score, picture_judge, tifa
from negutil.tasks.drawing import Order
from negutil.tasks.picture_judge import Judge, Pictures, Rates
from negutil.train import recipes_negation as recipes
from negutil.train.finetune import finetune_many

EXPERIMENT = "07_text_to_image"
DESCRIBED = "pictures.npy"
"""The pictures that TIFA's captions of the mini world describe."""

CLIP, DELETED, NEGATIVE = "CLIP", "deleted", "negative-prompt"
REAL = "the real pictures"
CONTROLS = (DELETED, NEGATIVE)
"""Ways without another encoder: the negated thing left out of the prompt; and named in the negative prompt besides."""

ENCODED = "autoencoded"
"""The condition of pictures that went through the pipeline's autoencoder."""

OVER_CLIP = "gain over CLIP"
LEVEL = ""
PICTURES_OF_A_PROMPT = 1000
"""Seeds of noise that are set apart for each prompt."""

TIFA_NOISE, FLOOR_NOISE = 1_000_000, 2_000_000
"""Where the noise of the other prompts begins."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves for the notebook.

    Attributes:
        table: every number: method, title, kind (LEVEL or "gain over ..."), seed, value, low, high, n, over.
        items: a row per judged picture of a negated prompt, with its method and the seed of its encoder.
        pictures: uint8 [N, H, W, 3], a picture for each row of ``items``.
        judge: what the judge gets wrong on pictures whose truth is known (``picture_judge.summary``).
        exam: the single answers behind it (``picture_judge.exam``).
        floor: how often affirmative prompts are fulfilled: kind, metric, value, low, high, n, over.
        floor_items, floor_pictures: every affirmative prompt with 1 or 0, and its picture.
    """

    table: pd.DataFrame
    items: pd.DataFrame
    pictures: Pictures
    judge: pd.DataFrame
    exam: pd.DataFrame
    floor: pd.DataFrame
    floor_items: pd.DataFrame
    floor_pictures: Pictures


# --------------------------------------------------------------------------------------------------------------------
# The run


def train(settings: Profile) -> list[Trained]:
    """Fine-tune the text encoders that are not finished; raises NegutilError as ``finetune_many`` does."""
    plan = settings.generation
    chosen = [job for job in recipes.jobs(settings, plan.base, plan.methods) if job.config.seed in plan.seeds]
    return finetune_many(chosen, plan.processes)


def run(settings: Profile, seed: int = 0) -> Findings:
    """Draw and judge every picture; writes the tables levels, gains, seeds, kinds, floor, judge, and all items.

    ``seed`` moves the resamples. Raises NegutilError where an encoder, the pipeline or the judge is missing.
    """
    bootstrap = Bootstrap(settings.bootstrap.resamples, settings.bootstrap.seed + seed)
    look = picture_judge.load(settings)
    exam = _exam(settings, look)
    rates = picture_judge.rates(exam[exam["condition"] == degradation.MIXED]) if len(exam) else None
    items, pictures = negated(settings, look, rates)
    told = faithful(settings, look)
    table = _numbers(items, told, settings, bootstrap)
    affirmed, drawn = affirmative(settings, look, rates)
    floor = _floor(affirmed, bootstrap)
    summary = picture_judge.summary(exam, bootstrap) if len(exam) else pd.DataFrame()
    _save(settings, table, floor, summary, seed)
    results.save_items(items, settings.name, EXPERIMENT, "items")
    results.save_items(told, settings.name, EXPERIMENT, "tifa_items")
    return Findings(table, items, pictures, summary, exam, floor, affirmed, drawn)


def _exam(settings: Profile, look: Judge) -> pd.DataFrame:
    """The judge's answers on held-out pictures in every condition; none where the truth is not known."""
    if not settings.generation.judge_pictures:
        return pd.DataFrame()
    known = picture_judge.held_out(settings.generation.judge_pictures)
    parts = [picture_judge.exam(look, known, name) for name in degradation.CONDITIONS]
    parts.append(picture_judge.exam(look, known, ENCODED, pictures=drawing.reconstructed(settings, known.pictures)))
    return pd.concat(parts, ignore_index=True)


# --------------------------------------------------------------------------------------------------------------------
# Negated prompts


def methods(settings: Profile) -> tuple[str, ...]:
    """All ways to draw a negated prompt: CLIP's own encoder, the fine-tuned ones, and the controls."""
    return (CLIP, *settings.generation.methods, *CONTROLS)


def encoder(settings: Profile, method: str, encoder_seed: int) -> str:
    """The model whose text tower draws by ``method``; "" for the pipeline's own."""
    plan = settings.generation
    return recipes.model_name(plan.base, method, encoder_seed) if method in plan.methods else ""


def negated(settings: Profile, look: Judge, rates: Mapping[str, Rates] | None) -> tuple[pd.DataFrame, Pictures]:
    """Every negated prompt drawn in every way and judged: a row per picture, and the pictures."""
    prompts = _prompts(settings)
    jobs = list(_negated_jobs(settings, prompts))
    drawn = drawing.pictures(settings, [order for *_, order in jobs])
    parts = []
    for (method, encoder_seed, rows, order), made in zip(jobs, drawn, strict=True):
        found = neg_score.judge(look, prompts, made, rows, [seed % PICTURES_OF_A_PROMPT for seed in order.seeds])
        parts.append(found.assign(method=method, encoder_seed=encoder_seed))
    items = pd.concat(parts, ignore_index=True)
    return neg_score.with_corrections(items, rates) if rates else items, np.concatenate(drawn)


def _prompts(settings: Profile) -> Dataset:
    """The profile's prompts; where it wants fewer, as many of each kind as there are in proportion."""
    found = t2i_prompts.load(settings)
    count = settings.generation.prompts or len(found)
    return found.select(sorted({int(row) for row in np.linspace(0, len(found) - 1, min(count, len(found)))}))


def _negated_jobs(settings: Profile, prompts: Dataset) -> Iterator[tuple[str, int, list[int], Order]]:
    """Method, seed of the encoder, rows of the prompts and the order, for every encoder."""
    texts, ids = prompts["prompt"][:], prompts["prompt_id"][:]
    for method in methods(settings):
        for encoder_seed, picture_seeds in shares(settings, method).items():
            rows = [row for row in range(len(texts)) for _ in picture_seeds]
            noise = tuple(ids[row] * PICTURES_OF_A_PROMPT + seed for row in range(len(texts)) for seed in picture_seeds)
            told, negatives = _worded(method, [texts[row] for row in rows])
            yield method, encoder_seed, rows, Order(encoder(settings, method, encoder_seed), told, noise, negatives)


def shares(settings: Profile, method: str) -> dict[int, list[int]]:
    """Which pictures of a prompt the encoder from each seed draws: all by the only one, or dealt out in turn."""
    plan = settings.generation
    everything = list(range(plan.picture_seeds))
    if method not in plan.methods:
        return {plan.seeds[0]: everything}
    return {seed: everything[place :: len(plan.seeds)] for place, seed in enumerate(plan.seeds)}


def _worded(method: str, texts: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The prompts and negative prompts of a method."""
    if method not in CONTROLS:
        return tuple(texts), ()
    kept, denied = zip(*(t2i_prompts.parts(text) for text in texts), strict=True)
    return tuple(kept), (tuple(denied) if method == NEGATIVE else ())


# --------------------------------------------------------------------------------------------------------------------
# Affirmative captions and prompts


def faithful(settings: Profile, look: Judge) -> pd.DataFrame:
    """TIFA of every encoder: a row per picture with id, picture_seed, method, encoder_seed, TIFA and TIFA corrected.

    In the mini world the method REAL is what the judge says of the pictures that were described.
    """
    plan, folder = settings.generation, source.folder(settings, "tifa")
    captions = tifa_files.captions(folder / tifa_files.TEXTS)
    questions = tifa_files.load(folder / tifa_files.QUESTIONS)
    whole = np.load(folder / DESCRIBED) if source.is_drawn(folder) else None
    rates = tifa.error_rates(look, questions, whole, captions["id"][:]) if whole is not None else None
    count = min(plan.captions or len(captions), len(captions))
    ids, texts = captions["id"][:count], captions["caption"][:count]
    jobs = [
        (method, seed, Order(encoder(settings, method, seed), tuple(texts), _noise(len(texts), place)))
        for method in (CLIP, *plan.methods)
        for place, seed in enumerate(plan.seeds)
    ]
    told = [(REAL, 0, whole[:count])] if whole is not None else []
    drawn = drawing.pictures(settings, [order for *_, order in jobs])
    told += [(method, seed, made) for (method, seed, _), made in zip(jobs, drawn, strict=True)]
    return pd.concat(
        [_told(look, questions, made, ids, rates).assign(method=name, encoder_seed=seed) for name, seed, made in told],
        ignore_index=True,
    )


def _noise(count: int, picture_seed: int) -> tuple[int, ...]:
    return tuple(TIFA_NOISE + row * PICTURES_OF_A_PROMPT + picture_seed for row in range(count))


def _told(
    look: Judge, questions: Dataset, made: Pictures, ids: Sequence[str], rates: Mapping[str, Rates] | None
) -> pd.DataFrame:
    return tifa.by_picture(tifa.judge(look, questions, made, ids, [0] * len(ids)), rates)


def affirmative(settings: Profile, look: Judge, rates: Mapping[str, Rates] | None) -> tuple[pd.DataFrame, Pictures]:
    """Whether the pipeline draws all that affirmative prompts ask for (``t2i_floor.judge``), and the pictures."""
    asked = t2i_floor.prompts(settings.generation.floor)
    seeds = tuple(FLOOR_NOISE + row for row in range(len(asked)))
    (made,) = drawing.pictures(settings, [Order("", tuple(one.prompt for one in asked), seeds)])
    return t2i_floor.judge(look, asked, made, rates), made


def _floor(table: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """The share of fulfilled prompts by kind: kind, metric, value, low, high, n, over."""
    rows = []
    for kind, own in table.groupby("kind", sort=False):
        for metric in (name for name in (t2i_floor.SHOWN, t2i_floor.CORRECTED) if name in own):
            found = _mean(own[metric], own["prompt"], bootstrap)
            rows.append({"kind": kind, "metric": metric, **dataclasses.asdict(found)})
    return pd.DataFrame(rows)


# --------------------------------------------------------------------------------------------------------------------
# Numbers


def _numbers(items: pd.DataFrame, told: pd.DataFrame, settings: Profile, bootstrap: Bootstrap) -> pd.DataFrame:
    """Every level and every difference, over all prompts, by kind of prompt, and by seed of the encoder."""
    measures = [name for name in items if str(name).removesuffix(neg_score.CORRECTED) in neg_score.MEASURES]
    parts = [_levels(items, str(name), ["prompt_id", "picture_seed"], settings, bootstrap) for name in measures]
    for kind, own in items.groupby("kind", sort=True):
        rows = _levels(own, neg_score.SCORE, ["prompt_id", "picture_seed"], settings, bootstrap)
        parts.append(rows.assign(title=f"{neg_score.SCORE}, {kind}"))
    scores = [name for name in (tifa.SCORE, tifa.CORRECTED) if name in told]
    pairs = told.rename(columns={"id": "prompt_id"}).assign(picture_seed=told["encoder_seed"])
    parts += [_levels(pairs, name, ["prompt_id", "picture_seed"], settings, bootstrap) for name in scores]
    parts += [_by_seed(items, neg_score.SCORE, settings, bootstrap), _by_seed(pairs, tifa.SCORE, settings, bootstrap)]
    return pd.concat(parts, ignore_index=True)


def _levels(rows: pd.DataFrame, measure: str, pair: list[str], settings: Profile, bootstrap: Bootstrap) -> pd.DataFrame:
    """Means of a measure by method, and differences of methods over the same prompts and noise."""
    wide = rows.pivot(index=pair, columns="method", values=measure)
    named = [name for name in (*methods(settings), REAL) if name in wide]
    columns = [(name, "", LEVEL) for name in named]
    columns += _differences(settings, [name for name in named if name != REAL])
    told = []
    for name, other, kind in columns:
        values = (wide[name] - wide[other] if other else wide[name]).dropna()
        found = _mean(values, values.index.get_level_values(0), bootstrap, share=kind == LEVEL)
        told.append({"method": name, "kind": kind, **dataclasses.asdict(found)})
    return pd.DataFrame(told).assign(title=measure, seed=None)


def _differences(settings: Profile, there: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(method, other method, name of the difference)."""
    others = [(CLIP, OVER_CLIP)]
    others += [(name, f"gain over {title_of(name)}") for name in (*settings.generation.methods, *CONTROLS)]
    for other, kind in others:
        yield from ((name, other, kind) for name in there if other in there and name not in (other, CLIP))


def _by_seed(rows: pd.DataFrame, measure: str, settings: Profile, bootstrap: Bootstrap) -> pd.DataFrame:
    """The measure of every encoder that was trained, by itself."""
    told = []
    for (method, seed), own in rows[rows["method"].isin(settings.generation.methods)].groupby(
        ["method", "encoder_seed"]
    ):
        one = _mean(own[measure], own["prompt_id"], bootstrap)
        told.append({"method": method, "kind": LEVEL, "seed": seed, **dataclasses.asdict(one)})
    return pd.DataFrame(told).assign(title=measure)


def _mean(values: Any, prompts: Any, bootstrap: Bootstrap, share: bool = True) -> Interval:
    """The mean of ``values`` with its interval over prompts; of a ``share`` that is 0 or 1, Wilson's."""
    told, clusters = np.asarray(values, dtype=float), np.asarray(prompts).astype(str)
    (found,) = numbers.means(told[:, None], clusters, bootstrap)
    if share and not told.any():
        whole = statistics.bootstrap_share(told > 0, clusters, bootstrap.resamples, bootstrap.seed)
        return dataclasses.replace(whole, over=found.over)
    return found


def title_of(method: str) -> str:
    """A way to draw as tables call it."""
    named = {
        CLIP: CLIP,
        DELETED: "CLIP, negated thing deleted",
        NEGATIVE: "CLIP, negative prompt",
    }
    return named[method] if method in named else recipes.find(method).title if method in recipes.RECIPES else method


# --------------------------------------------------------------------------------------------------------------------
# Records


def _save(settings: Profile, table: pd.DataFrame, floor: pd.DataFrame, judge: pd.DataFrame, seed: int) -> None:
    is_level, of_seed = table["kind"] == LEVEL, table["seed"].notna()
    parts = {"levels": is_level & ~of_seed, "seeds": of_seed, "gains": ~is_level}
    look = picture_judge.name_of(settings)
    model = model_name(settings)
    for name, rows in parts.items():
        records = [_record(row, model) for row in table[rows].to_dict("records")]
        results.save(records, settings.name, EXPERIMENT, name, seed=seed, judge=look)
    own = [(f"affirmative prompts, {row['kind']}", row, model) for row in floor.to_dict("records")]
    asked = [(f"{row['kind']}, {row['condition']} pictures", row, look) for row in judge.to_dict("records")]
    for name, found in (("floor", own), ("judge", asked)):
        if found:
            results.save([_plain(*one) for one in found], settings.name, EXPERIMENT, name, seed=seed, judge=look)


def model_name(settings: Profile) -> str:
    """The pipeline as records call it: the last part of its name."""
    return settings.generation.pipeline.rstrip("/").rpartition("/")[2]


def _record(row: Mapping[Any, Any], model: str) -> Record:
    of_seed = not pd.isna(row["seed"])
    known = None if row["kind"] or of_seed else paper.published().get((row["title"], row["method"]))
    return Record.of(
        Interval(*(row[name] for name in ("value", "low", "high", "n", "over"))),
        experiment=EXPERIMENT,
        task=f"{row['title']}/{row['method']}",
        model=model,
        metric=row["kind"] or "mean over prompts",
        seed=int(row["seed"]) if of_seed else None,
        paper_value=known[0] if known else None,
        paper_source=known[1] if known else "",
    )


def _plain(task: str, row: Mapping[Any, Any], model: str) -> Record:
    bare = Record(EXPERIMENT, task, model, str(row["metric"]), float(row["value"]), int(row["n"]))
    if not row["over"]:
        return bare
    return dataclasses.replace(bare, ci_low=row["low"], ci_high=row["high"], ci_over=row["over"])
