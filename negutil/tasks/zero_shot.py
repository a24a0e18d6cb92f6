"""Zero-shot classification by prompts: ImageNet's and Caltech101's folders (docs/protocols.md#zero-shot).

One prompt per class unless more are given; then a class is the normalised mean of its prompts' features, as CLIP's
ensembles are, or has the mean of its prompts' scores where those are no cosines. Top-1 accuracy is over pictures; the
mean over classes, which papers on Caltech101 use, stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import NDArray

from negutil import statistics
from negutil.captions import english
from negutil.errors import NegutilError
from negutil.models import encode, scorer
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.models.scorer import Cosine, Scorer
from negutil.results import Record
from negutil.statistics import Floats, Interval
from negutil.tasks import mcq, shares
from negutil.tasks.shares import Report

TEMPLATES = ("a photo of {a_name}.",)
CLIPGLASSES_TEMPLATES = ("A photo of a {name}.",)
TOP_1, PER_CLASS = "top-1 accuracy", "mean per-class accuracy"
WHERE = {
    "imagenet": "get ImageNet's validation pictures (val/<wnid>/*.JPEG) at image-net.org",
    "caltech101": "get 101_ObjectCategories at data.caltech.edu/records/mzrjq-6wc02",
}


def evaluate(
    model: LoadedModel | Scorer,
    rows: Dataset,
    templates: Sequence[str] = TEMPLATES,
    *,
    batch: int = encode.BATCH,
) -> pd.DataFrame:
    """Return one row per picture of ``rows`` (from `negutil.data.folders`) for ``model``.

    Columns: item and cluster (the file's name), type (the right class, by its folder), chosen (likewise, "" for a tie),
    right, tie, margin (the right class's score minus the best other one). Each template has ``{name}``, or
    ``{a_name}`` for the name with its article. Classes of the same name always tie. Raises NegutilError for a template
    with neither.
    """
    names = class_names(rows)
    asked = scorer.of(model, batch)
    values = _values(asked, prompts(names, templates), encode.images(asked.tower, PictureFiles.of(rows), batch=batch))
    labels, files = np.array(rows["label"][:]), rows["file_name"][:]
    found = mcq.items(values, labels)
    folders = np.array([*rows.features["label"].names, ""], dtype=object)
    facts = {"item": files, "cluster": files, "type": folders[labels], "chosen": folders[found["chosen"]]}
    return pd.DataFrame(facts).assign(right=found["right"], tie=found["chosen"] < 0, margin=found["margin"])


def records(table: pd.DataFrame, report: Report, task: str) -> list[Record]:
    """Return top-1 accuracy and mean per-class accuracy."""
    mean = per_class(table, resamples=report.resamples, seed=report.seed)
    return [*shares.records(table, report, task, TOP_1), report.record(task, PER_CLASS, mean)]


def per_class(table: pd.DataFrame, *, resamples: int = statistics.RESAMPLES, seed: int = 0) -> Interval:
    """Return the mean over classes of the share of right answers; pictures are resampled within their class.

    To draw n pictures of a class anew, k of them right, is to draw a binomial number of right ones. Where all or none
    are right, the interval is that of `statistics.bootstrap_share`.
    """
    if table["right"].nunique() == 1:
        return statistics.bootstrap_share(table["right"], None, resamples, seed)
    counts = table.groupby("type", observed=True)["right"].agg(["sum", "count"])
    right, of = counts["sum"].to_numpy(), counts["count"].to_numpy()
    drawn = np.random.default_rng(seed).binomial(of, right / of, size=(resamples, len(of))) / of
    low, high = np.quantile(drawn.mean(axis=1), [(1 - statistics.LEVEL) / 2, (1 + statistics.LEVEL) / 2])
    return Interval(float((right / of).mean()), float(low), float(high), len(table), "items")


def class_names(rows: Dataset) -> list[str]:
    """The name of every class by its label, with spaces where folders have underscores (Caltech101's car_side)."""
    named = sorted(set(zip(rows["label"][:], rows["class_name"][:], strict=True)))
    return [name.replace("_", " ") for _, name in named]


def prompts(names: Sequence[str], templates: Sequence[str] = TEMPLATES) -> list[list[str]]:
    """The texts of every class: each template with its name; raises NegutilError for a template that names none."""
    return [[_fill(template, name) for template in templates] for name in names]


def names_from(path: Path, dataset: str, folders: Sequence[str]) -> dict[str, str]:
    """Return the class name of every folder, from CLIP_benchmark's en_classnames.json.

    The file lists the names of ``dataset`` ("imagenet1k", ...) in the order of its classes, which is that of ImageNet's
    sorted folder names. Raises NegutilError where the file is damaged or has another number of names.
    """
    try:
        names = json.loads(path.read_text(encoding="utf-8"))[dataset]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise NegutilError(f"{path} has no class names of '{dataset}' ({problem!r}); fetch it again.") from problem
    if len(names) != len(folders):
        raise NegutilError(f"{path} names {len(names)} classes of '{dataset}', but there are {len(folders)} folders.")
    return dict(zip(sorted(folders), names, strict=True))


def scores(images: NDArray[np.float32], classes: NDArray[np.float32]) -> Floats:
    """Return cosines [N, C]; classes with the same features get exactly the same scores, so that they tie."""
    different, inverse = np.unique(classes, axis=0, return_inverse=True)
    return (images.astype(float) @ different.astype(float).T)[:, inverse.ravel()]


def _values(asked: Scorer, said: list[list[str]], images: NDArray[np.float32]) -> Floats:
    """Scores [N, C] of every picture with every class by its prompts ``said``."""
    texts, shape = [text for own in said for text in own], (len(said), len(said[0]), -1)
    if isinstance(asked, Cosine):
        return scores(images, _classes(asked.features(texts).reshape(shape)))
    return asked.matrix(texts, images).reshape(shape).mean(axis=1).T


def _classes(each: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features [C, D] of the classes from those of their prompts [C, P, D]."""
    mean = each.mean(axis=1)
    return each[:, 0] if each.shape[1] == 1 else mean / np.linalg.norm(mean, axis=1, keepdims=True)


def _fill(template: str, name: str) -> str:
    if "{name}" not in template and "{a_name}" not in template:
        raise NegutilError(f"The prompt '{template}' names no class; write {{name}} or {{a_name}} in it.")
    parts: Mapping[str, str] = {"name": name, "a_name": english.with_article(name)}
    return template.format(**parts)
