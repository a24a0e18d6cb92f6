from __future__ import annotations

import copy
import dataclasses
import errno
import os
import signal
from pathlib import Path
from typing import Any

import finetune_files
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from negutil import files, paths
from negutil.errors import NegutilError
from negutil.models import text_tower, trained
from negutil.models.loader import LoadedModel
from negutil.train import examples as example_parts
from negutil.train import finetune as module
from negutil.train import loop, losses
from negutil.train.examples import Examples
from negutil.train.finetune import Trainer, finetune
from negutil.train.settings import METHODS, FinetuneConfig, settings

CONFIG = finetune_files.CONFIG
REPLACE = dataclasses.replace


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return finetune_files.model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def examples() -> Examples:
    return finetune_files.examples()


def content(out: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(out / trained.TENSORS)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_tower_computes_the_features_of_the_model(base: LoadedModel, examples: Examples) -> None:
    trainer = Trainer(base, examples, CONFIG)
    with torch.no_grad():
        found = trainer.tower(trainer.data.tokens[trainer.data.texts["captions"]])
        expected = base.model.encode_text(base.tokenizer(examples.captions))
    assert torch.allclose(found, expected, atol=1e-5)
    assert len(trainer.data.ids) < 100, "the embedding holds the tokens that occur alone"


@pytest.mark.parametrize("chunks", [1, 3, 48])
def test_the_tower_has_the_gradients_of_the_model(base: LoadedModel, examples: Examples, chunks: int) -> None:
    trainer = Trainer(base, examples, REPLACE(CONFIG, text_chunks=chunks))
    model = copy.deepcopy(base.model)
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(48, 16)).astype(np.float32))
    (trainer.tower(trainer.data.tokens[trainer.data.texts["captions"]]) * weights).sum().backward()
    (model.encode_text(base.tokenizer(examples.captions)) * weights).sum().backward()
    expected = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    expected[text_tower.EMBEDDING] = expected[text_tower.EMBEDDING][trainer.data.ids]
    found = {name: value.grad for name, value in trainer.tower.clip.named_parameters() if value.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert torch.allclose(gradient, expected[name], rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("method", METHODS)
def test_every_method_lowers_its_loss(base: LoadedModel, examples: Examples, tmp_path: Path, method: str) -> None:
    config = REPLACE(CONFIG, method=method, epochs=6, keep="lowest validation loss")
    found = finetune(base, examples, config, tmp_path / "run")
    curve = pd.read_csv(found.folder / "curve.csv")
    assert list(curve.columns) == list(module.COLUMNS)
    assert len(curve) == 1 + 6 * 4, "the start, and every step of 36 training examples in batches of 8"
    validation = curve["validation_loss"].dropna()
    assert len(validation) == 7
    assert validation.iloc[1:].min() < validation.iloc[0]
    assert found.about["validation_loss"] == pytest.approx(validation.iloc[1:].min())
    assert found.about["epoch"] == validation.iloc[1:].argmin() + 1
    assert not (found.folder / module.CHECKPOINT).exists()


def full_loss(base: LoadedModel, examples: Examples, config: FinetuneConfig, chosen: list[int]) -> float:
    """The loss over ``chosen`` from features by open_clip itself, one method after the other."""
    with torch.no_grad():
        scale = base.model.logit_scale.exp()

        def texts(sentences: list[str], normalize: bool = True) -> torch.Tensor:
            encoded: torch.Tensor = base.model.encode_text(base.tokenizer(sentences), normalize=normalize)
            return encoded

        images = torch.from_numpy(examples.images[examples.rows[chosen]])
        captions = texts([examples.captions[i] for i in chosen])
        negated = texts([(examples.negatives or [])[i] for i in chosen])
        if config.method == "con-clip":
            assert examples.distractors is not None
            others = torch.from_numpy(examples.images[examples.distractors[chosen]])
            return losses.con_clip(images, others, captions, negated, scale).item()
        if config.method == "clip-bnl":
            return losses.clip_bnl(images, captions, negated).item()
        contrastive = losses.info_nce(images, captions, scale)
        if config.method == "infonce":
            return contrastive.item()
        assert examples.options is not None and examples.correct is not None and examples.lengths is not None
        options = torch.stack([texts(examples.options[i], config.normalise_mcq) for i in chosen])
        if not config.normalise_mcq:
            images = images * torch.from_numpy(examples.lengths[examples.rows[chosen]])[:, None]
        correct = torch.from_numpy(examples.correct[chosen])
        choice = losses.multiple_choice(images, options, correct, scale)
        return losses.weighted(contrastive, choice, config.alpha).item()


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "infonce"},
        {"method": "con-clip"},
        {"method": "clip-bnl"},
        {"method": "negbench", "alpha": 0.5},
        {"method": "negbench", "alpha": 0.5, "normalise_mcq": False},
    ],
)
def test_the_loss_of_a_batch_is_that_of_features_by_open_clip(
    base: LoadedModel, examples: Examples, changes: dict[str, Any]
) -> None:
    config, chosen = REPLACE(CONFIG, **changes), [5, 0, 17, 30]
    found = Trainer(base, examples, config).loss(np.array(chosen)).item()
    assert found == pytest.approx(full_loss(base, examples, config, chosen), rel=1e-5)


