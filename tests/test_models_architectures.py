from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from negutil.errors import NegutilError
from negutil.models import architectures, torchvision_compat


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(1)
    built: torch.nn.Module = architectures.build("MiniCLIP-S-8")
    return built.eval()


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    texts = ["a cat", "a photo of a big red car beside two dogs and no people", "x " * 100, "dog", "no dog here"]
    found: torch.Tensor = architectures.open_clip().get_tokenizer("MiniCLIP-S-8")(texts)
    return found


@torch.no_grad()
def test_trimming_the_padding_changes_nothing(model: torch.nn.Module, tokens: torch.Tensor) -> None:
    short = tokens[:2]
    assert architectures.trimmed_length(short) < tokens.shape[1]
    full = model.encode_text(short, normalize=True)  # type: ignore[operator]
    torch.testing.assert_close(architectures.encode_text(model, short), full, atol=2e-6, rtol=0)


@torch.no_grad()
def test_chunks_keep_the_order(model: torch.nn.Module, tokens: torch.Tensor) -> None:
    full = model.encode_text(tokens, normalize=True)  # type: ignore[operator]
    torch.testing.assert_close(architectures.encode_text_in_chunks(model, tokens, 3), full, atol=2e-6, rtol=0)
    assert architectures.trimmed_length(tokens) == tokens.shape[1]


def test_gradients_reach_the_positions_that_were_used(model: torch.nn.Module, tokens: torch.Tensor) -> None:
    architectures.encode_text(model, tokens[:1]).sum().backward()
    gradient = model.positional_embedding.grad
    assert isinstance(gradient, torch.Tensor)
    length = architectures.trimmed_length(tokens[:1])
    assert (gradient[:length].abs().sum(dim=1) > 0).all()
    assert (gradient[length:] == 0).all()
    model.zero_grad()


@torch.no_grad()
def test_other_text_towers_run_at_full_length() -> None:
    module = architectures.open_clip()
    settings = architectures.config("MiniCLIP-S-8")
    settings["text_cfg"] = settings["text_cfg"] | {"pool_type": "last"}
    other = module.CLIP(**settings).eval()
    texts = module.get_tokenizer("MiniCLIP-S-8")(["a cat"])
    torch.testing.assert_close(architectures.encode_text(other, texts), other.encode_text(texts, normalize=True))


def test_both_sizes_are_known_with_quick_gelu() -> None:
    for name, width in (("MiniCLIP-S-8", 96), ("MiniCLIP-B-8", 160)):
        assert architectures.config(name)["vision_cfg"]["width"] == width
        assert architectures.uses_quick_gelu(name)


def test_unknown_architecture_is_one_sentence() -> None:
    with pytest.raises(NegutilError, match="'ViT-Z-99' is unknown to open_clip"):
        architectures.config("ViT-Z-99")


def test_config_is_a_copy() -> None:
    architectures.config("MiniCLIP-S-8")["text_cfg"]["width"] = 1
    assert architectures.config("MiniCLIP-S-8")["text_cfg"]["width"] > 1


def run_fresh(code: str) -> str:
    """Output of ``code`` in a Python process of its own, as what torchvision registers stays for a process' life."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_torchvision_imports_whatever_its_build() -> None:
    first, second, left = run_fresh(
        "from negutil.models import torchvision_compat as c\n"
        "first = c.ensure()\n"
        "import torchvision.transforms\n"
        "print(first, c.ensure(), c.missing_operators())"
    ).split(" ", 2)
    assert first in ("True", "False")
    assert second == "False"
    assert left == "[]"


def test_a_torchvision_without_operators_gets_their_schemas() -> None:
    fake = (
        "import sys, types, importlib.abc, importlib.machinery, torch\n"
        "class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'torchvision':\n"
        "            return importlib.machinery.ModuleSpec(name, self)\n"
        "    def create_module(self, spec): return None\n"
        "    def exec_module(self, module):\n"
        "        for name in ('nms', 'qnms'):\n"
        "            torch.library.register_fake(f'torchvision::{name}')(lambda *a: None)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from negutil.models import torchvision_compat as c\n"
    )
    assert run_fresh(fake + "print(c.missing_operators(), c.ensure(), c.missing_operators())") == (
        "['nms', 'qnms'] True []"
    )


def test_a_whole_torchvision_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(torchvision_compat.importlib, "import_module", imported.append)
    monkeypatch.setattr(torchvision_compat, "_kept", [])
    assert torchvision_compat.ensure() is False
    assert imported == ["torchvision"]
    assert torchvision_compat._kept == []


def test_other_failures_of_the_import_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr(torchvision_compat.importlib, "import_module", fail)
    with pytest.raises(RuntimeError, match="something else"):
        torchvision_compat.ensure()


@pytest.mark.parametrize("architecture", ["MiniCLIP-S-8", "RN50-quickgelu", "ViT-B-32-quickgelu"])
def test_an_unfilled_model_needs_only_its_weights_and_draws_no_random_numbers(architecture: str) -> None:
    new = architectures.build(architecture).eval()
    before = torch.get_rng_state()
    unfilled = architectures.build_unfilled(architecture).eval()
    assert torch.equal(torch.get_rng_state(), before)
    unfilled.load_state_dict(new.state_dict())
    buffers = dict(new.named_buffers())  # also those that no state dict holds
    assert buffers
    for name, buffer in unfilled.named_buffers():
        torch.testing.assert_close(buffer, buffers[name])
    size = architectures.config(architecture)["vision_cfg"]["image_size"]
    pictures = torch.rand(1, 3, size, size)
    texts = architectures.tokenizer(architecture)(["a cat"])
    for own, other in zip(unfilled(pictures, texts), new(pictures, texts), strict=True):
        torch.testing.assert_close(own, other)
