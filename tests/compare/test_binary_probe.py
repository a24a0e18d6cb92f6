"""Notebook 02's part of the package: on the mini world, and on a tiny folder in CelebA's official format."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from miniworld import build, faces
from negutil import config, paths, results
from negutil.captions import probe_prompts
from negutil.compare import binary_probe, claims
from negutil.config import Profile, Splits
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.models import encode, loader
from negutil.results import Record
from negutil.tasks.probe import ALONE, ANTONYM, MEAN, MEAN_WITH_ANTONYM

COUNT = 40


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as CelebA's download has it: 178 x 218 JPEGs, all 40 attributes in use, three splits."""
    folder = tmp_path / "data" / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    rng = np.random.default_rng(0)
    names = [f"{number:06d}.jpg" for number in range(1, COUNT + 11)]
    flags = np.where(rng.random((len(names), 40)) < 0.4, 1, -1)
    rows = [f"{name} {' '.join(f'{flag:2d}' for flag in row)}" for name, row in zip(names, flags, strict=True)]
    header = [str(len(names)), " ".join(faces.CELEBA_ATTRIBUTES)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([*header, *rows]) + "\n")
    split = [f"{name} {2 if index < COUNT else index % 2}" for index, name in enumerate(names)]
    (folder / "list_eval_partition.txt").write_text("\n".join(split) + "\n")
    for name in names:
        pixels = rng.integers(0, 255, size=(218, 178, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name)
    monkeypatch.setenv("NEGUTIL_DATA", str(folder.parent))
    return folder


@pytest.fixture
def settings() -> Profile:
    quick = config.load("quick")
    world = replace(quick.world, faces=Splits(0, 0, 90))
    return replace(quick, models=("toy", "other"), world=world, bootstrap=replace(quick.bootstrap, resamples=50))


@pytest.fixture
def paper(official: Path, settings: Profile) -> Profile:
    """The same settings for the official folder."""
    return replace(settings, published=True)


@pytest.fixture(autouse=True)
def features_from_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that depend on model and content alone, in place of trained models, which are tested elsewhere."""

    def unit(*parts: bytes) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:8], "little")
        values = np.random.default_rng(seed).normal(size=32)
        return (values / np.linalg.norm(values)).astype(np.float32)

    def images(model: str, pictures: object, batch: int) -> np.ndarray:
        return np.stack([unit(model.encode(), np.asarray(picture).tobytes()) for picture in pictures])  # type: ignore[attr-defined]

    def texts(model: str, sentences: list[str], batch: int) -> np.ndarray:
        return np.stack([unit(model.encode(), sentence.encode()) for sentence in sentences])

    monkeypatch.setattr(loader, "load", lambda name: name)
    monkeypatch.setattr(encode, "images", images)
    monkeypatch.setattr(encode, "texts", texts)


def test_a_real_celeba_folder_is_probed_with_all_forty_attributes(official: Path, paper: Profile) -> None:
    found = binary_probe.run(paper)
    saved = results.load("quick", binary_probe.EXPERIMENT, "probe")
    items = pd.read_parquet(paths.results("quick") / binary_probe.EXPERIMENT / "items_toy.parquet")
    assert build.folder("celeba", paper) == official
    assert not found.skipped
    assert set(found.table["attribute"]) == {*faces.CELEBA_ATTRIBUTES, MEAN, MEAN_WITH_ANTONYM}
    assert set(found.table["n"]) == {COUNT}
    assert set(saved["model"]) == {"toy", "other"}
    assert len(saved) == len(found.table)
    assert items["image"].nunique() == COUNT
    row = saved[(saved["task"] == "mean/not") & (saved["metric"] == "balanced_accuracy")]
    assert row["paper_value"].tolist() == [0.608, 0.608]
    own = found.table[(found.table["attribute"] == MEAN) & (found.table["phrasing"] == "not")]
    expected = own[own["metric"] == "balanced_accuracy"].set_index("model")["value"].to_dict()
    assert row.set_index("model")["value"].to_dict() == pytest.approx(expected, rel=1e-5)


def test_the_mini_world_is_probed_where_there_is_no_folder_of_the_users(settings: Profile) -> None:
    found = binary_probe.run(settings)
    assert set(found.skipped) == set(faces.NOT_DRAWN)
    assert set(found.table["n"]) == {90}
    again = binary_probe.run(settings)
    pd.testing.assert_frame_equal(found.table, again.table)


def test_one_missing_picture_is_left_out_and_counted(
    official: Path, paper: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipped, "_noted", {})
    (official / "img_align_celeba" / "000003.jpg").unlink()
    with pytest.raises(NegutilError, match=r"1 of 40 images or clips are not in .*leave their rows out"):
        binary_probe.run(paper)
    found = binary_probe.run(replace(paper, missing="drop"))
    assert set(found.table["n"]) == {COUNT - 1}
    (row,) = pd.read_csv(paths.results("quick") / binary_probe.EXPERIMENT / skipped.FILE).to_dict("records")
    assert (row["what"], row["n"], row["of"]) == (binary_probe.FACES, COUNT - 1, COUNT)


def test_a_damaged_folder_is_named(official: Path, paper: Profile) -> None:
    (official / "list_eval_partition.txt").unlink()
    with pytest.raises(NegutilError, match=r"list_eval_partition\.txt"):
        binary_probe.run(paper)


def test_tables_for_the_notebook(paper: Profile) -> None:
    found = binary_probe.run(paper)
    means = binary_probe.means(found.table)
    assert list(means["phrasing"]) == [ALONE, "not", "without", "no"] * 2
    assert {"model", "phrasing", "tpr", "tnr", "balanced_accuracy", "auc"} <= set(means.columns)
    rows = binary_probe.attributes(found.table, "toy")
    assert len(rows) == 41
    assert rows["attribute"].iloc[-1] == MEAN
    prompts = binary_probe.prompts_table()
    assert len(prompts) == 40
    assert list(prompts.columns) == ["attribute", "affirmative", "not", "without", "no", "antonym"]


def test_examples_show_faces_with_and_without(paper: Profile) -> None:
    rows = binary_probe.load_faces(paper)
    shown = binary_probe.examples(rows, ["Eyeglasses", "Bald"], each=4)
    assert [example.caption for example in shown] == ["Eyeglasses: yes"] * 2 + ["Eyeglasses: no"] * 2 + [
        "Bald: yes"
    ] * 2 + ["Bald: no"] * 2
    assert all(example.picture.shape == (218, 178, 3) for example in shown)
    shares = binary_probe.prevalence(binary_probe.labels_of(rows))
    assert len(shares) == 40
    assert shares["share of the faces"].is_monotonic_decreasing


@pytest.fixture
def own_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))


@pytest.mark.usefixtures("own_results")
@pytest.mark.parametrize(
    ("knows", "accuracy", "gain", "expected"),
    [
        (0.95, 0.55, 0.2, [claims.REPLICATED, claims.REPLICATED]),
        (0.95, 0.75, -0.1, [claims.NOT_REPLICATED, claims.NOT_REPLICATED]),
        (0.95, 0.65, 0.01, [claims.INCONCLUSIVE, claims.INCONCLUSIVE]),
        (0.81, 0.55, 0.2, [f"{claims.INCONCLUSIVE}: it cannot show the claim"] * 2),
        (0.95, 0.30, 0.2, [claims.NOT_REPLICATED, claims.REPLICATED]),
    ],
)
def test_verdicts_follow_the_rules(knows: float, accuracy: float, gain: float, expected: list[str]) -> None:
    numbers = {(f"{MEAN}/{ALONE}", "auc"): knows, (f"{MEAN}/not", "balanced_accuracy"): accuracy}
    antonyms = [f"{MEAN_WITH_ANTONYM}/{ANTONYM} minus {name}" for name in ("not", "no")]
    numbers |= {(task, "balanced_accuracy"): gain for task in antonyms}
    records = [
        Record("02_binary_probe", task, "toy", metric, value, 9, value - 0.02, value + 0.02, "items")
        for (task, metric), value in numbers.items()
    ]
    results.save(records, "quick", binary_probe.EXPERIMENT, "probe")
    assert [one.verdict for one in claims.judge(claims.of_notebook("02"), "quick", ["toy"])] == expected


def test_the_prompts_of_every_pair_are_in_the_table() -> None:
    shown = set(binary_probe.prompts_table().iloc[:, 1:].to_numpy().ravel()) - {""}
    assert shown == set(probe_prompts.texts(probe_prompts.read_prompts()))


def test_published_data_that_are_missing_are_asked_for_and_not_made_up(
    settings: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    with pytest.raises(NegutilError, match="celeba has no published data: put CelebA there"):
        binary_probe.run(replace(settings, published=True))
    assert not list(tmp_path.iterdir())
