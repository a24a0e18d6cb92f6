"""Zero-shot classification by prompts: ImageNet's and Caltech101's folders (docs/protocols.md#zero-shot).

One prompt per class unless more are given; then a class is the normalised mean of its prompts' features, as CLIP's
ensembles are, or has the mean of its prompts' scores where those are no cosines. Top-1 accuracy is over images; the
mean over classes, which papers on Caltech101 use, is also reported.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil import statistics
from negutil.captions import english
from negutil.config import Profile
from negutil.data import folders, source
from negutil.errors import NegutilError
from negutil.models import architectures
from negutil.models.scorer import Cosine, Features, Scorer
from negutil.results import Record
from negutil.statistics import Floats, Interval
from negutil.tasks import Frames, Report, Task, mcq

TEMPLATES = ("a photo of {a_name}.",)
TOP_1, PER_CLASS = "top-1 accuracy", "mean per-class accuracy"
WNID = re.compile(r"n\d{8}")
LITERAL = ("a photo of a {name}.",)
"""The prompt of published ImageNet numbers, which says "a American robin"."""
CLASS_NAMES = "en_classnames.json"
"""Of CLIP_benchmark (clip_benchmark/datasets/en_classnames.json): where it lies beside ImageNet's ``val``, its names
are taken instead of open_clip's."""


class ZeroShot(Task):
    """The images of a folder per class; ImageNet's have names like n01440764, and a file says of what."""

    metric, guess = TOP_1, "1 / classes"

    def __init__(self, dataset: str, get: str, where: str) -> None:
        self.title, self.get, self._where = f"{dataset} zero-shot", get, where

    def read(self, settings: Profile) -> Dataset:
        """Return the images with their classes."""
        root = source.folder(settings, self.get, self._where)
        rows = folders.load(root)
        names = rows.features["label"].names
        return folders.load(root, imagenet_names(root, names)) if is_imagenet(rows) else rows

    def texts(self, rows: Dataset) -> list[str]:
        """Return the prompts of all classes."""
        return [text for texts in prompts(class_names(rows), templates_of(rows)) for text in texts]

    def score(self, scorer: Scorer, rows: Dataset, *images: Features) -> Frames:
        """Return the answers to ``answers``."""
        return {self.title: answers(scorer, rows, images[0], templates_of(rows))}

    def chance(self, rows: Dataset) -> dict[tuple[str, str], float]:
        """Return one among the classes."""
        return {(self.title, TOP_1): 1 / len(class_names(rows))}

    def shares(self, title: str, frame: pd.DataFrame, report: Report) -> list[Record]:
        """Return top-1 accuracy and mean per-class accuracy."""
        mean = per_class(frame, resamples=report.resamples, seed=report.seed)
        return [*report.shares(frame, title, TOP_1), report.record(title, PER_CLASS, mean)]


def is_imagenet(rows: Dataset) -> bool:
    """Whether the folders have WordNet's numbers as names, as ImageNet's own have."""
    return all(WNID.fullmatch(name) for name in rows.features["label"].names)


def templates_of(rows: Dataset) -> tuple[str, ...]:
    """The prompt for the classes of ``rows``: LITERAL for ImageNet's own, else TEMPLATES."""
    return LITERAL if is_imagenet(rows) else TEMPLATES


def imagenet_names(root: Path, names: Sequence[str]) -> dict[str, str]:
    """The class name of every folder of ImageNet: open_clip's, or those of CLASS_NAMES where that file is there.

    Raises NegutilError if not all 1,000 folders are there and no file names the classes.
    """
    if (root / CLASS_NAMES).exists():
        return names_from(root / CLASS_NAMES, "imagenet1k", names)
    known = architectures.open_clip().zero_shot_metadata.IMAGENET_CLASSNAMES
    if len(names) != len(known):
        raise NegutilError(
            f"{root} has {len(names)} of ImageNet's {len(known)} class folders; add the others, or name the classes in "
            f"{root / CLASS_NAMES}."
        )
    return dict(zip(sorted(names), known, strict=True))


def answers(scorer: Scorer, rows: Dataset, images: Features, templates: Sequence[str] = TEMPLATES) -> pd.DataFrame:
    """Return one row per image of ``rows`` (from `negutil.data.folders`) with the features ``images`` [N, D].

    Columns: item and cluster (the file's name), type (the right class, by its folder), chosen (likewise, "" for a tie),
    right, tie, margin (the right class's score minus the best other one). Each template has ``{name}``, or
    ``{a_name}`` for the name with its article. Classes of the same name always tie. Raises NegutilError for a template
    with neither.
    """
    by_class = prompts(class_names(rows), templates)
    flat, shape = [text for texts in by_class for text in texts], (len(by_class), len(templates), -1)
    if isinstance(scorer, Cosine):
        each = scorer.features(flat).reshape(shape)
        mean = each.mean(axis=1)
        classes = each[:, 0] if len(templates) == 1 else mean / np.linalg.norm(mean, axis=1, keepdims=True)
        # Classes with the same features get exactly the same scores, so that they tie.
        different, inverse = np.unique(classes, axis=0, return_inverse=True)
        values: Floats = (images.astype(float) @ different.astype(float).T)[:, inverse.ravel()]
    else:
        values = scorer.matrix(flat, images).reshape(shape).mean(axis=1).T
    labels, files = np.array(rows["label"][:]), rows["file_name"][:]
    table = mcq.items(values, labels)
    names = np.array([*rows.features["label"].names, ""], dtype=object)
    facts = {"item": files, "cluster": files, "type": names[labels], "chosen": names[table["chosen"]]}
    return pd.DataFrame(facts).assign(right=table["right"], tie=table["chosen"] < 0, margin=table["margin"])


def per_class(table: pd.DataFrame, *, resamples: int = statistics.RESAMPLES, seed: int = 0) -> Interval:
    """Return the mean over classes of the share of right answers; images are resampled within their class.

    To draw n images of a class again, k of them right, is to draw a binomial number of right ones. Where all or none
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
    for template in templates:
        if "{name}" not in template and "{a_name}" not in template:
            raise NegutilError(f"The prompt '{template}' names no class; write {{name}} or {{a_name}} in it.")
    return [[each.format(name=name, a_name=english.with_article(name)) for each in templates] for name in names]


def names_from(path: Path, dataset: str, folders: Sequence[str]) -> dict[str, str]:
    """Return the class name of every folder, from CLIP_benchmark's en_classnames.json.

    The file lists the names of ``dataset`` ("imagenet1k", ...) in the order of its classes, which is that of ImageNet's
    sorted folder names. Raises NegutilError if the file is damaged or has another number of names.
    """
    try:
        names = json.loads(path.read_text(encoding="utf-8"))[dataset]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise NegutilError(f"{path} has no class names of '{dataset}' ({problem!r}); fetch it again.") from problem
    if len(names) != len(folders):
        raise NegutilError(f"{path} names {len(names)} classes of '{dataset}', but there are {len(folders)} folders.")
    return dict(zip(sorted(folders), names, strict=True))


TASKS = (
    ZeroShot("ImageNet", "imagenet", "get ImageNet's validation images (val/<wnid>/*.JPEG) at image-net.org"),
    ZeroShot("Caltech101", "caltech101", "get 101_ObjectCategories at data.caltech.edu/records/mzrjq-6wc02"),
)
