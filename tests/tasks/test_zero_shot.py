from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import model_files
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from PIL import Image
from sklearn.metrics import accuracy_score, recall_score

from negutil.data import folders
from negutil.errors import NegutilError
from negutil.models import encode, loader, scorer
from negutil.models.loader import LoadedModel
from negutil.models.pictures import PictureFiles
from negutil.tasks import Report, zero_shot

COUNTS = {"apple": 3, "cat": 2, "dog": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return loader.load_entry(model_files.write(tmp_path_factory.mktemp("weights")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = iter(model_files.pictures(6))
    for name, count in COUNTS.items():
        (tmp_path / "val" / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(next(pictures)).save(tmp_path / "val" / name / f"{number}.png")
    return tmp_path


@pytest.fixture
def rows(folder: Path) -> Dataset:
    return folders.load(folder)


def answers(model: LoadedModel, rows: Dataset, templates: Sequence[str] = zero_shot.TEMPLATES) -> pd.DataFrame:
    images = encode.images(model, PictureFiles.of(rows))
    return zero_shot.answers(scorer.of(model), rows, images, templates)


def test_a_picture_goes_to_the_class_with_the_highest_cosine(model: LoadedModel, rows: Dataset) -> None:
    table = answers(model, rows)
    prompts = ["a photo of an apple.", "a photo of a cat.", "a photo of a dog."]
    values = encode.images(model, model_files.pictures(6), cached=False) @ encode.texts(model, prompts).T
    assert table["chosen"].tolist() == [list(COUNTS)[best] for best in values.argmax(axis=1)]
    assert table["type"].tolist() == ["apple"] * 3 + ["cat"] * 2 + ["dog"]
    assert (table["right"] == (table["chosen"] == table["type"])).all()


def test_templates_are_averaged_and_checked(model: LoadedModel, rows: Dataset) -> None:
    single = answers(model, rows, ("A photo of a {name}.",))
    several = answers(model, rows, ("A photo of a {name}.", "{name}", "art of {a_name}"))
    assert not np.allclose(single["margin"], several["margin"])
    repeated = answers(model, rows, ("A photo of a {name}.",) * 3)
    assert np.allclose(single["margin"], repeated["margin"], atol=1e-6)
    with pytest.raises(NegutilError, match="The prompt 'a photo' names no class"):
        answers(model, rows, ("a photo",))


def test_classes_of_the_same_name_tie_and_lose(model: LoadedModel, folder: Path) -> None:
    rows = folders.load(folder, {"apple": "crane", "cat": "crane", "dog": "crane"})
    table = answers(model, rows)
    assert table["tie"].all()
    assert not table["right"].any()
    assert set(table["chosen"]) == {""}


def test_both_accuracies_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    classes = np.array(list("abc"))
    truth = classes[rng.choice(3, 200, p=[0.7, 0.2, 0.1])]
    chosen = np.where(rng.random(200) < np.where(truth == "a", 0.8, 0.3), truth, "other")
    table = pd.DataFrame({"type": truth, "cluster": np.arange(200), "right": chosen == truth})
    top_1, mean = zero_shot.TASKS[0].shares("t", table, Report("e", "m", 500))
    assert top_1.value == pytest.approx(accuracy_score(truth, chosen))
    assert mean.value == pytest.approx(recall_score(truth, chosen, labels=classes, average="macro"))
    assert mean.ci_low is not None
    assert mean.ci_high is not None
    assert mean.ci_low < mean.value < mean.ci_high
    sizes = np.array([(truth == name).sum() for name in classes])
    shares = np.array([(chosen == truth)[truth == name].mean() for name in classes])
    half_width = 1.96 * np.sqrt((shares * (1 - shares) / sizes).sum()) / 3
    assert mean.ci_high - mean.value == pytest.approx(half_width, rel=0.3)


def test_all_right_is_not_certainty() -> None:
    table = pd.DataFrame({"type": list("aabb"), "cluster": range(4), "right": True})
    found = zero_shot.per_class(table)
    assert found.value == 1.0
    assert found.low < 0.8


def test_names_of_the_published_classes(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "classnames" / "clip_benchmark_en_classnames.json"
    ids = [f"n{number:08d}" for number in range(1000)]
    names = zero_shot.names_from(path, "imagenet1k", ids[::-1])
    assert (names["n00000000"], names["n00000999"]) == ("tench", "toilet paper")
    with pytest.raises(NegutilError, match="names 1000 classes of 'imagenet1k', but there are 999 folders"):
        zero_shot.names_from(path, "imagenet1k", ids[1:])
    with pytest.raises(NegutilError, match="no class names of 'imagenet9k'"):
        zero_shot.names_from(path, "imagenet9k", ids)
    with pytest.raises(NegutilError, match="fetch it again"):
        zero_shot.names_from(tmp_path / "none.json", "imagenet1k", ids)


def test_imagenet_takes_the_names_of_open_clip_and_the_literal_prompt(shared_data: Path, tmp_path: Path) -> None:
    ids = [f"n{number:08d}" for number in range(1000)]
    names = zero_shot.imagenet_names(tmp_path, ids)
    published = shared_data / "classnames" / "clip_benchmark_en_classnames.json"
    assert names == zero_shot.names_from(published, "imagenet1k", ids)
    said = [texts[0] for texts in zero_shot.prompts(list(names.values()), zero_shot.LITERAL)]
    ours = [texts[0] for texts in zero_shot.prompts(list(names.values()))]
    assert "a photo of a American robin." in said
    assert sum(one != other for one, other in zip(said, ours, strict=True)) > 50
