"""Asking glasses on a very small world: what each part is, that answers are kept, and where they go."""

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
from negutil.compare import clipglasses_controls, clipglasses_items, glasses_parts
from negutil.compare import negationclip_items as asked
from negutil.compare.clipglasses_controls import GOLD, PIXELS, Asking
from negutil.config import Profile, Splits
from negutil.errors import NegutilError
from negutil.models import glasses_model, glasses_settings, registry
from negutil.models.glasses import Glasses
from negutil.tasks import ccneg, suite

PAIR = "tiny+clipglasses-ccneg/seed0"
FEW = {suite.CCNEG, ccneg.REVERSED, ccneg.BOTH, asked.MCQ, clipglasses_items.FAR, clipglasses_items.SIGNED}


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
    return clipglasses_items.ask(Asking(model, part, change), asked.prepare(settings), settings)


def test_each_part_is_about_its_tasks(settings: Profile) -> None:
    few = answers(settings, clipglasses_items.FEW)
    assert set(few["task"]) == FEW
    wide = {task: own["value"].to_numpy() for task, own in few.groupby("task")}
    np.testing.assert_allclose(wide[clipglasses_items.FAR], np.abs(wide[clipglasses_items.SIGNED]))
    np.testing.assert_array_equal(wide[clipglasses_items.SIGNED] > 0, wide[suite.CCNEG] == 1)
    assert set(answers(settings, clipglasses_items.ZERO_SHOT)["task"]) == {suite.IMAGENET, suite.CALTECH101}
    assert set(answers(settings, clipglasses_items.RETRIEVAL)["task"]) == {asked.NEGATED_RETRIEVAL}


def test_parts_agree_with_everything(settings: Profile) -> None:
    everything = answers(settings, clipglasses_items.ALL).set_index(["task", "item"])["value"]
    for part in (clipglasses_items.FEW, clipglasses_items.ZERO_SHOT, clipglasses_items.RETRIEVAL):
        own = answers(settings, part).set_index(["task", "item"])["value"]
        np.testing.assert_allclose(everything.loc[own.index], own, atol=1e-3)


def test_clip_s_far_is_in_logits_and_pixels_matter(settings: Profile) -> None:
    plain, raw = (answers(settings, clipglasses_items.CCNEG, change, "tiny") for change in ("", PIXELS))
    far = [own.loc[own["task"] == clipglasses_items.FAR, "value"].mean() for own in (plain, raw)]
    assert far[0] > 0
    assert abs(far[0] - far[1]) > 1e-6


def test_values_stand_where_their_items_are_and_are_kept(settings: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    askings = [
        Asking(PAIR, clipglasses_items.FEW),
        Asking(PAIR, clipglasses_items.RETRIEVAL),
        Asking(PAIR, clipglasses_items.RETRIEVAL, GOLD),
        Asking("tiny", clipglasses_items.CCNEG),
    ]
    found = clipglasses_items.values(settings, ["tiny"], askings)
    assert found.loc[found["task"] == clipglasses_items.FAR, ["tiny", PAIR]].notna().to_numpy().all()
    assert set(found.loc[found[PAIR].notna(), "task"]) == FEW | {asked.NEGATED_RETRIEVAL}
    assert set(found.loc[found[f"{PAIR}|{GOLD}"].notna(), "task"]) == {asked.NEGATED_RETRIEVAL}
    few = answers(settings, clipglasses_items.FEW)
    own = found.set_index(["task", "item"])[PAIR].reindex(list(zip(few["task"], few["item"], strict=True)))
    np.testing.assert_allclose(own, few["value"], atol=1e-5)
    monkeypatch.setattr(clipglasses_items, "ask", None)
    pd.testing.assert_frame_equal(clipglasses_items.values(settings, ["tiny"], askings), found)


def test_the_mask_is_asked_about_texts_with_and_without_a_negation(
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
    askings = [Asking("tiny", clipglasses_items.CCNEG)]
    clipglasses_items.values(settings, ["tiny"], askings)
    stray = pd.DataFrame({"task": ["a"], "item": ["1"], "value": [1.0]})
    monkeypatch.setattr(clipglasses_items, "_load", lambda store, fields: stray)
    with pytest.raises(NegutilError, match="is no item of the benchmarks"):
        clipglasses_items.values(settings, ["tiny"], askings)
