"""The report's tables beside the claims: every method on every benchmark, NegBench, paper against code, provenance.

Each is made from the tables in ``results/`` and the notes beside them. Where a table is missing, a function returns
an empty frame and the report says which notebook makes it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from negutil import files, paths, results
from negutil.errors import NegutilError
from negutil.report import chapters

LEVELS = ("05_negationclip", "06_clipglasses")
OVER_CLIP, OVER_FULL = "gain over CLIP", "gain over the full glasses"
HEAT = ("base", "method", "title", "value", "low", "high", "gain", "gain_low", "gain_high")
DIFFERENCE = ("work", "paper", "code", "asked", "effect", "low", "high", "n", "sure")
PARTS = ("part", "minutes", "tables", "commit", "processor", "threads", "gpu", "python")
BLIND, CHANCE, PAPER = "best without images", "chance", "published"
VARIANT = "negationclip-"
ASIDE = ("without mean and std", "lambda of the gold image")
GLASSES = "CLIPGlasses"
"""Whose code has the differences that ``negutil.compare.clipglasses`` lists by name."""

OTHER_DIFFERENCES = (
    (
        *(GLASSES, "CLIP's own preprocessing", "images without CLIP's mean and standard deviation"),
        *("06_clipglasses/gains", "ImageNet zero-shot/CLIP without mean and std", OVER_CLIP),
    ),
    (
        *(GLASSES, "lambda of every pair", "lambda from the image that is looked for"),
        *("06_clipglasses/gains", "COCO retrieval, paraphrased/lambda of the gold image"),
        "gain over lambda of every pair",
    ),
    (
        *("NegBench", "cosines in the loss of the questions", "dot products of features that are not normalised"),
        *("05_negationclip/gains", "COCO MCQ, paraphrased/negfull-raw", "gain over NegFull"),
    ),
)
"""Work, what the paper says, what its code does, and the record that measures the effect: table, task, metric."""


def found(profile: str, table: str) -> pd.DataFrame:
    """The table ``<experiment>/<name>`` of a profile; without rows where it was not made."""
    experiment, _, name = table.partition("/")
    if not (paths.results(profile) / experiment / f"{name}.csv").exists():
        return pd.DataFrame(columns=list(results.COLUMNS))
    return results.load(profile, experiment, name)


def every_method(profile: str) -> pd.DataFrame:
    """Every method on every benchmark with its gain over CLIP: a row each, with HEAT's columns (methods by title).

    By base; CLIP, then the others by the number of benchmarks that they gain on; benchmarks in the given order.
    """
    from negutil.compare import clipglasses

    levels = _split(pd.concat([found(profile, f"{name}/levels") for name in LEVELS]))
    gains = _split(pd.concat([found(profile, f"{name}/gains") for name in LEVELS]))
    gains = gains[gains["metric"] == OVER_CLIP]
    key = ["model", "title", "method"]
    # Not shown: weights between two models, and what is compared with another CLIP than the one in the table.
    aside = [("@" in name or name.endswith(ASIDE)) for name in levels["method"]]
    own = levels[levels["title"].isin(clipglasses.EVERYTHING) & ~np.array(aside, dtype=bool)]
    own = own.drop_duplicates(key).merge(
        gains.drop_duplicates(key)[[*key, "value", "ci_low", "ci_high"]], on=key, how="left", suffixes=("", "_gain")
    )
    titles = [
        ("NegationCLIP, " if name.startswith(VARIANT) else "") + clipglasses.title_of("" if name == "CLIP" else name)
        for name in own["method"]
    ]
    named = {"model": "base", "ci_low": "low", "ci_high": "high", "value_gain": "gain"}
    named |= {"ci_low_gain": "gain_low", "ci_high_gain": "gain_high"}
    own = own.assign(method=titles).rename(columns=named)[list(HEAT)]
    better = own.assign(better=own["gain_low"] > 0).groupby(["base", "method"])["better"].transform("sum")
    keys = zip(own["base"], own["method"] != "CLIP", -better.astype(int), own["method"], own["title"], strict=True)
    order = [(*key[:-1], list(clipglasses.EVERYTHING).index(key[-1])) for key in keys]
    return own.iloc[sorted(range(len(own)), key=order.__getitem__)].reset_index(drop=True)


def _split(rows: pd.DataFrame) -> pd.DataFrame:
    """Records whose task is ``title/method``, with the two apart."""
    apart = [str(task).rpartition("/") for task in rows["task"]]
    return rows.assign(title=[one[0] for one in apart], method=[one[2] for one in apart])


def negbench(profile: str) -> pd.DataFrame:
    """NegBench's variations: task, model, value, low, high; chance, the best blind scorer and published numbers too."""
    rows = found(profile, "03_negbench/tasks")
    rows = rows[rows["metric"].isin(["accuracy", "recall@5"])]
    if rows.empty:
        return pd.DataFrame(columns=["task", "model", "value", "low", "high"])
    is_blind = rows["model"].str.startswith("blind")
    blind = rows[is_blind].sort_values("value", kind="stable")
    best = blind.drop_duplicates("task", keep="last").assign(model=BLIND)
    seeing = rows[~is_blind]
    printed = seeing.dropna(subset="paper_value").drop_duplicates("task")
    printed = printed.assign(model=PAPER, value=printed["paper_value"], ci_low=np.nan, ci_high=np.nan)
    whole = pd.concat([seeing[seeing["model"] == CHANCE], best, seeing[seeing["model"] != CHANCE], printed])
    named = whole.rename(columns={"ci_low": "low", "ci_high": "high"})
    return named[["task", "model", "value", "low", "high"]].reset_index(drop=True)


