from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import signal
from pathlib import Path

import minisd_files
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from miniworld import scenes
from miniworld.pretrain import minisd as pretrain_minisd
from miniworld.pretrain import recipes
from miniworld.pretrain.pool import CAPTIONS, Pool, validation_of
from negutil import files
from negutil.captions import negation_terms
from negutil.commands import cli
from negutil.errors import NegutilError
from negutil.models import encoder_swap, hub, loader, minisd
from negutil.train import loop

CONFIG = minisd_files.CONFIG


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return minisd_files.pool(tmp_path_factory.mktemp("minisd") / "pool")


@pytest.fixture(scope="module")
def whole(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> pretrain_minisd.Trainer:
    """A run that was never stopped."""
    return pretrain_minisd.pretrain(CONFIG, pool, tmp_path_factory.mktemp("whole"))


def same(one: pretrain_minisd.Trainer, other: pretrain_minisd.Trainer) -> bool:
    pairs = ((one.unet, other.unet), (one.mean, other.mean))
    return all(
        torch.equal(value, second.state_dict()[name])
        for first, second in pairs
        for name, value in first.state_dict().items()
    )


def test_pictures_have_affirmative_captions_and_none_is_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[bool] = []
    original = scenes.draw

    def noting(scene: scenes.Scene) -> np.ndarray:
        shown.append(scenes.is_reserved(scene))
        assert 1 <= len(scene.things) <= 3
        return original(scene)

    monkeypatch.setattr(scenes, "draw", noting)
    found = list(pretrain_minisd.pairs(150, 4, 0))
    assert {picture.shape for picture, _ in found} == {(64, 64, 3)}
    assert 80 < len(shown) < 130
    assert not any(shown)
    (terms,) = negation_terms.load("standard")
    texts = [text for _, texts in found for text in texts]
    assert len(texts) == 600
    assert not [text for text in texts if re.search(terms.pattern, text.lower())]
    shown.clear()
    list(pretrain_minisd.pairs(30, 1, 0, "val"))
    assert shown
    assert all(shown)


def test_pictures_are_a_prefix_of_more_pictures() -> None:
    few, more = (list(pretrain_minisd.pairs(count, 2, 0)) for count in (5, 9))
    for (picture, texts), (again, same_texts) in zip(few, more, strict=False):
        assert np.array_equal(picture, again)
        assert texts == same_texts
    other = next(iter(pretrain_minisd.pairs(1, 2, 1)))
    assert other[1] != few[0][1]


def test_a_pool_is_made_once_and_its_size_is_checked(tmp_path: Path) -> None:
    made = pretrain_minisd.pool(tmp_path / "pool", 6)
    assert made.tokens.shape[:2] == (6, CAPTIONS)
    assert len(validation_of(made) or ()) == 6
    assert pretrain_minisd.pool(tmp_path / "pool", 6).fingerprint == made.fingerprint
    with pytest.raises(NegutilError, match="has 6 images instead of 7"):
        pretrain_minisd.pool(tmp_path / "pool", 7)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 200), st.integers(0, 3))
def test_a_batch_depends_on_seed_and_step_alone(step: int, seed: int) -> None:
    pool, vae = fake_pool(), fake_transform()
    config = dataclasses.replace(CONFIG, seed=seed)
    one, two = (pretrain_minisd.draw_batch(pool, vae, config, step) for _ in range(2))
    assert all(
        torch.equal(getattr(one, field), getattr(two, field)) for field in ("latents", "noise", "times", "tokens")
    )
    assert one.times.min() >= 0
    assert one.times.max() < minisd.STEPS


@functools.cache
def fake_transform() -> minisd.PatchTransform:
    return minisd.fit_transform(fake_pool().pictures, CONFIG.shape)


