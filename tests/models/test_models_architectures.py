from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from negutil.errors import NegutilError
from negutil.models import architectures


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
    assert architectures.text_lengths(model, short).max() < tokens.shape[1]
    full = model.encode_text(short, normalize=True)  # type: ignore[operator]
    torch.testing.assert_close(architectures.encode_text(model, short), full, atol=2e-6, rtol=0)


@torch.no_grad()
def test_chunks_keep_the_order(model: torch.nn.Module, tokens: torch.Tensor) -> None:
    full = model.encode_text(tokens, normalize=True)  # type: ignore[operator]
    torch.testing.assert_close(architectures.encode_text_in_chunks(model, tokens, 3), full, atol=2e-6, rtol=0)
    assert architectures.text_lengths(model, tokens).max() == tokens.shape[1]


def test_gradients_reach_the_positions_that_were_used(model: torch.nn.Module, tokens: torch.Tensor) -> None:
    architectures.encode_text(model, tokens[:1]).sum().backward()
    gradient = model.positional_embedding.grad
    assert isinstance(gradient, torch.Tensor)
    length = int(architectures.text_lengths(model, tokens[:1]).max())
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
    told = run_fresh(
        "from negutil.models import torchvision_compat as c\n"
        "import torchvision.transforms\n"
        "print(sorted(c.SCHEMAS), c.define_missing())"
    )
    assert told == "['nms', 'qnms'] []"


FAKE = """
import sys
sys.path.insert(0, {folder!r})
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "_Hook"]  # of a .venv of run_all.sh
from negutil.models import torchvision_compat as c
"""
REGISTERS = """
import torch
for name in ("nms", "qnms"):
    torch.library.register_fake(f"torchvision::{name}")(print)
"""
DEFINES = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def fake_torchvision(folder: Path, library: str) -> str:
    """Code that comes before the import of a torchvision that is nothing but its operators, with their ``library``."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("from . import extension\nfrom torchvision import _meta_registrations\n")
    (package / "extension.py").write_text(library)
    (package / "_meta_registrations.py").write_text(REGISTERS)
    return FAKE.format(folder=str(folder))


def test_a_torchvision_without_operators_gets_their_schemas(tmp_path: Path) -> None:
    before = fake_torchvision(tmp_path, "")
    assert run_fresh(before + "import torchvision\nprint(len(c._kept), c.define_missing())") == "1 []"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_fresh(before + "sys.meta_path.remove(c._HOOK)\nimport torchvision")
    assert "operator torchvision::nms does not exist" in failed.value.stderr


def test_a_whole_torchvision_is_left_alone(tmp_path: Path) -> None:
    before = fake_torchvision(tmp_path, DEFINES)
    assert run_fresh(before + "import torchvision\nprint(len(c._kept), c.define_missing())") == "0 []"


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
