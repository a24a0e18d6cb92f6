from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from miniworld.pretrain import miniclipseg as pretrain_miniclipseg
from miniworld.pretrain import recipes
from miniworld.pretrain.miniclipseg import SegmentConfig
from negutil.errors import NegutilError
from negutil.models import miniclipseg
from negutil.train import loop
from negutil.train.pretraining import CURVE

CONFIG = SegmentConfig(
    base="miniclip-s-8", steps=4, batch=4, phrases=2, pictures=8, validation=4, log_every=2, validate_every=4,
    checkpoint_every=2, warmup=1, threads=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def pool() -> pretrain_miniclipseg.SegmentPool:
    return pretrain_miniclipseg.build_pool(30)


def test_every_picture_has_present_phrases_and_an_absent_one(pool: pretrain_miniclipseg.SegmentPool) -> None:
    every = np.tile(np.arange(pretrain_miniclipseg.PHRASES), (30, 1))
    masks = pool.masks(np.arange(30), every)
    assert masks.shape == (30, pretrain_miniclipseg.PHRASES, 64, 64)
    assert masks[:, :-1].any(axis=(2, 3)).mean() > 0.95  # a thing can be hidden behind others
    assert not masks[:, -1].any()


def test_no_phrase_negates(pool: pretrain_miniclipseg.SegmentPool) -> None:
    words = {word.strip(".") for sentence in pool.sentences for word in sentence.split()}
    assert not words & {"no", "not", "without", "never", "isn't", "but", "minus", "lacks", "lacking"}


def test_a_pool_is_a_prefix_of_a_longer_one_and_its_held_out_part_is_another(
    pool: pretrain_miniclipseg.SegmentPool,
) -> None:
    shorter, held_out = pretrain_miniclipseg.build_pool(5), pretrain_miniclipseg.build_pool(5, reserved=True)
    np.testing.assert_array_equal(shorter.pictures, pool.pictures[:5])
    np.testing.assert_array_equal(shorter.bits, pool.bits[:5])
    assert not (held_out.pictures == shorter.pictures).all(axis=(1, 2, 3)).any()
    assert shorter.fingerprint != held_out.fingerprint


def test_a_stopped_pretraining_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = pretrain_miniclipseg.pretrain(CONFIG, tmp_path / "whole")
    assert pretrain_miniclipseg.pretrain(CONFIG, tmp_path / "parts", stop_after=2).done == 2
    parts = pretrain_miniclipseg.pretrain(CONFIG, tmp_path / "parts")
    for name, value in whole.decoder.state_dict().items():
        assert torch.equal(value, parts.decoder.state_dict()[name]), name
    curve = pd.read_csv(tmp_path / "parts" / CURVE)
    assert curve["step"].tolist() == [2, 4]
    assert curve["validation_iou"].between(0, 1).tolist() == [False, True]
    with pytest.raises(NegutilError, match=r"was made with lr = 0\.001"):
        pretrain_miniclipseg.pretrain(dataclasses.replace(CONFIG, lr=1e-4), tmp_path / "parts")


def test_only_the_decoder_is_trained_and_its_weights_load_again(tmp_path: Path) -> None:
    trainer = pretrain_miniclipseg.pretrain(CONFIG, tmp_path)
    fresh = miniclipseg.untrained(miniclipseg.loader.load(CONFIG.base)).model.clip.state_dict()
    assert all(torch.equal(value, fresh[name]) for name, value in trainer.segmenter.model.clip.state_dict().items())
    file = tmp_path / "decoder.safetensors"
    trainer.export(file, "a test")
    entry = miniclipseg.Entry("trial", CONFIG.base, package=file.name, sha256=miniclipseg.files.sha256(file))
    loaded = miniclipseg.load_file(entry, file).model.decoder.state_dict()
    for name, value in trainer.decoder.state_dict().items():
        torch.testing.assert_close(loaded[name], value, atol=1e-3, rtol=1e-3)
    assert file.stat().st_size < 1_000_000


def test_the_loss_falls(tmp_path: Path) -> None:
    longer = dataclasses.replace(CONFIG, steps=12, lr=3e-3, log_every=3)
    losses = [row["loss"] for row in pretrain_miniclipseg.pretrain(longer, tmp_path).curve]
    assert losses[-1] < 0.7 * losses[0]


def test_the_rate_warms_up_and_ends_at_its_floor() -> None:
    config = dataclasses.replace(CONFIG, steps=100, warmup=10)
    schedule = loop.cosine(config.lr, config.steps, config.warmup, config.floor)
    rates = [schedule(step)["lr"] for step in range(101)]
    assert rates[0] == pytest.approx(config.lr / 10)
    assert max(rates) == config.lr
    assert rates[100] == pytest.approx(config.lr * config.floor)


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="ask for more"):
        pretrain_miniclipseg.pretrain(dataclasses.replace(CONFIG, pictures=2), tmp_path)
    with pytest.raises(NegutilError, match="leave out pool and device"):
        recipes.run("miniclipseg", pool=tmp_path)
    (tmp_path / loop.CHECKPOINT).write_bytes(b"damaged")
    with pytest.raises(NegutilError, match="is damaged"):
        pretrain_miniclipseg.pretrain(CONFIG, tmp_path)