@functools.cache
def fake_pool() -> Pool:
    rng = np.random.default_rng(0)
    tokens = np.zeros((16, 2, 5), np.int32)
    tokens[:, :, 0], tokens[:, :, 1], tokens[:, :, 2] = 49406, 320 + np.arange(16)[:, None], 49407
    info: dict[str, str | int] = {"pictures_sha256": "", "tokens_sha256": ""}
    return Pool(Path("fake"), rng.integers(0, 256, (16, 64, 64, 3), np.uint8), tokens, info)


def test_every_picture_comes_once_an_epoch_with_its_own_caption() -> None:
    pool, vae = fake_pool(), fake_transform()
    config = dataclasses.replace(CONFIG, empty=0.0)
    batches = [pretrain_minisd.draw_batch(pool, vae, config, step) for step in range(4)]
    for epoch in (batches[:2], batches[2:]):
        rows = torch.cat([batch.tokens[:, 1] for batch in epoch]) - 320
        assert sorted(rows.tolist()) == list(range(16))
        expected = minisd.latents(vae, pool.pictures[rows.numpy()])
        torch.testing.assert_close(torch.cat([batch.latents for batch in epoch]), expected)
    assert batches[0].tokens.shape == (8, 77)
    assert (batches[0].tokens[:, 2:] == 49407).all()


def test_dropped_captions_are_the_empty_prompt_of_the_pipeline() -> None:
    pool, vae = fake_pool(), fake_transform()
    dropped = pretrain_minisd.draw_batch(pool, vae, dataclasses.replace(CONFIG, empty=1.0), 0).tokens
    tokenizer = encoder_swap.tokenizer(loader.load(minisd.BASE).model)
    empty = tokenizer([""], padding="max_length", return_tensors="pt").input_ids
    assert torch.equal(dropped, empty.expand(8, -1))


def test_the_loss_is_the_weighted_error_of_the_clean_latents(pool: Pool) -> None:
    trainer = pretrain_minisd.Trainer(CONFIG, pool)
    batch = pretrain_minisd.draw_batch(pool, trainer.vae, CONFIG, 0)
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    class Zero(torch.nn.Module):
        def forward(self, noisy: torch.Tensor, times: torch.Tensor, states: torch.Tensor) -> object:
            seen.append((noisy, times, states))
            return type("Out", (), {"sample": torch.zeros_like(noisy)})

    found = trainer.loss(Zero(), batch)
    kept = minisd.build_scheduler().alphas_cumprod[batch.times].numpy()
    weights = np.minimum(1 + kept / (1 - kept), CONFIG.weight_cap)
    assert found.item() == pytest.approx(
        (weights[:, None] * batch.latents.square().flatten(1).numpy()).mean(), rel=1e-4
    )
    noisy, times, states = seen[0]
    forward = hub.library("diffusers").DDPMScheduler.from_config(minisd.build_scheduler().config)
    expected = forward.add_noise(batch.latents, batch.noise, batch.times)
    torch.testing.assert_close(noisy, expected)
    assert torch.equal(times, batch.times)
    assert states.shape == (8, 77, 80)


def test_a_run_that_was_stopped_goes_on_bit_for_bit(pool: Pool, whole: pretrain_minisd.Trainer, tmp_path: Path) -> None:
    first = pretrain_minisd.pretrain(CONFIG, pool, tmp_path, stop_after=5)
    assert first.done == 5
    again = pretrain_minisd.pretrain(CONFIG, pool, tmp_path)
    assert again.done == 8
    assert same(again, whole)
    assert not same(first, whole)
    assert [row["step"] for row in again.curve] == [row["step"] for row in whole.curve] == [2, 4, 6, 8]


