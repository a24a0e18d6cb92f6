"""Weights in the forms that their authors save them in are read alike, and nothing is executed."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import model_files
import numpy as np
import pytest
import safetensors.torch
import torch

from negutil import paths
from negutil.errors import NegutilError
from negutil.models import checkpoints, loader
from negutil.models.checkpoints import State


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    file = model_files.write(tmp_path_factory.mktemp("weights")).file
    assert file is not None
    return safetensors.torch.load_file(file)


def same(found: State, wanted: State) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize("key", checkpoints.WRAPPERS)
def test_training_checkpoints_are_unwrapped(state: State, tmp_path: Path, key: str) -> None:
    file = tmp_path / "epoch_3.pt"
    torch.save({"epoch": 3, "optimizer": {}, "logs": {"epoch_1": {"loss": 1.0}}, key: state}, file)
    assert same(checkpoints.read(file), state)


@pytest.mark.parametrize("prefix", [*checkpoints.PREFIXES, "module._orig_mod."])
def test_prefixes_of_wrapped_models_are_removed(state: State, tmp_path: Path, prefix: str) -> None:
    file = tmp_path / "weights.pt"
    torch.save(prefixed(state, prefix), file)
    assert same(checkpoints.read(file), state)


@pytest.mark.parametrize("number", [np.float64(1e-5), np.float32(0.5), np.int64(3), np.bool_(True)])
def test_numbers_of_numpy_may_stand_beside_the_weights(state: State, tmp_path: Path, number: Any) -> None:
    file = tmp_path / "epoch_3.pt"
    torch.save({"state_dict": prefixed(state, "module."), "optimizer": {"param_groups": [{"lr": number}]}}, file)
    assert same(checkpoints.read(file), state)


def test_what_would_run_is_named(state: State, tmp_path: Path) -> None:
    file = tmp_path / "namespace.pt"
    torch.save({"state_dict": state, "args": argparse.Namespace(lr=1)}, file)
    with pytest.raises(NegutilError, match=r"namespace\.pt .*argparse\.Namespace would have to run"):
        checkpoints.read(file)


def test_a_checkpoint_without_weights_names_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "other.pt"
    torch.save({"weights_of_mine": {"a": torch.zeros(1)}, "epoch": 3}, file)
    with pytest.raises(NegutilError, match="it has weights_of_mine, epoch, and none of state_dict, model_state_dict"):
        checkpoints.read(file)


class Holder(torch.nn.Module):
    """A module with the tensors of a state dict, as an archive of TorchScript holds them."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in state.items():
            *parents, last = name.split(".")
            at: Any = self
            for parent in parents:
                if not hasattr(at, parent):
                    at.add_module(parent, torch.nn.Module())
                at = getattr(at, parent)
            at.register_buffer(last, tensor.clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_tensors_are_taken_out_of_a_torchscript_archive(state: State, tmp_path: Path) -> None:
    numbers = {name: torch.tensor(7) for name in checkpoints.NOT_WEIGHTS}
    torch.jit.save(torch.jit.script(Holder(state | numbers)), tmp_path / "ViT-B-32.pt")
    assert same(checkpoints.read(tmp_path / "ViT-B-32.pt"), state)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "UPPER.SAFETENSORS", "3f9a7e"])
def test_safetensors_are_known_by_their_contents(state: State, tmp_path: Path, name: str) -> None:
    safetensors.torch.save_file(state, tmp_path / name, metadata={"activation": "gelu"})
    assert same(checkpoints.read(tmp_path / name), state)
    assert checkpoints.noted_activation(tmp_path / name) == "gelu"
    with pytest.raises(NegutilError, match="was trained with gelu, not quick_gelu"):
        checkpoints.read(tmp_path / name, "quick_gelu")


def test_a_link_into_the_cache_of_a_hub_is_read(state: State, tmp_path: Path) -> None:
    blob, link = tmp_path / "blobs" / "3f9a7e", tmp_path / "snapshots" / "r1" / "open_clip_model.safetensors"
    for file in (blob, link):
        file.parent.mkdir(parents=True)
    safetensors.torch.save_file(state, blob)
    link.symlink_to(blob)
    assert same(checkpoints.read(link), state)


def test_a_logit_scale_of_one_number_fits(state: State, tmp_path: Path) -> None:
    file = tmp_path / "vector.safetensors"
    safetensors.torch.save_file(state | {"logit_scale": state["logit_scale"].reshape(1)}, file)
    assert loader.load_entry(model_files.entry(file)).model.logit_scale.shape == ()


def test_a_missing_or_truncated_file_is_named(state: State, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"gone\.pt cannot be read"):
        checkpoints.read(tmp_path / "gone.pt")
    for name in ("cut.safetensors", "cut.pt"):
        whole = tmp_path / f"whole-{name}"
        torch.save(state, whole) if name.endswith("pt") else safetensors.torch.save_file(state, whole)
        (tmp_path / name).write_bytes(whole.read_bytes()[:-100])
        with pytest.raises(NegutilError, match=f"{name} is damaged"):
            checkpoints.read(tmp_path / name)


def test_real_layouts_are_read_alike_or_refused(shared_data: Path, tmp_path: Path) -> None:
    script = shared_data / "bad_input" / "make_checkpoints.py"
    subprocess.run(
        [sys.executable, script, tmp_path], check=True, capture_output=True, env=os.environ | {"PYTHONPATH": paths.ROOT}
    )
    wanted = checkpoints.read(paths.WEIGHTS / "miniclip-s-8.safetensors")
    made = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    assert len(made) >= 15
    with pytest.raises(NegutilError, match=r"argparse\.Namespace would have to run"):
        checkpoints.read(made.pop("namespace.pt"))
    for name, path in made.items():
        found = checkpoints.read(path)
        found["logit_scale"] = found["logit_scale"].reshape(())  # one number in a list, in one of the files
        assert same(found, wanted), name


def test_weights_of_transformers_give_the_same_features(tmp_path: Path) -> None:
    import transformers

    text = {"hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(
        text_config=text | {"vocab_size": 49408, "eos_token_id": 49407},
        vision_config=vision | {"image_size": 64, "patch_size": 16},
        projection_dim=16,
    )
    torch.manual_seed(0)
    theirs = transformers.CLIPModel(config).eval()
    theirs.save_pretrained(tmp_path)
    model = loader.load_entry(model_files.entry(tmp_path / "model.safetensors"))
    tokens = model.tokenizer(model_files.TEXTS)
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = theirs(input_ids=tokens, pixel_values=pixels)
        texts, images = (
            model.model.encode_text(tokens, normalize=True),
            model.model.encode_image(pixels, normalize=True),
        )
    torch.testing.assert_close(texts, wanted.text_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(images, wanted.image_embeds, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.model.logit_scale, theirs.logit_scale)
