"""Neg Score: an image is to show its subject, and not what its prompt denies (NegationCLIP Table 4).

An image scores 1 where the judge says yes to the first question and no to the second. The score is the mean over
prompts of the mean over the images of each; every prompt has as many images, so it is the mean over images, with
intervals that resample prompts.

See docs/protocols.md#neg-score.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil.captions import picture_facts, t2i_prompts
from negutil.tasks import Entry, picture_judge
from negutil.tasks.picture_judge import Judge, Pictures, Rates

SCORE, SUBJECT, DENIED = MEASURES = ("Neg Score", "subject shown", "negated thing shown")
CORRECTED = ", corrected"
COLUMNS = ("prompt_id", "prompt", "kind", "picture_seed", "subject_sure", "denied_sure", *MEASURES)


def judge(look: Judge, prompts: Dataset, pictures: Pictures, rows: Sequence[int], seeds: Sequence[int]) -> pd.DataFrame:
    """The answers about images [N, H, W, 3], each made for the prompt in row ``rows[i]`` with ``seeds[i]``.

    Returns a row per image with COLUMNS; the measures are 1 or 0.
    """
    questions = {name: np.array(prompts[name][:])[list(rows)] for name in ("subject_question", "negation_question")}
    both = np.concatenate([pictures, pictures])
    sure = look.yes(both, [*questions["subject_question"], *questions["negation_question"]])
    subject, denied = sure[: len(pictures)], sure[len(pictures) :]
    about = {
        "prompt_id": np.array(prompts["prompt_id"][:])[list(rows)],
        "prompt": np.array(prompts["prompt"][:])[list(rows)],
        "kind": [t2i_prompts.kind(question) for question in questions["negation_question"]],
        "subject_question": questions["subject_question"],
        "negation_question": questions["negation_question"],
        "picture_seed": list(seeds),
        "subject_sure": subject,
        "denied_sure": denied,
    }
    shown, negated = subject > 0.5, denied > 0.5
    measures = {SCORE: shown & ~negated, SUBJECT: shown, DENIED: negated}
    return pd.DataFrame(about).assign(**{name: flags.astype(float) for name, flags in measures.items()})


def with_corrections(table: pd.DataFrame, rates: Mapping[str, Rates]) -> pd.DataFrame:
    """``judge``'s table with each measure corrected for the judge's error rates, under its name and CORRECTED.

    The two answers are taken to err independently of each other, given the truth. Means of the columns are unbiased
    then; single values lie outside 0..1. The rates are those of the kind of each question.
    """
    subject, denied = (
        picture_judge.corrected_by_kind(
            table[name], [picture_facts.fact_of(text).kind for text in table[questions]], rates
        )
        for name, questions in ((SUBJECT, "subject_question"), (DENIED, "negation_question"))
    )
    named = {SCORE: subject * (1 - denied), SUBJECT: subject, DENIED: denied}
    return table.assign(**{f"{name}{CORRECTED}": values for name, values in named.items()})


TASKS = (Entry(SCORE, SCORE, "t2i_prompts", "prompts", "as the judge errs", "negationclip_table4.csv"),)
