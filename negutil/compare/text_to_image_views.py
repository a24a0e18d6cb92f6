"""Tables and picture grids of notebook 07, from what ``text_to_image.run`` found."""

from __future__ import annotations

import random

import pandas as pd

from negutil import tables
from negutil.captions import t2i_prompts
from negutil.compare import t2i_floor, text_to_image
from negutil.compare.text_to_image import Findings, title_of
from negutil.config import Profile
from negutil.tasks import degradation, neg_score, picture_judge, tifa
from negutil.tasks.picture_judge import ALL, Pictures

MEASURES = (neg_score.SCORE, f"{neg_score.SCORE}{neg_score.CORRECTED}", tifa.SCORE, tifa.CORRECTED)
ANSWERS = (neg_score.SUBJECT, neg_score.DENIED)
BY_KIND = tuple(f"{neg_score.SCORE}, {kind}" for kind in t2i_prompts.KINDS)
Shown = tuple[str, Pictures, tuple[str, ...]]
"""A line of a grid: its title, its pictures, and a caption under each."""


def judge(summary: pd.DataFrame) -> pd.DataFrame:
    """The judge's accuracy, sensitivity, specificity and calibration error by kind of question and of picture."""
    cells = [tables.with_interval(*row) for row in zip(summary["value"], summary["low"], summary["high"], strict=True)]
    wide = summary.assign(cell=cells).pivot(index=["condition", "kind"], columns="metric", values="cell")
    order = summary[["condition", "kind"]].drop_duplicates()
    counts = summary[summary["metric"] == "accuracy"].set_index(["condition", "kind"])["n"]
    found = wide.reindex(pd.MultiIndex.from_frame(order)).assign(questions=counts).reset_index()
    found = found.rename(columns={"condition": "pictures", "kind": "questions about"}).rename_axis(columns=None)
    mixed = found[found["pictures"] == degradation.MIXED]
    others = found[(found["pictures"] != degradation.MIXED) & (found["questions about"] == ALL)]
    chosen = ["pictures", "questions about", "questions", "accuracy", "sensitivity", "specificity", "calibration error"]
    return pd.concat([mixed, others], ignore_index=True)[chosen]


def floor(found: pd.DataFrame) -> pd.DataFrame:
    """How often affirmative prompts are fulfilled, raw and corrected."""
    cells = [tables.with_interval(*row) for row in zip(found["value"], found["low"], found["high"], strict=True)]
    wide = found.assign(cell=cells).pivot(index="kind", columns="metric", values="cell").reindex(t2i_floor.KINDS)
    counts = found.drop_duplicates("kind").set_index("kind")["n"]
    shown = wide.assign(pictures=counts).reset_index().rename(columns={"kind": "prompts for"}).rename_axis(columns=None)
    return shown[["prompts for", "pictures", *(name for name in wide.columns if name != "pictures")]]


# --------------------------------------------------------------------------------------------------------------------
# Pictures


def affirmative_grid(found: Findings, columns: int = 8, seed: int = 0) -> list[Shown]:
    """What the pipeline draws for affirmative prompts of each kind, drawn at random, with what the judge says."""
    shown = []
    for kind, own in found.floor_items.groupby("kind", sort=False):
        rows = own.sample(min(columns, len(own)), random_state=seed).sort_index()
        verdicts = ["shown" if right else "not all shown" for right in rows[t2i_floor.SHOWN]]
        captions = tuple(f"{prompt}: {verdict}" for prompt, verdict in zip(rows["prompt"], verdicts, strict=True))
        shown.append((f"Prompts for {kind}", found.floor_pictures[rows.index.to_numpy()], captions))
    return shown


def side_by_side(settings: Profile, found: Findings, count: int = 6, seed: int = 0) -> list[Shown]:
    """The same prompts with the same noise, a line per way to draw; each picture says what the judge saw.

    The prompts are drawn at random from all, as many of each kind as possible.
    """
    own = found.items[found.items["picture_seed"] == 0]
    prompts = _spread(own.drop_duplicates("prompt_id"), count, seed)
    shown = []
    for method in text_to_image.methods(settings):
        rows = own[own["method"] == method].drop_duplicates("prompt_id")
        places = [int(rows.index[rows["prompt_id"] == prompt][0]) for prompt in prompts]
        captions = []
        for row in found.items.iloc[places].to_dict("records"):
            subject = "subject" if row[neg_score.SUBJECT] else "no subject"
            captions.append(f"{subject}, {'negated thing too' if row[neg_score.DENIED] else 'nothing denied'}")
        shown.append((title_of(method), found.pictures[places], tuple(captions)))
    return shown


def prompts_of(found: Findings, count: int = 6, seed: int = 0) -> list[str]:
    """The prompts of ``side_by_side``, in its order."""
    own = found.items[found.items["picture_seed"] == 0].drop_duplicates("prompt_id")
    named = own.set_index("prompt_id")["prompt"]
    return [str(named[prompt]) for prompt in _spread(own, count, seed)]


def _spread(own: pd.DataFrame, count: int, seed: int) -> list[int]:
    """Ids of ``count`` prompts, kinds in turn."""
    rng = random.Random(f"t2i/grid/{seed}")
    groups = [rng.sample(list(rows["prompt_id"]), len(rows)) for _, rows in own.groupby("kind", sort=True)]
    turns = [prompt for turn in range(max(map(len, groups))) for group in groups for prompt in group[turn : turn + 1]]
    return [int(prompt) for prompt in turns[:count]]


def judged_grid(settings: Profile, count: int = 8, seed: int = 0) -> list[Shown]:
    """Held-out pictures of which the truth is known, made worse, with a question each, the answer and the truth."""
    look = picture_judge.load(settings)
    known = picture_judge.held_out(count, seed + 1)
    exam = picture_judge.exam(look, known, degradation.MIXED, seed).groupby("picture").sample(1, random_state=seed)
    pictures = picture_judge.degraded(known.pictures, degradation.MIXED, seed)
    said = tuple(
        f"{row['question']} {'yes' if row['sure'] > 0.5 else 'no'} ({'right' if row['right'] else 'wrong'})"
        for row in exam.to_dict("records")
    )
    return [("Held-out pictures, made worse", pictures[exam["picture"].to_numpy()], said)]
