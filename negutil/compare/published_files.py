"""What ties and positions change on NegBench's multiple-choice files as they are published (docs/protocols.md#ties).

In most of them the right option is always the first, and the published evaluator gives a tie to the first. So a scorer
that looks at nothing is right every time there; these counts say by how much each file is open to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from negutil import files, tables
from negutil import paths as locations
from negutil.compare.negbench import EXPERIMENT
from negutil.data import negbench
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.tasks import BLIND, Report, mcq
from negutil.tasks.negbench import blind_records, blind_scorers

PROFILE, NAME = "published", "files"
"""Where in results/ the counts of the published files are kept: they depend on no profile and no model."""


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


def kept() -> pd.DataFrame:
    """Return the numbers of ``records`` that are committed for the published files, which cannot be committed."""
    return files.read_csv(locations.RESOURCES / "results" / PROFILE / EXPERIMENT / f"{NAME}.csv")


def overview() -> pd.DataFrame:
    """Return ``kept`` for display: a row per scorer, a column per kind of question; n stands in the first column."""
    rows = kept()
    shown = rows.assign(scorer=rows["model"] + ", n = " + rows["n"].groupby(rows["model"]).transform("max").astype(str))
    return tables.pivot(shown, "scorer").fillna("")


def records(paths: Sequence[Path | str], seed: int = 0) -> list[Record]:
    """Return what a look at the sentences alone gets on multiple-choice files, as records; the task is the file's name.

    Models: the constant scorers of ``positions``, and the rules and the classifier of ``blind`` with intervals over
    pictures, in total and by type of question. Raises NegutilError as `negutil.data.negbench.load` does.
    """
    found: list[Record] = []
    for path in map(Path, paths):
        rows = negbench.load(path)
        if "options" not in rows.column_names:
            command = f"negutil bench MODEL --negbench {path}"
            raise NegutilError(f"{path} is a retrieval file: give multiple-choice files, or run `{command}`.")
        options, correct, pictures = rows["options"][:], np.array(rows["correct"]), np.array(rows["file_name"])
        types = list(rows["template"]) if "template" in rows.column_names else None
        for name, share in positions(correct, len(options[0]), seed).items():
            if name.startswith("constant"):
                found.append(Record(EXPERIMENT, path.name, name, "accuracy", share, len(correct)))
        for rule, values in blind_scorers(options, correct, pictures, seed=seed).items():
            items = mcq.items(values, correct, types)
            found += blind_records(items, pictures, Report(EXPERIMENT, BLIND + rule), path.name)
    return found
