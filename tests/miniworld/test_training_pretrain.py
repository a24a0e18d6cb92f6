from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import model_files
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from sklearn.metrics import log_loss

from miniworld import alttext, corpus
from miniworld.pretrain import contrastive
from miniworld.pretrain import pool as pools
from miniworld.pretrain.contrastive import PretrainConfig
from miniworld.pretrain.pool import Pool
from negutil import files
from negutil.errors import NegutilError
from negutil.models import architectures, checkpoints, encode, loader, text_tower
from negutil.statistics import wilson
from negutil.train import loop, losses

CUE = re.compile(r"\b(no|not|without|never|none|neither|nor|nowhere|absent|lacks|lack|lacking|devoid|minus|non)\b|n't")
COLUMNS = ("step", "loss", "accuracy", "logit_scale", "lr", "images_per_second", "validation_r_at_1")
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
CONFIG = PretrainConfig(
    architecture=model_files.ARCHITECTURE, steps=8, batch=8, warmup=2, lr=3e-3, log_every=2, validate_every=4,
    checkpoint_every=3, text_chunks=2, patch_dropout=0.5, threads=1,
)  # fmt: skip


def items(n: int, seed: int) -> Iterator[tuple[np.ndarray, list[str], str]]:
    """Pictures of one colour with noise, and what they are called."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        name = str(rng.choice(list(COLOURS)))
        picture = np.clip(COLOURS[name] + rng.normal(0, 30, (64, 64, 3)), 0, 255).astype(np.uint8)
        yield picture, [f"a {name} picture", f"all of it is {name}, really", "unused"], "a part"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    os.environ["NEGUTIL_NO_PROGRESS"] = "1"
    folder = tmp_path_factory.mktemp("pools") / "pool"
    return pools.build_pool(items(20, 0), folder, 20, 2, seed=7, validation=(items(4, 1), 4))


def weights(out: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = loop.read_checkpoint(out)["modules"]["model"]
    return found


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "curve.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_pool_holds_pictures_and_tokens(pool: Pool) -> None:
    assert (len(pool), pool.pictures.shape, pool.tokens.shape[:2]) == (20, (20, 64, 64, 3), (20, 2))
    tokenizer = architectures.open_clip().get_tokenizer("MiniCLIP-S-8")
    for number, (picture, captions, _) in enumerate(items(20, 0)):
        assert np.array_equal(pool.pictures[number], picture)
        expected = tokenizer(captions[:2]).numpy()
        length = pool.tokens.shape[-1]
        assert np.array_equal(pool.tokens[number], expected[:, :length])
        assert not expected[:, length:].any()
    assert pool.tokens[:, :, -1].any(), "the array is as long as the longest caption"
    assert pool.info["seed"] == 7
    validation = pools.validation_of(pool)
    assert validation is not None
    assert len(validation) == 4


def test_the_same_items_give_the_same_pool(pool: Pool, tmp_path: Path) -> None:
    again = pools.build_pool(items(20, 0), tmp_path / "again", 20, 2, seed=7)
    assert again.fingerprint == pool.fingerprint
    assert pools.validation_of(again) is None


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="Only 3 of 5 items"):
        pools.build_pool(items(3, 0), tmp_path / "short", 5, 1)
    with pytest.raises(NegutilError, match=r"Item 0 .* has no caption"):
        pools.build_pool([(np.zeros((64, 64, 3), np.uint8), [])], tmp_path / "mute", 1, 1)
    assert list(tmp_path.iterdir()) == []
    pools.build_pool(items(1, 0), tmp_path / "one", 1, 1)
    with pytest.raises(NegutilError, match="exists already"):
        pools.build_pool(items(1, 0), tmp_path / "one", 1, 1)


def test_a_damaged_pool_is_named(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="nowhere cannot be read"):
        pools.open_pool(tmp_path / "nowhere")
    folder = pools.build_pool(items(2, 0), tmp_path / "pool", 2, 1).folder
    info = (folder / "pool.json").read_text()
    (folder / "pool.json").write_text("{}")
    with pytest.raises(NegutilError, match="does not describe the arrays"):
        pools.open_pool(folder)
    (folder / "pool.json").write_text(info)
    np.save(folder / "tokens.npy", np.zeros((3, 1, 5), np.int32))
    with pytest.raises(NegutilError, match=r"tokens\.npy must be int32 \[2, C, L\]"):
        pools.open_pool(folder)
    (folder / "pictures.npy").write_bytes((folder / "pictures.npy").read_bytes()[:200])
    with pytest.raises(NegutilError, match="cannot be read"):
        pools.open_pool(folder)


def test_every_picture_comes_once_an_epoch() -> None:
    config = dataclasses.replace(CONFIG, batch=5)
    epochs = []
    for epoch in range(2):
        drawn = [contrastive.sample_rows(20, 3, config, epoch * 4 + step) for step in range(4)]
        rows, captions = np.concatenate([one for one, _ in drawn]), np.concatenate([one for _, one in drawn])
        assert sorted(rows) == list(range(20))
        assert set(captions) <= {0, 1, 2}
        epochs.append(rows)
    assert not np.array_equal(epochs[0], epochs[1])
    other = contrastive.sample_rows(20, 3, dataclasses.replace(config, seed=1), 0)
    assert not np.array_equal(other[0], epochs[0][:5])


def test_the_loss_is_the_mean_of_both_cross_entropies() -> None:
    rng = np.random.default_rng(0)
    images, texts = (torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(4, 3)))) for _ in range(2))
    loss, accuracy = losses.contrastive_loss(images, texts, torch.tensor(5.0))
    logits = (5 * images @ texts.T).numpy()
    by_row, by_column = (np.exp(one) / np.exp(one).sum(axis=1, keepdims=True) for one in (logits, logits.T))
    expected = (log_loss(range(4), by_row) + log_loss(range(4), by_column)) / 2
    assert loss.item() == pytest.approx(expected)
    assert accuracy == (logits.argmax(axis=1) == np.arange(4)).mean()


def test_training_learns_colours_and_keeps_its_curve(pool: Pool, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, steps=60, patch_dropout=0.0, validate_every=30)
    trainer = contrastive.pretrain(config, pool, tmp_path)
    assert trainer.done == trainer.steps == 60
    assert trainer.seconds > 0
    found = rows(tmp_path)
    assert list(found[0]) == list(COLUMNS)
    assert [int(row["step"]) for row in found] == list(range(2, 61, 2))
    assert float(found[-1]["loss"]) < 0.7 * float(found[0]["loss"])
    assert [row["step"] for row in found if row["validation_r_at_1"]] == ["30", "60"]
    assert 0 < float(found[-1]["logit_scale"]) <= 100.0
    assert float(found[-1]["images_per_second"]) > 0


def test_a_run_that_was_stopped_goes_on_bit_for_bit(pool: Pool, tmp_path: Path) -> None:
    contrastive.pretrain(CONFIG, pool, tmp_path / "whole")
    for stop in (3, 5):
        first = contrastive.pretrain(CONFIG, pool, tmp_path / f"stopped{stop}", stop_after=stop)
        assert first.done == stop
        assert contrastive.pretrain(CONFIG, pool, tmp_path / f"stopped{stop}").done == CONFIG.steps
        whole, parts = weights(tmp_path / "whole"), weights(tmp_path / f"stopped{stop}")
        assert whole.keys() == parts.keys()
        for name, value in whole.items():
            assert torch.equal(value, parts[name]), name
        steps = [[row["step"] for row in rows(tmp_path / run)] for run in ("whole", f"stopped{stop}")]
        assert steps[0] == steps[1]


def test_another_seed_gives_other_weights(pool: Pool, tmp_path: Path) -> None:
    for seed in (0, 1):
        contrastive.pretrain(dataclasses.replace(CONFIG, seed=seed, steps=2), pool, tmp_path / str(seed))
    assert not torch.equal(weights(tmp_path / "0")["visual.proj"], weights(tmp_path / "1")["visual.proj"])


def test_a_signal_finishes_the_step_and_saves(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = contrastive.Trainer.step

    def interrupted(self: contrastive.Trainer) -> float:
        if self.done == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    monkeypatch.setattr(contrastive.Trainer, "step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert contrastive.pretrain(CONFIG, pool, tmp_path).done == 5
    assert loop.read_checkpoint(tmp_path)["done"] == 5
    assert signal.getsignal(signal.SIGINT) is before


def test_a_crash_costs_only_the_steps_since_the_last_checkpoint(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contrastive.pretrain(CONFIG, pool, tmp_path / "whole")
    original = contrastive.Trainer.step

    def crashing(self: contrastive.Trainer) -> float:
        if self.done == 5:
            raise MemoryError
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(contrastive.Trainer, "step", crashing)
        with pytest.raises(MemoryError):
            contrastive.pretrain(CONFIG, pool, tmp_path / "crashed")
    assert loop.read_checkpoint(tmp_path / "crashed")["done"] == 3
    contrastive.pretrain(CONFIG, pool, tmp_path / "crashed")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "crashed")[name]), name


def test_other_settings_or_another_pool_do_not_continue(pool: Pool, tmp_path: Path) -> None:
    contrastive.pretrain(CONFIG, pool, tmp_path / "run", stop_after=1)
    with pytest.raises(NegutilError, match=r"was made with lr = 0\.003"):
        contrastive.pretrain(dataclasses.replace(CONFIG, lr=1e-4), pool, tmp_path / "run")
    other = pools.build_pool(items(20, 5), tmp_path / "pool", 20, 2)
    with pytest.raises(NegutilError, match="was made with pool = "):
        contrastive.pretrain(CONFIG, other, tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(NegutilError, match=r"checkpoint\.pt is damaged"):
        contrastive.pretrain(CONFIG, pool, tmp_path / "run")


def test_a_pool_that_does_not_fit_is_refused(pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="only 20 images for batches of 21"):
        contrastive.pretrain(dataclasses.replace(CONFIG, batch=21), pool, tmp_path)
    small = [(np.zeros((32, 32, 3), np.uint8), ["a"])] * 8
    with pytest.raises(NegutilError, match="must be 64 x 64"):
        contrastive.pretrain(CONFIG, pools.build_pool(small, tmp_path / "small", 8, 1), tmp_path)


def test_a_loss_that_is_not_finite_stops_the_run(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> tuple[torch.Tensor, float]:
        return torch.tensor(float("nan")), 0.0

    monkeypatch.setattr(contrastive, "contrastive_loss", broken)
    with pytest.raises(NegutilError, match="loss is nan at step 0"):
        contrastive.pretrain(CONFIG, pool, tmp_path)


def test_patches_are_dropped_only_in_the_first_part(pool: Pool, tmp_path: Path) -> None:
    trainer = contrastive.Trainer(CONFIG, pool)
    shares = []
    for _ in range(CONFIG.steps):
        trainer.step()
        shares.append(trainer.model.visual.patch_dropout.prob)
    assert shares == [0.5] * 6 + [0.0] * 2


def test_decay_is_only_on_matrices(pool: Pool) -> None:
    trainer = contrastive.Trainer(CONFIG, pool)
    decayed, others = trainer.optimiser.param_groups
    names = {id(value): name for name, value in trainer.model.named_parameters()}
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {names[id(value)] for value in others["params"]} >= {
        "logit_scale",
        "token_embedding.weight",
        "ln_final.bias",
    }
    assert all(value.ndim >= 2 for value in decayed["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(names)


def test_the_learning_rate_warms_up_and_falls_to_zero(pool: Pool) -> None:
    trainer = contrastive.Trainer(CONFIG, pool)
    found = [trainer.schedule(step)["lr"] for step in range(CONFIG.steps + 1)]
    np.testing.assert_allclose(found[:3], [1.5e-3, 3e-3, 3e-3])
    assert found[-1] == pytest.approx(0)
    assert (np.diff(found[2:]) < 0).all()


def test_kernels_are_put_back() -> None:
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    with pytest.raises(ZeroDivisionError), loop.fast_kernels(1, "medium", "cpu"):
        assert torch.get_float32_matmul_precision() == "medium"
        _ = 1 / 0
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


def test_exported_weights_load_and_give_the_trained_features(pool: Pool, tmp_path: Path) -> None:
    trainer = contrastive.pretrain(CONFIG, pool, tmp_path / "run")
    file = tmp_path / "weights" / "tiny.safetensors"
    trainer.export(file, "negutil pretrain tiny")
    model = loader.load_entry(model_files.entry(file))
    trainer.model.eval()
    text = "all of it is green, really"
    tokens = trainer.vocabulary.compact(model.tokenizer([text]).numpy())
    with torch.no_grad():
        expected = architectures.encode_text(trainer.model, tokens).numpy()
    np.testing.assert_allclose(encode.texts(model, [text], cached=False), expected, atol=5e-3)
    about = json.loads(file.with_suffix(".json").read_text())
    assert about["sha256"] == files.sha256(file)
    assert about["command"] == "negutil pretrain tiny"
    assert about["config"]["steps"] == 8
    assert about["pool"]["pictures"] == 20
    assert file.with_suffix(".curve.csv").read_bytes() == (tmp_path / "run" / "curve.csv").read_bytes()


def test_tokens_of_the_pool_alone_are_exported(pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "tiny.safetensors"
    contrastive.pretrain(CONFIG, pool, tmp_path / "run").export(file, "")
    content, ids = safetensors.torch.load_file(file), set(np.unique(pool.tokens).tolist()) | {0}
    assert set(content[text_tower.IDS].tolist()) == ids
    assert content[text_tower.EMBEDDING].shape == (len(ids), 16)
    embedding = checkpoints.read(file)[text_tower.EMBEDDING]
    assert embedding.shape == (49408, 16)
    assert embedding.dtype == torch.float16
    assert set(torch.nonzero(embedding.abs().sum(dim=1)).flatten().tolist()) == ids


def test_meetings_say_how_often_training_sees_each_token(pool: Pool, tmp_path: Path) -> None:
    file = tmp_path / "tiny.safetensors"
    contrastive.pretrain(CONFIG, pool, tmp_path / "run").export(file, "")
    table = pd.read_csv(file.with_suffix(".tokens.csv"), keep_default_na=False).set_index("token")
    draws = CONFIG.steps * CONFIG.batch / pool.tokens[..., 0].size  # of each caption
    captions = pool.tokens.reshape(-1, pool.tokens.shape[-1])
    for token, row in table.iterrows():
        assert row["meetings"] == round(draws * sum(token in caption for caption in captions))
    start, _ = architectures.END_TOKENS
    assert table.loc[start, "meetings"] == CONFIG.steps * CONFIG.batch


def test_a_pool_with_other_texts_shares_the_pictures(pool: Pool, tmp_path: Path) -> None:
    other = "a photo of nothing in particular"
    changed = pools.with_texts(pool, ([other, other] for _ in range(len(pool))), tmp_path / "other")
    assert np.array_equal(changed.pictures, pool.pictures) and not np.array_equal(changed.tokens, pool.tokens)
    assert changed.info["pictures_sha256"] == pool.info["pictures_sha256"]
    assert changed.fingerprint != pool.fingerprint
    held_out, before = pools.validation_of(changed), pools.validation_of(pool)
    assert held_out and before and held_out.fingerprint == before.fingerprint
    assert pools.open_pool(pool.folder).fingerprint == pool.fingerprint  # nothing was written through a link
    with pytest.raises(NegutilError, match="exists already"):
        pools.with_texts(pool, [], tmp_path / "other")


@pytest.mark.parametrize("name", contrastive.DOSES)
def test_a_dose_is_the_share_of_captions_that_deny_something(name: str) -> None:
    texts = [text.lower() for each in corpus.texts(1000, 4, 0, contrastive.DOSES[name]) for text in each]
    has_cue = [bool(CUE.search(text)) for text in texts]
    wanted = 0.2 if name == "asides-20" else float(name.removeprefix("dose-")) / 100
    interval = wilson(sum(has_cue), len(texts))
    assert interval.low <= wanted <= interval.high
    beside = [re.compile(re.escape(aside.lower()).replace(r"\{text\}", ".*")) for aside in alttext.CUES]
    said = [any(aside.fullmatch(text) for aside in beside) for text, cue in zip(texts, has_cue, strict=True) if cue]
    assert all(said) if name == "asides-20" else not any(said)


def test_an_unfinished_run_is_not_exported(pool: Pool, tmp_path: Path) -> None:
    trainer = contrastive.pretrain(CONFIG, pool, tmp_path / "run", stop_after=2)
    with pytest.raises(NegutilError, match="stands at step 2 of 8"):
        trainer.export(tmp_path / "tiny.safetensors", "")
    assert not (tmp_path / "tiny.safetensors").exists()
