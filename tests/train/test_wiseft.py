"""Fine-tuned models on disk and in memory: loaded by name, refused where they do not fit, interpolated."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import finetune_files
import model_files
import numpy as np
import pytest
import torch

from negutil.errors import NegutilError
from negutil.models import encode, loader, registry, text_tower, trained
from negutil.models.loader import LoadedModel
from negutil.models.trained import Trained
from negutil.train import wiseft
from negutil.train.finetune import finetune

NAME = "tiny+infonce/seed0"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """The tiny model, which the registry of this test knows by its name."""
    found = finetune_files.model(tmp_path / "base")
    monkeypatch.setattr(registry, "find", lambda name: found.entry)
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    return found


@pytest.fixture
def found(base: LoadedModel) -> Trained:
    return finetune(base, finetune_files.examples(), finetune_files.CONFIG, trained.folder(NAME, "quick"))


@pytest.fixture
def tuned(found: Trained) -> LoadedModel:
    return loader.load(NAME, profile="quick")


def test_a_finished_fine_tuning_is_a_model_with_a_name(base: LoadedModel, found: Trained, tuned: LoadedModel) -> None:
    assert (found.name, tuned.name, found.base) == (NAME, NAME, "tiny")
    assert trained.names("quick") == [NAME]
    assert trained.names("mini") == []
    tensors, ids = trained.tensors(found)
    state, before = text_tower.state(tuned.model), text_tower.state(base.model)
    assert torch.equal(state[text_tower.EMBEDDING][ids], tensors[text_tower.EMBEDDING])
    others = torch.ones(49408, dtype=torch.bool)
    others[ids] = False
    assert torch.equal(state[text_tower.EMBEDDING][others], before[text_tower.EMBEDDING][others])
    assert all(torch.equal(state[name], value) for name, value in tensors.items() if name != text_tower.EMBEDDING)
    assert (found.folder / trained.TENSORS).stat().st_size < 100_000, "tokens that do not occur are not stored"


def test_its_texts_differ_from_the_base_and_its_images_do_not(base: LoadedModel, tuned: LoadedModel) -> None:
    pictures = model_files.pictures()
    assert np.array_equal(encode.images(base, pictures), encode.images(tuned, pictures, cached=False))
    assert np.abs(encode.texts(base, model_files.TEXTS) - encode.texts(tuned, model_files.TEXTS)).max() > 1e-2
    assert tuned.fingerprint["image_tower_sha256"] == base.fingerprint["image_tower_sha256"]
    assert tuned.fingerprint["weights_sha256"] != base.fingerprint["weights_sha256"]


def test_other_base_weights_are_refused(found: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    other = model_files.write(tmp_path / "other", model_files.state(seed=1))
    monkeypatch.setattr(registry, "find", lambda name: other)
    with pytest.raises(NegutilError, match=r"seed0 was fine-tuned from 'tiny' with sha256 .* fine-tune again"):
        loader.load(NAME, profile="quick")


def test_names_that_are_none(found: Trained) -> None:
    with pytest.raises(NegutilError, match=r"no fine-tuned model 'tiny\+clip/seed0' .*there are: tiny\+infonce/seed0"):
        loader.load("tiny+clip/seed0", profile="quick")
    for name in ("tiny+../seed0", "tiny+infonce", "/tiny+x/y", "tiny+a/b/c"):
        with pytest.raises(NegutilError, match="is not the name of a fine-tuned model"):
            trained.folder(name, "quick")
    found.folder.parent.rename(found.folder.parent.with_name("small+infonce"))
    with pytest.raises(NegutilError, match="was fine-tuned from 'tiny'; rename it"):
        loader.load("small+infonce/seed0", profile="quick")


def test_damaged_files_are_named(found: Trained) -> None:
    file = found.folder / trained.TENSORS
    whole = file.read_bytes()
    file.write_bytes(whole[:-4])
    with pytest.raises(NegutilError, match=r"text_tower\.safetensors is not the file that was written"):
        loader.load(NAME, profile="quick")
    file.write_bytes(whole)
    (found.folder / trained.ABOUT).write_text(json.dumps({"sha256": "00"}))
    with pytest.raises(NegutilError, match=r"trained\.json does not describe a fine-tuning"):
        loader.load(NAME, profile="quick")
    (found.folder / trained.ABOUT).write_text("{")
    with pytest.raises(NegutilError, match=r"trained\.json cannot be read"):
        loader.load(NAME, profile="quick")


def test_a_fine_tuned_model_is_not_fine_tuned_again(tuned: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="is fine-tuned already"):
        finetune(tuned, finetune_files.examples(), finetune_files.CONFIG, tmp_path / "twice")


def test_interpolation_ends_at_both_models(base: LoadedModel, tuned: LoadedModel) -> None:
    for alpha, end in ((0, base), (1, tuned)):
        mixed = wiseft.interpolate(base, tuned, alpha)
        assert mixed.name == f"{NAME}@{alpha}"
        assert mixed.fingerprint == end.fingerprint, "its features are in the cache already"
        assert mixed.model is end.model


def test_interpolation_mixes_every_weight_of_the_text_tower(base: LoadedModel, tuned: LoadedModel) -> None:
    before = {name: value.clone() for name, value in tuned.model.state_dict().items()}
    mixed = wiseft.interpolate(base, tuned, 0.3)
    ends = text_tower.state(base.model), text_tower.state(tuned.model)
    for name, value in text_tower.state(mixed.model).items():
        assert torch.allclose(value, ends[0][name] + 0.3 * (ends[1][name] - ends[0][name]), atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in tuned.model.state_dict().items())
    digests = {wiseft.interpolate(base, tuned, alpha).fingerprint["weights_sha256"] for alpha in (0, 0.1, 0.2, 0.3, 1)}
    assert len(digests) == 5
    pictures = model_files.pictures()
    assert np.array_equal(encode.images(mixed, pictures, cached=False), encode.images(base, pictures))


def test_what_cannot_be_interpolated(base: LoadedModel, tuned: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"alpha is 1\.5; interpolate between 0"):
        wiseft.interpolate(base, tuned, 1.5)
    (tmp_path / "other").mkdir()
    other = loader.load_entry(model_files.write(tmp_path / "other", model_files.state(seed=1)))
    with pytest.raises(NegutilError, match="was not fine-tuned from"):
        wiseft.interpolate(other, tuned, 0.5)
    longer = dataclasses.replace(base, model=torch.nn.Linear(2, 2))
    with pytest.raises(NegutilError, match="Linear has no text tower like CLIP's"):
        wiseft.interpolate(longer, tuned, 0.5)