def test_hard_images_come_with_their_captions_and_negatives(base: LoadedModel, examples: Examples) -> None:
    trainer = Trainer(base, examples, REPLACE(CONFIG, method="negclip"))
    assert trainer.hard is not None and examples.distractors is not None and examples.negatives is not None
    parts = dict.fromkeys(trainer.train, 0) | dict.fromkeys(trainer.validation, 1)
    assert all(parts[index] == parts[hard] for index, hard in enumerate(trainer.hard)), "none crosses the split"
    available = {
        part: set(examples.rows[list(indices)]) for part, indices in enumerate((trainer.train, trainer.validation))
    }
    for index, hard in enumerate(trainer.hard):
        if examples.distractors[index] in available[parts[index]]:
            assert examples.rows[hard] == examples.distractors[index]
    chosen = trainer.train[:4]
    both = [*chosen, *trainer.hard[chosen]]
    with torch.no_grad():
        captions, negatives = (
            base.model.encode_text(base.tokenizer([texts[i] for i in both]), normalize=True)
            for texts in (examples.captions, examples.negatives)
        )
        images = torch.from_numpy(examples.images[examples.rows[both]])
        expected = losses.neg_clip(images, captions, negatives, base.model.logit_scale.exp()).item()
    assert trainer.loss(chosen).item() == pytest.approx(expected, rel=1e-5)


def test_frozen_groups_stay_and_the_others_move(base: LoadedModel, examples: Examples, tmp_path: Path) -> None:
    groups = tuple(group for group in text_tower.GROUPS if group != "ln_final")
    found = finetune(base, examples, REPLACE(CONFIG, trainable=groups), tmp_path / "run")
    assert found.about["epoch"] == CONFIG.epochs, "the last one, whatever the validation says"
    before, after = text_tower.state(base.model), content(found.folder)
    ids = after.pop(trained.IDS)
    before = before | {text_tower.EMBEDDING: before[text_tower.EMBEDDING][ids]}
    moved = {text_tower.group(name) for name in after if not torch.equal(after[name], before[name])}
    assert moved == set(groups)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("stop_at", [3, 4, 7])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    base: LoadedModel, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    config = REPLACE(CONFIG, original_share=0.3)
    whole = finetune(base, examples, config, tmp_path / "whole")
    step = Trainer.step

    def interrupt(self: Trainer) -> None:
        step(self)
        if self.done == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Trainer, "step", interrupt)
    with pytest.raises(module.Stopped, match=rf"Stopped after step {stop_at} of 8 .* the same call resumes"):
        finetune(base, examples, config, tmp_path / "parts")
    assert trained.find(tmp_path / "parts") is None
    monkeypatch.setattr(Trainer, "step", step)
    parts = finetune(base, examples, config, tmp_path / "parts")
    assert parts.sha256 == whole.sha256
    assert (parts.folder / "curve.csv").read_bytes() == (whole.folder / "curve.csv").read_bytes()


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    base: LoadedModel, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finetune(base, examples, CONFIG, tmp_path / "whole")
    done: list[int] = []
    step = Trainer.step

    def die(self: Trainer) -> None:
        if self.done == 6:
            raise Interrupted
        step(self)

    def count(self: Trainer) -> None:
        done.append(self.done)
        step(self)

    monkeypatch.setattr(Trainer, "step", die)
    with pytest.raises(Interrupted):
        finetune(base, examples, CONFIG, tmp_path / "parts")
    monkeypatch.setattr(Trainer, "step", count)
    assert finetune(base, examples, CONFIG, tmp_path / "parts").sha256 == whole.sha256
    assert done == [4, 5, 6, 7], "the first epoch was not trained again"


