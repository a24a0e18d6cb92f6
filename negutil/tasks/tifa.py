"""TIFA: does a picture show what its caption says? Questions with choices, answered by a judge.

A caption's score is the share of its questions that are answered right; TIFA is the mean over captions (and over the
pictures of each, where there are several).

See docs/protocols.md#tifa.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil.statistics import Floats
from negutil.tasks import Entry, picture_judge
from negutil.tasks.picture_judge import ALL, Judge, Pictures, Rates

SCORE, CORRECTED = "TIFA", "TIFA, corrected"


def judge(
    look: Judge, questions: Dataset, pictures: Pictures, ids: Sequence[str], seeds: Sequence[int]
) -> pd.DataFrame:
    """The answers to all questions about pictures [N, H, W, 3], of caption ``ids[i]`` made with ``seeds[i]``.

    Returns a row per picture and question: id, picture_seed, question, element_type, answer, said, right.
    """
    asked = questions.to_pandas()
    groups = asked.groupby("id").indices
    rows = np.concatenate([groups[name] for name in ids])
    place = np.repeat(np.arange(len(ids)), [len(groups[name]) for name in ids])
    own = asked.iloc[rows].reset_index(drop=True)
    said = look.choose(pictures[place], own["question"].tolist(), [list(choices) for choices in own["choices"]])
    found = own[["id", "question", "element_type", "answer"]].assign(picture_seed=np.asarray(seeds)[place], said=said)
    return found.assign(right=found["said"] == found["answer"])


def by_picture(table: pd.DataFrame, rates: Mapping[str, Rates] | None = None) -> pd.DataFrame:
    """The score of every picture: id, picture_seed, TIFA and, with ``rates`` by element type, TIFA corrected."""
    values: dict[str, Floats] = {SCORE: table["right"].to_numpy(float)}
    if rates:
        own = [rates.get(kind) or rates[ALL] for kind in table["element_type"]]
        sensitivity, specificity = (
            np.array([getattr(r, name) for r in own]) for name in ("sensitivity", "specificity")
        )
        values[CORRECTED] = picture_judge.corrected(table["right"].to_numpy(bool), sensitivity, specificity)
    return table.assign(**values).groupby(["id", "picture_seed"], sort=False)[list(values)].mean().reset_index()


def error_rates(look: Judge, questions: Dataset, pictures: Pictures, ids: Sequence[str]) -> dict[str, Rates]:
    """How often the judge answers as the caption says, by element type: where it is true and where it is not.

    ``pictures[i]`` is the real picture of caption ``ids[i]``. Each caption's questions are asked about its own picture
    and about that of a caption which shares no question and answer with it, so that what it says is not to be seen.
    """
    asked = questions.to_pandas()
    own = judge(look, questions, pictures, ids, [0] * len(ids))
    said = {
        name: set(zip(part["question"], part["answer"], strict=True)) for name, part in asked.groupby("id", sort=False)
    }
    count = len(ids)
    # For each caption the place of the next one that shares no element with it, or None.
    others = [
        next((at % count for at in range(here + 1, here + count) if not said[ids[at % count]] & said[ids[here]]), None)
        for here in range(count)
    ]
    kept = [index for index, other in enumerate(others) if other is not None]
    swapped = pictures[[int(other) for other in others if other is not None]]
    wrong = judge(look, questions, swapped, [ids[index] for index in kept], [0] * len(kept))
    both = pd.concat([own.assign(truth=True, yes=own["right"]), wrong.assign(truth=False, yes=wrong["right"])])
    told = both.assign(kind=both["element_type"], right=both["yes"] == both["truth"])
    return picture_judge.rates(told)


TASKS = (Entry(SCORE, SCORE, "tifa", "captions", "1 / choices", "negationclip_table4.csv"),)
