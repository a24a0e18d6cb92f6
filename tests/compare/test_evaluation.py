"""Glasses evaluated on a very small world: what each part is, that values are cached, and where they go."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import glasses_files
import numpy as np
import pandas as pd
import pytest
import torch

from miniworld.writers import ccneg as ccneg_writer
from negutil import config
from negutil.compare import clipglasses_controls, evaluation, glasses_parts
from negutil.compare.clipglasses_controls import GOLD, PIXELS
from negutil.compare.evaluation import Evaluation
from negutil.config import Profile, Splits
from negutil.errors import NegutilError
from negutil.models import glasses_model, glasses_settings, registry
from negutil.models.glasses import Glasses
from negutil.tasks import ccneg, suite

PAIR = "tiny+clipglasses-ccneg/seed0"
FEW = {suite.CCNEG, ccneg.REVERSED, ccneg.BOTH, evaluation.MCQ, evaluation.FAR, evaluation.SIGNED}


@pytest.fixture(scope="module")
def settings() -> Profile:
    quick = config.load("quick")
    sizes: dict[str, Any] = {
        "scenes": Splits(40, 4, 60),
        "voc": Splits(0, 0, 4),
        "imagenet": Splits(0, 80, 0),
        "caltech101": Splits(0, 0, 80),
        "refcocog": Splits(4, 4, 30),
        "ccneg": Splits(4, 0, 12),
        "clips": Splits(0, 0, 2),
        "shapes": Splits(8, 2, 2),
    }
    world = dataclasses.replace(quick.world, **sizes)
    glasses = dataclasses.replace(quick.glasses, processes=1)
    plan = dataclasses.replace(quick.finetuning, processes=1)
    return dataclasses.replace(quick, models=("tiny",), world=world, glasses=glasses, finetuning=plan)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clipglasses")


@pytest.fixture(autouse=True)
def own_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache for this module alone, a registry with a tiny model, and a pair of glasses for it."""
    monkeypatch.setenv("NEGUTIL_CACHE", str(folder / "cache"))
    monkeypatch.setattr(ccneg_writer, "POOL", 4)
    model = glasses_files.model(folder / "weights")
    monkeypatch.setattr(registry, "find", lambda name: {"tiny": model.entry}[name])
    out = glasses_model.folder(PAIR, "quick")
    if not (out / glasses_model.ABOUT).exists():
        torch.manual_seed(3)
        modules = glasses_settings.paper(16, mask="always")
        about = {"identity": {"base": "tiny", "base_sha256": model.fingerprint["weights_sha256"]}, "examples": 8}
        about |= {"modules": dataclasses.asdict(modules), "scale": 20.0}
        glasses_model.write(out, Glasses(modules, 20.0).state_dict(), pd.DataFrame({"epoch": [0]}), about)


def answers(settings: Profile, part: str, change: str = "", model: str = PAIR) -> pd.DataFrame:
    data = evaluation.prepare(settings)
    loaded = clipglasses_controls.load(Evaluation(model, part, change), data, settings)
    return evaluation.evaluate(loaded, data, settings, part)


def test_each_part_is_about_its_tasks(settings: Profile) -> None:
    few = answers(settings, evaluation.FEW)
    assert set(few["task"]) == FEW
    wide = {task: own["value"].to_numpy() for task, own in few.groupby("task")}
    np.testing.assert_allclose(wide[evaluation.FAR], np.abs(wide[evaluation.SIGNED]))
    np.testing.assert_array_equal(wide[evaluation.SIGNED] > 0, wide[suite.CCNEG] == 1)
    assert set(answers(settings, evaluation.ZERO_SHOT)["task"]) == {suite.IMAGENET, suite.CALTECH101}
    assert set(answers(settings, evaluation.RETRIEVAL)["task"]) == {evaluation.NEGATED_RETRIEVAL}


def test_a_part_without_data_has_no_rows(settings: Profile) -> None:
    data = dataclasses.replace(evaluation.prepare(settings), benchmarks={})
    model = clipglasses_controls.load(Evaluation(PAIR, evaluation.ZERO_SHOT), data, settings)
    found = evaluation.evaluate(model, data, settings, evaluation.ZERO_SHOT)
    assert found.empty and list(found) == [*evaluation.COLUMNS, "value"]


def test_parts_agree_with_everything(settings: Profile) -> None:
    everything = answers(settings, evaluation.ALL).set_index(["task", "item"])["value"]
    for part in (evaluation.FEW, evaluation.ZERO_SHOT, evaluation.RETRIEVAL):
        own = answers(settings, part).set_index(["task", "item"])["value"]
        np.testing.assert_allclose(everything.loc[own.index], own, atol=1e-3)


def test_clip_s_far_is_in_logits_and_pixels_matter(settings: Profile) -> None:
    plain, raw = (answers(settings, evaluation.CCNEG, change, "tiny") for change in ("", PIXELS))
    far = [own.loc[own["task"] == evaluation.FAR, "value"].mean() for own in (plain, raw)]
    assert far[0] > 0
    assert abs(far[0] - far[1]) > 1e-6


def test_values_stand_where_their_items_are_and_are_kept(settings: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations = [
        Evaluation("tiny"),
        Evaluation(PAIR, evaluation.FEW),
        Evaluation(PAIR, evaluation.RETRIEVAL),
        Evaluation(PAIR, evaluation.RETRIEVAL, GOLD),
        Evaluation("tiny", evaluation.CCNEG),
    ]
    found = evaluation.items(settings, evaluations, clipglasses_controls.load)
    assert found.loc[found["task"] == evaluation.FAR, ["tiny", PAIR]].notna().to_numpy().all()
    assert set(found.loc[found[PAIR].notna(), "task"]) == FEW | {evaluation.NEGATED_RETRIEVAL}
    assert set(found.loc[found[f"{PAIR}|{GOLD}"].notna(), "task"]) == {evaluation.NEGATED_RETRIEVAL}
    few = answers(settings, evaluation.FEW)
    own = found.set_index(["task", "item"])[PAIR].reindex(list(zip(few["task"], few["item"], strict=True)))
    np.testing.assert_allclose(own, few["value"], atol=1e-5)
    monkeypatch.setattr(evaluation, "evaluate", None)
    again = evaluation.items(settings, evaluations, clipglasses_controls.load)
    pd.testing.assert_frame_equal(again, found)


def test_the_mask_is_measured_on_texts_with_and_without_a_negation(
    settings: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    found = glasses_parts.mask(settings).set_index("task")
    said = glasses_parts.texts(settings)
    assert list(found.index) == list(said) == [glasses_parts.PROMPTS, glasses_parts.AFFIRMED, glasses_parts.NEGATED]
    assert list(found["n"]) == [len(texts) for texts in said.values()]
    model = clipglasses_controls.glasses(PAIR, settings)
    for kind, texts in said.items():
        assert found["value"][kind] == pytest.approx(np.mean(clipglasses_controls.masked(model, texts)))
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    assert (tmp_path / "quick" / "06_clipglasses" / "mask.csv").exists()


def test_an_item_that_nobody_knows_is_refused(settings: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations = [Evaluation("tiny"), Evaluation(PAIR, evaluation.CCNEG)]
    evaluation.items(settings, evaluations, clipglasses_controls.load)
    cached = evaluation._cached

    def stray(fields: dict[str, str], columns: list[str] | None = None) -> pd.DataFrame:
        return cached(fields, columns).assign(item="1") if columns else cached(fields)

    monkeypatch.setattr(evaluation, "_cached", stray)
    with pytest.raises(NegutilError, match="was evaluated on other items"):
        evaluation.items(settings, evaluations, clipglasses_controls.load)