def test_every_epoch_but_the_last_ends_with_a_checkpoint(
    base: LoadedModel, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(loop, "write_checkpoint", lambda _, content: saved.append(content["done"]))
    finetune(base, examples, REPLACE(CONFIG, epochs=3), tmp_path)
    assert saved == [4, 8]


def test_a_finished_run_is_reused_and_another_one_is_not_overwritten(
    base: LoadedModel, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = finetune(base, examples, CONFIG, tmp_path)
    other = REPLACE(CONFIG, lr=1e-3)
    with pytest.raises(NegutilError, match=r"was made with lr = 0\.003; choose another folder, or replace it"):
        finetune(base, examples, other, tmp_path)
    with pytest.raises(NegutilError, match="was made with data_sha256"):
        finetune(base, finetune_files.examples(seed=1), CONFIG, tmp_path)
    assert finetune(base, examples, other, tmp_path, replace=True).sha256 != found.sha256
    monkeypatch.setattr(Trainer, "__init__", None)
    assert finetune(base, examples, other, tmp_path).identity["config"]["lr"] == 1e-3


def test_a_loss_that_is_not_finite_is_one_sentence(base: LoadedModel, examples: Examples, tmp_path: Path) -> None:
    hopeless = REPLACE(CONFIG, lr=1e30, warmup=0)
    with pytest.raises(NegutilError, match=r"The loss is nan at step \d+; lower `lr` and start again"):
        finetune(base, examples, hopeless, tmp_path)


def test_a_full_disk_is_one_sentence_and_leaves_no_model(
    base: LoadedModel, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(NegutilError, match=r"checkpoint\.pt could not be written \(No space left on device\)"):
        finetune(base, examples, CONFIG, tmp_path / "run")
    assert trained.find(tmp_path / "run") is None
    monkeypatch.undo()
    assert finetune(base, examples, CONFIG, tmp_path / "run").about["steps"] == 8


def test_a_damaged_checkpoint_is_named(base: LoadedModel, examples: Examples, tmp_path: Path) -> None:
    (tmp_path / module.CHECKPOINT).write_bytes(b"torn")
    with pytest.raises(NegutilError, match=r"checkpoint\.pt is damaged; delete it"):
        finetune(base, examples, CONFIG, tmp_path)


def test_originals_are_mixed_in_by_their_share(base: LoadedModel, examples: Examples) -> None:
    trainer = Trainer(base, examples, REPLACE(CONFIG, original_share=0.25, batch=4, epochs=40))
    masks = np.concatenate([trainer.batch(step)[1] for step in range(trainer.steps)])
    assert 0.2 < masks.mean() < 0.3
    swapped = REPLACE(examples, captions=examples.originals)
    chosen = np.array([0, 1, 2, 3])
    by_mask = trainer.loss(chosen, np.ones(4, dtype=bool)).item()
    assert by_mask == pytest.approx(Trainer(base, swapped, CONFIG).loss(chosen).item(), rel=1e-5)
    assert by_mask != pytest.approx(trainer.loss(chosen, np.zeros(4, dtype=bool)).item(), rel=1e-5)


def test_batches_cover_the_training_part_once_an_epoch(base: LoadedModel, examples: Examples) -> None:
    trainer = Trainer(base, examples, REPLACE(CONFIG, batch=9))
    epochs = [np.concatenate([trainer.batch(4 * epoch + step)[0] for step in range(4)]) for epoch in range(2)]
    assert all(sorted(epoch) == sorted(trainer.train) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    in_order = Trainer(base, examples, REPLACE(CONFIG, shuffle=False))
    assert np.array_equal(in_order.batch(0)[0], in_order.train[:8])


def test_the_split_by_image_is_disjoint_and_by_caption_it_leaks(examples: Examples) -> None:
    for by, leaks in (("image", False), ("caption", True)):
        train, validation = example_parts.split(examples, REPLACE(CONFIG, validation_by=by))
        assert sorted([*train, *validation]) == list(range(48))
        assert len(validation) == 12
        assert bool(set(examples.rows[train]) & set(examples.rows[validation])) is leaks


@pytest.mark.parametrize(
    ("changes", "method", "said"),
    [
        ({"negatives": None}, "con-clip", "con-clip needs `negatives`"),
        ({"options": None}, "negbench", "negbench needs `options`"),
        ({"captions": ["one"]}, "infonce", "48 examples but 1 `captions`"),
        ({"rows": np.full(48, 99)}, "infonce", "`rows` must be int64 from 0 to 23"),
        ({"correct": np.full(48, 3)}, "negbench", "`correct` must be int64 from 0 to 2"),
        ({"images": np.ones((24, 16), np.float32)}, "infonce", "Row 0 of `images` is not of length 1"),
        ({"images": np.full((24, 16), np.nan, np.float32)}, "infonce", "Row 0 of `images` is not of length 1"),
        ({"captions": ["a cat"] * 47 + [" "]}, "infonce", "Number 47 of `captions` is ' '"),
        ({"options": [["a", "b", "c"]] * 47 + [["a"]]}, "negbench", "Number 47 of `options`"),
    ],
)
def test_wrong_examples_are_one_sentence(examples: Examples, changes: Any, method: str, said: str) -> None:
    with pytest.raises(NegutilError, match=said):
        example_parts.check(REPLACE(examples, **changes), REPLACE(CONFIG, method=method))


def test_too_few_examples_and_unnormalised_choices_without_lengths(examples: Examples) -> None:
    with pytest.raises(NegutilError, match=r"48 examples leave 36 to train .* batches of 40"):
        example_parts.split(examples, REPLACE(CONFIG, batch=40))
    config = REPLACE(CONFIG, method="negbench", normalise_mcq=False)
    with pytest.raises(NegutilError, match="needs `lengths`"):
        example_parts.check(REPLACE(examples, lengths=None), config)


def test_take_keeps_the_chosen_examples(examples: Examples) -> None:
    few = examples.take([3, 1])
    assert few.captions == [examples.captions[3], examples.captions[1]]
    assert few.options == [(examples.options or [])[3], (examples.options or [])[1]]
    assert len(few) == 2
    assert few.images is examples.images
    assert few.sha256 != examples.sha256


def test_named_settings_exist_for_every_method_and_profile() -> None:
    tables = files.read_toml(paths.CONFIGS / "finetune.toml")
    for method in METHODS:
        for source in tables[method]:
            assert settings(method, source, seed=5).seed == 5
        assert {"mini", "quick", "paper"} <= set(tables[method])
    released = settings("infonce", "released code")
    assert (released.lr, released.epochs, released.batch, released.weight_decay) == (1e-6, 15, 512, 0.01)
    assert released.trainable == tuple(group for group in text_tower.GROUPS if group != "ln_final")
    assert (released.validation_by, released.keep, released.clamp_logit_scale) == (
        "caption",
        "lowest validation loss",
        False,
    )
    conclip = settings("con-clip", "released code")
    assert (conclip.batch, conclip.warmup, conclip.weight_decay, conclip.shuffle) == (200, 50, 0.2, False)
    assert not settings("negbench", "released code").normalise_mcq
    assert settings("negbench", "paper").normalise_mcq


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr = ", "cannot be read as TOML"),
        ("[infonce.mini]\nlr = 1e-3\nepochs = 1\nbatch = 2\nspeed = 3", "the setting 'speed' is unknown"),
        ("[infonce.mini]\nlr = 1e-3\nepochs = 1.5\nbatch = 2", r"epochs is 1\.5: it should be a valid integer"),
        ("[infonce.mini]\nlr = 1e-3\nepochs = 1", "cannot be used"),
        ("[infonce.mini]\nlr = 1e-3\nepochs = 1\nbatch = 0", "batch is 0; it must be more than 0"),
        ('[infonce.mini]\nlr = 1\nepochs = 1\nbatch = 2\nkeep = "best"', "keep is 'best'; write one of"),
        ("[infonce.paper]\nlr = 1", r"no settings 'mini' for 'infonce'; there are infonce \(paper\)"),
    ],
)
def test_wrong_settings_are_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "finetune.toml"
    file.write_text(text)
    with pytest.raises(NegutilError, match=said):
        settings("infonce", file=file)
