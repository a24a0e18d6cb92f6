"""What ties and positions change on NegBench's multiple-choice files as they are published (protocol 0.3).

In most of them the right option is always the first, and the published evaluator gives a tie to the first. So a scorer
that looks at nothing is right every time there; these counts say by how much each file is open to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from negutil import data
from negutil.data import negbench
from negutil.evaluation import blind, mcq
from negutil.statistics import Floats


def positions(correct: ArrayLike, k: int = 4, seed: int = 0) -> dict[str, float]:
    """Return what the place of the right options ``correct`` [N] among ``k`` gives away, as shares of the questions.

    "right option first" is the share whose right option has index 0. The others are the accuracy of a constant scorer:
    "argmax" with ties to the first option in the file's order, as published; "argmax, shuffled" with ties to the
    first in a random order; "strict" where a tie is no answer.
    """
    right = np.asarray(correct, dtype=np.int64)
    constant = np.zeros((len(right), k))
    shown_first = mcq.orders(len(right), k, seed)[:, 0]
    return {
        "right option first": float((right == 0).mean()),
        "constant scorer, argmax": float((constant.argmax(axis=1) == right).mean()),
        "constant scorer, argmax, shuffled": float((shown_first == right).mean()),
        "constant scorer, strict": float((mcq.choose(constant) == right).mean()),
    }


def ties(values: Floats, correct: ArrayLike) -> dict[str, float]:
    """Return what ties are worth to the scores ``values`` [N, K] of some model, as shares of the questions.

    "tied at the top", and the accuracy under "argmax" (ties to the first option), "random" (expected) and "strict".
    """
    right = np.asarray(correct, dtype=np.int64)
    chosen = mcq.choose(values)
    return {
        "tied at the top": float((chosen < 0).mean()),
        "argmax": float((values.argmax(axis=1) == right).mean()),
        "random": float(blind.at_random(values, right).mean()),
        "strict": float((chosen == right).mean()),
    }


def table(paths: Sequence[Path | str], seed: int = 0) -> pd.DataFrame:
    """Return one row per multiple-choice file of ``paths``.

    Columns: file, questions, left_out (malformed rows), those of ``positions``, and "right option repeated": the share
    of questions with a wrong option of the same words as the right one, which no scorer of texts can answer strictly.
    Raises NegutilError as `negutil.data.negbench.load` does.
    """
    return pd.DataFrame([_row(Path(path), seed) for path in paths])


def _row(path: Path, seed: int) -> dict[str, str | int | float]:
    rows = negbench.load(path)
    options, correct = np.array(rows["options"][:], dtype=np.str_), np.array(rows["correct"][:])
    n, k = options.shape
    same = (options == options[np.arange(n), correct][:, None]).sum(axis=1) > 1
    return {
        "file": path.name,
        "questions": n,
        "left_out": len(data.report(rows).left_out),
        **positions(correct, k, seed),
        "right option repeated": float(same.mean()),
    }
