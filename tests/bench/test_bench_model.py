from __future__ import annotations

import json
from pathlib import Path

import model_files
import numpy as np
import pytest
import safetensors.torch
import torch
from data_files import complaint
from PIL import Image

from negutil.bench import model as bench_model
from negutil.errors import NegutilError
from negutil.models import architectures, encode, loader, registry, text_tower, trained

NAME = model_files.ARCHITECTURE
BASE = "miniclip-s-8"


def test_random_weights_follow_from_their_seed() -> None:
    first, again, other = (bench_model.load(NAME, "random", seed=seed) for seed in (0, 0, 1))
    assert first.name == f"{NAME} (random, seed 0)"
    assert first.fingerprint == again.fingerprint != other.fingerprint
    features = [encode.texts(model, model_files.TEXTS, cached=False) for model in (first, again, other)]
    assert (features[0] == features[1]).all()
    assert not (features[0] == features[2]).any()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_torch_file_may_be_a_training_checkpoint(wrapped: bool, tmp_path: Path) -> None:
    state, file = model_files.state(3), tmp_path / "epoch_1.pt"
    prefixed = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 1, "state_dict": prefixed} if wrapped else state, file)
    found = bench_model.load(NAME, str(file))
    assert found.name == f"{NAME} (epoch_1.pt)"
    assert torch.equal(found.model.text_projection, state["text_projection"])


def test_a_models_name_lends_its_settings_to_a_file(tmp_path: Path) -> None:
    plain = bench_model.load(BASE)
    state = {name: value.clone().contiguous() for name, value in plain.model.state_dict().items()}
    state["text_projection"] += 0.1
    safetensors.torch.save_file(state, tmp_path / "mine.safetensors")
    found = bench_model.load(BASE, str(tmp_path / "mine.safetensors"))
    assert found.entry.preprocessing == plain.entry.preprocessing
    assert found.fingerprint["image_tower_sha256"] == plain.fingerprint["image_tower_sha256"]
    assert found.fingerprint["weights_sha256"] != plain.fingerprint["weights_sha256"]
    assert "mine.safetensors" in found.entry.source


@pytest.mark.parametrize("which", ["", trained.TENSORS, trained.ABOUT])
def test_a_fine_tuned_text_tower_stands_on_its_base(which: str, tmp_path: Path) -> None:
    base = loader.load(BASE)
    state = {name: value.detach().clone().contiguous() for name, value in text_tower.state(base.model).items()}
    state["text_projection"] += 0.1
    ids = torch.arange(len(state[text_tower.EMBEDDING]))
    identity = {"base": BASE, "base_sha256": base.fingerprint["weights_sha256"]}
    trained.write(tmp_path / f"{BASE}+mine" / "seed0", state, ids, "step\n", {"identity": identity})
    path = str(tmp_path / f"{BASE}+mine" / "seed0" / which)
    for name in (BASE, "MiniCLIP-S-8"):
        found = bench_model.load(name, path)
        assert found.name == f"{BASE}+mine/seed0"
        assert torch.equal(found.model.text_projection, state["text_projection"])
    assert "fine-tuned here" in found.entry.source
    assert f"not from '{NAME}'" in complaint(bench_model.load, NAME, path)


def test_weights_without_quick_gelu_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "openai.pt"
    torch.save({"text_projection": torch.zeros(1)}, file)
    assert "does not say whether it was trained with QuickGELU" in complaint(bench_model.load, "ViT-B-32", str(file))
    told = complaint(bench_model.load, "ViT-B-32", str(file), activation="quick_gelu")
    assert "trained with quick_gelu, but ViT-B-32 computes gelu" in told
    assert "does not fit" in complaint(bench_model.load, NAME, str(file))
    assert "trained with quick_gelu" in complaint(bench_model.load, "ViT-B-32", "openai")
    noted = tmp_path / "noted.safetensors"
    safetensors.torch.save_file({"x": torch.zeros(1)}, noted, metadata={"activation": "quick_gelu"})
    assert "computes gelu" in complaint(bench_model.load, "ViT-B-32", str(noted))


def test_what_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    load = bench_model.load
    assert "There is no model 'ViT-B32'" in complaint(load, "ViT-B32")
    assert "is an architecture" in complaint(load, "ViT-B-32")
    assert "no such weights file" in complaint(load, NAME, str(tmp_path / "gone.pt"))
    assert "its tags: openai" in complaint(load, "ViT-B-32-quickgelu", "opnai")
    assert "already has weights" in complaint(load, f"{BASE}+negationclip/seed0", "random")
    assert "no dtype 'float8'" in complaint(load, NAME, "random", dtype="float8")
    assert "no activation 'relu'" in complaint(load, NAME, "random", activation="relu")
    assert "--device is 'tpu9'" in complaint(load, NAME, "random", device="tpu9")
    assert "has a third tower" in complaint(load, "coca_ViT-B-32", "random")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\x00" * 20)
    assert "damaged" in complaint(load, "ViT-B-32", str(damaged))


def test_half_precision_is_part_of_the_fingerprint() -> None:
    found = bench_model.load(NAME, "random", dtype="bfloat16")
    assert (found.dtype, found.fingerprint["dtype"]) == (torch.bfloat16, "bfloat16")
    features = encode.texts(found, model_files.TEXTS, cached=False)
    whole = encode.texts(bench_model.load(NAME, "random"), model_files.TEXTS, cached=False)
    assert (features * whole).sum(axis=1).min() > 0.99


def test_what_the_mini_world_was_made_for() -> None:
    assert bench_model.is_miniclip(bench_model.load(BASE))
    assert not bench_model.is_miniclip(bench_model.load(NAME, "random"))
    assert registry.find(BASE).architecture in architectures.open_clip().list_models()


def test_a_folder_of_open_clip_brings_its_weights_and_its_preprocessing(tmp_path: Path) -> None:
    pictures = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear", "resize_mode": "squash"}
    settings = {"model_cfg": architectures.config(model_files.ARCHITECTURE), "preprocess_cfg": pictures}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(settings))
    name = f"local-dir:{tmp_path}"
    with pytest.raises(NegutilError, match=r"has none of open_clip_model\.safetensors"):
        bench_model.load(name)
    safetensors.torch.save_file(model_files.state(), tmp_path / "open_clip_model.safetensors")
    model = bench_model.load(name)
    theirs, _, prepare = architectures.open_clip().create_model_and_transforms(name)
    shown = Image.fromarray(model_files.pictures(1)[0]).resize((90, 64))
    assert torch.equal(model.preprocess(shown), prepare(shown))
    with torch.no_grad():
        wanted = theirs.eval().encode_image(prepare(shown)[None], normalize=True).numpy()
    np.testing.assert_allclose(encode.images(model, [shown], cached=False), wanted, atol=1e-5)
