"""NegBench's own format from file to table: 30 published questions about 17 photographs.

The model is a ViT-B-32 with random weights, so its accuracy is chance: a quarter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from negutil import data, results
from negutil.data import negbench
from negutil.models import architectures, encode, scorer
from negutil.models.loader import LoadedModel
from negutil.models.registry import Entry
from negutil.results import Record
from negutil.tasks import blind, mcq

ARCHITECTURE = "ViT-B-32-quickgelu"
CHANCE = 0.25


def at_random(preference: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """The chance [N] that each question is answered rightly if a tie at the top is broken at random."""
    top = preference == preference.max(axis=1, keepdims=True)
    return top[np.arange(len(top)), np.asarray(correct)] / top.sum(axis=1)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    entry = Entry("random", ARCHITECTURE, "quick_gelu", "", 224, "random weights", path="none")
    module = architectures.open_clip()
    torch.manual_seed(0)
    return LoadedModel(
        model=architectures.build(ARCHITECTURE).eval(),
        preprocess=module.transform.image_transform_v2(module.transform.PreprocessCfg(**entry.preprocessing), False),
        tokenizer=module.get_tokenizer(ARCHITECTURE),
        entry=entry,
        dtype=torch.float32,
        device="cpu",
        fingerprint={"weights_sha256": "random, seed 0"},
    )


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> pd.DataFrame:
    folder = shared_data / "negbench_simple30"
    dataset = negbench.load(folder / "mcq_simple.csv", folder)
    assert data.report(dataset).left_out == ()
    return pd.DataFrame({name: dataset[name][:] for name in dataset.column_names})


def evaluate(model: LoadedModel, rows: pd.DataFrame) -> pd.DataFrame:
    """From the rows of the file to one row per question; each different photograph is encoded once."""
    names, photograph = np.unique(rows["file_name"], return_inverse=True)
    pictures = [rows["image"][int(np.flatnonzero(photograph == number)[0])] for number in range(len(names))]
    images = encode.images(model, pictures, cached=False)[photograph]
    values = mcq.scores_by(scorer.of(model), rows["options"].tolist(), images)
    return mcq.items(values, rows["correct"].to_numpy(), rows["template"].tolist())


def test_from_file_to_table_and_the_same_numbers_twice(model: LoadedModel, rows: pd.DataFrame) -> None:
    assert (len(rows), rows["file_name"].nunique()) == (30, 17)
    items = evaluate(model, rows)
    assert items.equals(evaluate(model, rows))
    found = mcq.accuracy(items, rows["file_name"])
    records = [
        Record.of(interval, experiment="simple30", task="MCQ", model=model.name, metric=name)
        for name, interval in found.items()
    ]
    results.save(records, "quick", "simple30", "mcq")
    table = results.load("quick", "simple30", "mcq").set_index("metric")
    assert set(table.index) == {"total", "positive", "negative", "hybrid", "macro"}
    assert table["n"].to_dict() == {"total": 30, "positive": 10, "negative": 10, "hybrid": 10, "macro": 30}
    assert (table["ci_over"] == "clusters").all()
    # Ten questions of each type, so the mean over types is that over questions.
    assert table.loc["macro", "value"] == pytest.approx(table.loc["total", "value"])
    assert table.loc["total", "value"] == pytest.approx(found["total"].value, abs=1e-6)
    assert found["total"].low <= CHANCE <= found["total"].high
    assert mcq.confusion(items).to_numpy().sum() == 30


def test_the_blind_baselines_of_the_same_questions(rows: pd.DataFrame) -> None:
    options, correct = rows["options"].tolist(), rows["correct"].to_numpy()
    types = rows["template"].to_numpy()
    # Positive questions have two captions without a cue, the others one, which is wrong.
    assert (mcq.choose(blind.preferences("without cue", options))[types != "positive"] == 2).all()
    random = at_random(blind.preferences("without cue", options), correct)
    assert random[types == "positive"].tolist() == [0.5] * 10
    assert random[types != "positive"].sum() == 0
    chosen = mcq.choose(blind.bag_of_words_preferences(options, correct, rows["file_name"]))
    assert chosen.shape == (30,)
    assert set(chosen) <= {-1, 0, 1, 2, 3}