def test_a_signal_finishes_the_step_and_saves(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = pretrain_minisd.Trainer.step

    def interrupted(self: pretrain_minisd.Trainer) -> float:
        if self.done == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    monkeypatch.setattr(pretrain_minisd.Trainer, "step", interrupted)
    assert pretrain_minisd.pretrain(CONFIG, pool, tmp_path).done == 4
    assert loop.read_checkpoint(tmp_path)["done"] == 4


def test_training_learns_the_colours(pool: Pool, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, steps=40, lr=1e-2, log_every=5, validate_every=20)
    trainer = pretrain_minisd.pretrain(config, pool, tmp_path)
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert curve["loss"].iloc[-1] < 0.8 * curve["loss"].iloc[0]
    assert curve.loc[curve["validation_loss"].notna(), "step"].tolist() == [20, 40]
    assert (curve["pictures_per_second"] > 0).all()
    assert trainer.seconds > 0


def test_other_settings_or_another_pool_do_not_continue(pool: Pool, tmp_path: Path) -> None:
    pretrain_minisd.pretrain(CONFIG, pool, tmp_path / "run", stop_after=1)
    with pytest.raises(NegutilError, match=r"was made with lr = 0\.003"):
        pretrain_minisd.pretrain(dataclasses.replace(CONFIG, lr=1e-4), pool, tmp_path / "run")
    with pytest.raises(NegutilError, match="was made with pool = "):
        pretrain_minisd.pretrain(CONFIG, minisd_files.pool(tmp_path / "pool", 40, seed=5), tmp_path / "run")
    with pytest.raises(NegutilError, match="only 40 images for batches of 41"):
        pretrain_minisd.pretrain(dataclasses.replace(CONFIG, batch=41), pool, tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(NegutilError, match=r"checkpoint\.pt is damaged"):
        pretrain_minisd.pretrain(CONFIG, pool, tmp_path / "run")


def test_a_loss_that_is_not_finite_stops_the_run(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain_minisd.Trainer, "loss", lambda *_: torch.tensor(float("nan")))
    with pytest.raises(NegutilError, match="loss is nan at step 0"):
        pretrain_minisd.pretrain(CONFIG, pool, tmp_path)


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    schedule = loop.cosine(CONFIG.lr, CONFIG.steps, CONFIG.warmup)
    found = [schedule(step)["lr"] for step in range(CONFIG.steps + 1)]
    np.testing.assert_allclose(found[:3], [1.5e-3, 3e-3, 3e-3])
    assert found[-1] == pytest.approx(0)
    assert (np.diff(found[2:]) < 0).all()


def test_an_unfinished_run_is_not_exported(pool: Pool, tmp_path: Path) -> None:
    trainer = pretrain_minisd.pretrain(CONFIG, pool, tmp_path / "run", stop_after=2)
    with pytest.raises(NegutilError, match="stands at step 2 of 8"):
        trainer.export(tmp_path / "minisd.safetensors", "")
    assert not (tmp_path / "minisd.safetensors").exists()


def test_the_command_trains_and_writes_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = dataclasses.replace(CONFIG, batch=4, steps=99)
    monkeypatch.setitem(recipes.RECIPES, "minisd", small)
    monkeypatch.setitem(recipes.POOLS, "minisd", ("pool", lambda folder: pretrain_minisd.pool(folder, 8)))
    cli.pretrain(
        "minisd", pool=tmp_path / "pool", out=tmp_path / "run", weights=tmp_path / "weights", steps=2, threads=1
    )
    file = tmp_path / "weights" / minisd.WEIGHTS
    about = json.loads(file.with_suffix(".json").read_text())
    assert about["sha256"] == files.sha256(file)
    assert about["config"]["steps"] == 2
    assert about["pool"]["pictures"] == 8
    assert file.with_suffix(".curve.csv").read_text() == (tmp_path / "run" / "curve.csv").read_text()
    assert minisd.load(file=file).unet.config.in_channels == 4


def test_the_recipe_fits_into_twelve_megabytes() -> None:
    vae = minisd.fit_transform(fake_pool().pictures, pretrain_minisd.RECIPE.shape)
    tensors = minisd.pack(minisd.build_unet(pretrain_minisd.RECIPE.shape), vae)
    assert sum(value.numel() * value.element_size() for value in tensors.values()) < 11.9e6
