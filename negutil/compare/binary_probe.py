"""Notebook 02: the binary probe on CelebA's attributes, on every model of a profile (NegationCLIP Sec. 2.1).

``probe`` has the metrics; the claims and their tests are in configs/claims.toml.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from datasets import Dataset

from negutil import results, tables
from negutil.captions import probe_prompts
from negutil.captions.probe_prompts import ALONE
from negutil.config import Profile
from negutil.data import celeba, skipped, source
from negutil.data.source import Example
from negutil.models import encode, loader
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.tasks import probe
from negutil.tasks.probe import MEAN, MEAN_WITH_ANTONYM

EXPERIMENT, FACES = "02_binary_probe", "CelebA"


@dataclass(frozen=True, slots=True)
class Findings:
    """What ``run`` leaves for the notebook: the table of every model (first column model) and each model's items."""

    table: pd.DataFrame
    items: dict[str, pd.DataFrame]
    skipped: tuple[str, ...]


def load_faces(settings: Profile, split: str = "test") -> Dataset:
    """The faces of ``split`` with one bool column per attribute; raises NegutilError if the folder is wrong."""
    with skipped.reading(settings, FACES, "celeba"):
        return celeba.load(source.folder(settings, "celeba"), split=split)


def labels_of(faces: Dataset) -> pd.DataFrame:
    """The attributes of ``faces`` that are probed: a bool column each, a row per face."""
    names = dict.fromkeys(pair.attribute for pair in probe_prompts.read_prompts())
    return pd.DataFrame({name: faces[name][:] for name in names if name in faces.column_names})


def features(
    model: LoadedModel, faces: Dataset, prompts: Sequence[str], settings: Profile
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features [N, D] of the faces, and those [D] of each prompt."""
    texts = encode.texts(model, prompts, batch=settings.encode.batch)
    images = encode.images(model, PictureFiles.of(faces), batch=settings.encode.batch)
    return images, dict(zip(prompts, texts, strict=True))


def run(settings: Profile, seed: int = 0) -> Findings:
    """Probe every model of the profile on the test faces; writes the table ``probe`` and each model's per-item scores.

    ``seed`` moves the resamples of the intervals. Raises NegutilError if faces or models are missing.
    """
    pairs, faces = probe_prompts.read_prompts(), load_faces(settings)
    labels, prompts = labels_of(faces), probe_prompts.texts(pairs)
    bootstrap = dataclasses.asdict(settings.bootstrap.moved(seed))
    outcomes: dict[str, probe.Outcome] = {}
    for name in settings.models:
        model = loader.load(name)
        images, texts = features(model, faces, prompts, settings)
        outcomes[name] = probe.evaluate(pairs, labels, images, texts, **bootstrap)
        results.save_items(outcomes[name].items, settings.name, EXPERIMENT, f"items_{name}")
    records = [record for name, found in outcomes.items() for record in probe.records(found, EXPERIMENT, name)]
    results.save(records, settings.name, EXPERIMENT, "probe", seed=seed, faces=len(faces))
    skipped.save(settings, EXPERIMENT)
    table = pd.concat([found.table.assign(model=name) for name, found in outcomes.items()], ignore_index=True)
    items = {name: found.items for name, found in outcomes.items()}
    first = outcomes[settings.models[0]]
    return Findings(table[["model", *table.columns.drop("model")]], items, first.skipped)


def means(table: pd.DataFrame, group: str = MEAN) -> pd.DataFrame:
    """Means over attributes as texts with intervals: a row per model and phrasing, a column per metric."""
    rows = table[table["attribute"] == group].rename(columns=tables.BOUNDS)
    return tables.pivot(rows, ["model", "phrasing"]).fillna("")


def attributes(table: pd.DataFrame, model: str, phrasing: str = "not") -> pd.DataFrame:
    """One model's metrics with intervals: a row per attribute, a column per metric; the mean comes last."""
    rows = table[(table["model"] == model) & (table["phrasing"] == phrasing)]
    rows = rows[rows["attribute"] != MEAN_WITH_ANTONYM].rename(columns=tables.BOUNDS)
    return tables.pivot(rows, "attribute", digits=2)


def prompts_table() -> pd.DataFrame:
    """All prompts, a row per attribute: the affirmative one, the negated ones, and the antonym where there is one."""
    pairs = [pair for pair in probe_prompts.read_prompts() if pair.phrasing != ALONE]
    rows = [(pair.attribute, pair.affirmative, pair.phrasing, pair.other) for pair in pairs]
    tall = pd.DataFrame(rows, columns=["attribute", "affirmative", "phrasing", "prompt"])
    wide = tall.pivot(index=["attribute", "affirmative"], columns="phrasing", values="prompt")
    return wide[tall["phrasing"].unique()].fillna("").reset_index().rename_axis(columns=None)


def prevalence(labels: pd.DataFrame) -> pd.DataFrame:
    """Share of the faces with each attribute that varies, the commonest first."""
    shares = labels.mean().sort_values(ascending=False, kind="stable")
    varying = shares[(shares > 0) & (shares < 1)]
    return pd.DataFrame({"attribute": varying.index, "share of the faces": varying.to_numpy()})


def examples(faces: Dataset, names: Sequence[str], each: int = 8) -> list[Example]:
    """Images of ``each`` faces for every attribute in ``names``: half of them with it, then half without."""
    shown: list[Example] = []
    for name in names:
        flags = np.array(faces[name][:])
        for there in (True, False):
            rows = np.flatnonzero(flags == there)[: each // 2].tolist()
            title = f"{name.replace('_', ' ')}: {'yes' if there else 'no'}"
            shown += [Example(np.asarray(picture), title) for picture in faces.select(rows)["image"]]
    return shown