def differences(profile: str) -> pd.DataFrame:
    """Paper against released code: a row for each difference and test, with what it changes (DIFFERENCE's columns)."""
    from negutil.compare import clipglasses

    rows = _split(found(profile, "06_clipglasses/ablations"))
    rows = rows[rows["metric"] == OVER_FULL]
    chosen: list[tuple[Sequence[str], str, pd.DataFrame]] = [
        ((GLASSES, "its equations", name), title, rows[(rows["method"] == name) & (rows["title"] == title)])
        for name in clipglasses.DIFFERENCES
        for title in clipglasses.TABLE_1
    ]
    for *about, table, task, metric in OTHER_DIFFERENCES:
        own = found(profile, table)
        chosen.append((about, task.rpartition("/")[0], own[(own["task"] == task) & (own["metric"] == metric)]))
    listed = []
    for names, title, rows in chosen:
        for row in rows.to_dict("records"):
            sure = "yes" if row["ci_low"] > 0 or row["ci_high"] < 0 else "no"
            effect = (row["value"], row["ci_low"], row["ci_high"], row["n"])
            listed.append((*names, f"{title} ({row['model']})", *effect, sure))
    return pd.DataFrame(listed, columns=list(DIFFERENCE))


def parts(profile: str) -> pd.DataFrame:
    """How long each part took and on what, by the notes beside its tables: a row for each notebook, PARTS' columns.

    ``minutes`` is the age of the process when the last of its tables was written; what the cache held was not made
    again.
    """
    titles = {chapter.number: chapter.title for chapter in chapters.find()}
    rows = []
    for folder in sorted(path for path in paths.results(profile).glob("[0-9][0-9]_*") if path.is_dir()):
        notes = [_note(path) for path in sorted(folder.glob("*.provenance.json"))]
        if notes:
            last = max(notes, key=lambda note: (str(note["started"]), float(note["seconds"])))
            minutes = max(float(note["seconds"]) for note in notes) / 60
            code = str(last["commit"])[:10] or f"version {last.get('version', 'unknown')}"
            machine = (last["processor"], last["threads"], last.get("gpu") or "none", last["python"])
            rows.append((titles.get(folder.name[:2], folder.name), minutes, len(notes), code, *machine))
    return pd.DataFrame(rows, columns=list(PARTS))


def versions(profile: str) -> str:
    """The versions of the packages that made the tables; several with commas where tables differ."""
    known: dict[str, set[str]] = {}
    for path in sorted(paths.results(profile).glob("[0-9][0-9]_*/*.provenance.json")):
        for name, version in _note(path).get("packages", {}).items():
            known.setdefault(name, set()).add(str(version))
    return "; ".join(f"{name} {', '.join(sorted(found))}" for name, found in sorted(known.items()))


def _note(path: Path) -> dict:
    note = files.read_json(path, "run its notebook again")
    if not {"started", "seconds", "commit", "processor", "threads", "python"} <= set(note):
        raise NegutilError(f"{path} is not a complete provenance file of a table: run its notebook again.")
    return dict(note)
