"""TIFA: does an image show what its caption says? Questions with choices, answered by a judge.

A caption's score is the share of its questions that are answered right; TIFA is the mean over captions (and over the
images of each, where there are several).

See docs/protocols.md#tifa.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil.statistics import Floats
from negutil.tasks import Entry, picture_judge
from negutil.tasks.picture_judge import Judge, Pictures, Rates

SCORE, CORRECTED = "TIFA", "TIFA, corrected"


def judge(
    look: Judge, questions: Dataset, pictures: Pictures, ids: Sequence[str], seeds: Sequence[int]
) -> pd.DataFrame:
    """The answers to all questions about images [N, H, W, 3], of caption ``ids[i]`` made with ``seeds[i]``.

    Returns a row per image and question: id, picture_seed, question, element_type, answer, said, right.
    """
    table = questions.to_pandas()
    groups = table.groupby("id").indices
    rows = np.concatenate([groups[name] for name in ids])
    place = np.repeat(np.arange(len(ids)), [len(groups[name]) for name in ids])
    table = table.iloc[rows].reset_index(drop=True)
    said = look.choose(pictures[place], table["question"].tolist(), [list(choices) for choices in table["choices"]])
    table = table[["id", "question", "element_type", "answer"]]
    table = table.assign(picture_seed=np.asarray(seeds)[place], said=said)
    return table.assign(right=table["said"] == table["answer"])


def by_picture(table: pd.DataFrame, rates: Mapping[str, Rates] | None = None) -> pd.DataFrame:
    """Return the score of every image: id, picture_seed, TIFA and, with ``rates`` by element type, TIFA corrected."""
    values: dict[str, Floats] = {SCORE: table["right"].to_numpy(float)}
    if rates:
        values[CORRECTED] = picture_judge.corrected_by_kind(table["right"], table["element_type"], rates)
    return table.assign(**values).groupby(["id", "picture_seed"], sort=False)[list(values)].mean().reset_index()


def error_rates(look: Judge, questions: Dataset, pictures: Pictures, ids: Sequence[str]) -> dict[str, Rates]:
    """How often the judge answers as the caption says, by element type: where it is true and where it is not.

    ``pictures[i]`` is the real image of caption ``ids[i]``. Each caption's questions are asked about its own image
    and about that of a caption which shares no question and answer with it, so that what it says is not to be seen.
    """
    true = judge(look, questions, pictures, ids, [0] * len(ids))
    elements = {
        name: set(zip(part["question"], part["answer"], strict=True))
        for name, part in questions.to_pandas().groupby("id", sort=False)
    }
    count = len(ids)
    # For each caption the place of the next one that shares no element with it, if there is one.
    others = {}
    for here in range(count):
        following = (at % count for at in range(here + 1, here + count))
        other = next((at for at in following if not elements[ids[at]] & elements[ids[here]]), None)
        if other is not None:
            others[here] = other
    swapped = pictures[list(others.values())]
    false = judge(look, questions, swapped, [ids[index] for index in others], [0] * len(others))
    both = pd.concat([true.assign(truth=True, yes=true["right"]), false.assign(truth=False, yes=false["right"])])
    return picture_judge.rates(both.assign(kind=both["element_type"], right=both["yes"] == both["truth"]))


TASKS = (Entry(SCORE, SCORE, "tifa", "captions", "1 / choices", "negationclip_table4.csv"),)
