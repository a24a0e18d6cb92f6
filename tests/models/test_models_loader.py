from __future__ import annotations

import pickle
from pathlib import Path

import model_files
import numpy as np
import pytest
import safetensors.torch
import torch

from negutil import files, paths
from negutil.errors import NegutilError
from negutil.models import architectures, encode, hub, loader, registry

TINY = model_files.ARCHITECTURE
REGISTRY = """
[mine]
architecture = "Tiny-Test"
path = "mine.safetensors"
sha256 = "00"
activation = "quick_gelu"
size = 64
source = "me"
"""


def write_registry(folder: Path, text: str) -> Path:
    file = folder / "models.toml"
    file.write_text(text)
    return file


def test_registry_of_the_package_is_consistent() -> None:
    known = registry.entries()
    assert {"openai-vit-b-32", "openai-vit-l-14", "openai-vit-l-14-336", "laion2b-vit-b-32"} <= set(known)
    for entry in known.values():
        loader.check_activation(entry)
        assert architectures.config(entry.architecture)["vision_cfg"]["image_size"] == entry.size
        # Nobody can be sure of the sum of a file that the authors give out elsewhere: loading it says the sum first.
        assert len(entry.sha256) == 64 or (not entry.package and not entry.sha256)


def test_openai_weights_are_registered_with_quick_gelu() -> None:
    entries = [entry for entry in registry.entries().values() if entry.tag == "openai"]
    assert len(entries) == 4
    for entry in entries:
        assert entry.activation == "quick_gelu"
        assert entry.architecture.endswith("-quickgelu")


def test_find_lists_what_exists(tmp_path: Path) -> None:
    file = write_registry(tmp_path, REGISTRY)
    assert registry.find("mine", file).architecture == "Tiny-Test"
    with pytest.raises(NegutilError, match=r"no model 'yours' .* there are mine"):
        registry.find("yours", file)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('source = "me"', "", "the setting 'source' is missing"),
        ('source = "me"', 'source = "me"\ncolour = "red"', "the setting 'colour' is unknown"),
        ("size = 64", 'size = "64"', "size is '64': it should be a valid integer"),
        ('"quick_gelu"', '"relu"', "write one of quick_gelu, gelu"),
        ('path = "mine.safetensors"', "", "exactly one of package, path, tag"),
        ('path = "mine.safetensors"', 'path = "a"\ntag = "openai"', "exactly one of package, path, tag"),
        ("size = 64", "size = 64\nmean = [0.5, 0.5]", "the setting 2 of mean is missing"),
        ("[mine]", "mine = 3\n[other]", "it should be an object"),
        ("[mine]", "[mine", "cannot be read as TOML"),
    ],
)
def test_registry_says_what_is_wrong(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in REGISTRY
    with pytest.raises(NegutilError, match=said) as caught:
        registry.entries(write_registry(tmp_path, REGISTRY.replace(before, after)))
    assert "models.toml" in str(caught.value)


def test_missing_registry_is_named(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"nowhere\.toml cannot be read"):
        registry.entries(tmp_path / "nowhere.toml")


def test_load_gives_the_weights_in_float32(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in model_files.state(3).items()}
    loaded = loader.load_entry(model_files.write(tmp_path, state))
    assert loaded.dtype == torch.float32
    assert not loaded.model.training
    for name, value in loaded.model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, state[name].float()), name


def test_fingerprint_names_everything_that_features_depend_on(tmp_path: Path) -> None:
    entry = model_files.write(tmp_path)
    plain = loader.load_entry(entry).fingerprint
    assert plain["weights_sha256"] == entry.sha256
    assert {"architecture", "activation", "preprocessing", "dtype"} <= set(plain)
    changed = loader.load_entry(model_files.entry(Path(entry.path), interpolation="bilinear")).fingerprint
    assert changed != plain


@pytest.mark.parametrize(("activation", "architecture"), [("gelu", TINY), ("quick_gelu", "ViT-B-32")])
def test_wrong_activation_is_an_error(tmp_path: Path, activation: str, architecture: str) -> None:
    entry = model_files.write(tmp_path, activation=activation, architecture=architecture)
    with pytest.raises(NegutilError, match="was trained with"):
        loader.load_entry(entry)


def test_wrong_activation_of_a_tag_is_an_error_before_any_download() -> None:
    entry = registry.Entry("b32", "ViT-B-32", "gelu", "", 224, "OpenAI's weights without QuickGELU", tag="openai")
    with pytest.raises(NegutilError, match="trained with the other activation"):
        loader.load_entry(entry)


def test_wrong_activation_written_in_the_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(model_files.state(), file, metadata={"activation": "gelu"})
    with pytest.raises(NegutilError, match="was trained with gelu, not quick_gelu"):
        loader.load_entry(model_files.entry(file))


def test_the_wrong_activation_would_change_the_features(tmp_path: Path) -> None:
    state = model_files.state()
    right = loader.load_entry(model_files.write(tmp_path, state))
    settings = architectures.config(model_files.ARCHITECTURE) | {"quick_gelu": False}
    wrong = architectures.open_clip().CLIP(**settings).eval()
    wrong.load_state_dict(state)
    tokens = right.tokenizer(model_files.TEXTS)
    with torch.no_grad():
        difference = architectures.encode_text(right.model, tokens) - architectures.encode_text(wrong, tokens)
    assert difference.abs().max() > 1e-3


def test_another_file_than_registered_is_refused(tmp_path: Path) -> None:
    entry = model_files.write(tmp_path, sha256="0" * 64)
    with pytest.raises(NegutilError, match=r"registered with 000000000000\.\.\."):
        loader.load_entry(entry)


def test_weights_exchanged_between_two_loads_are_noticed(tmp_path: Path) -> None:
    entry = model_files.write(tmp_path)
    loaded = loader.load_entry(entry)
    assert loader.load_entry(entry).fingerprint == loaded.fingerprint
    safetensors.torch.save_file({name: -value for name, value in model_files.state().items()}, entry.path)
    with pytest.raises(NegutilError, match="restore the file, or register it under another name"):
        loader.load_entry(entry)


def test_a_path_needs_a_sha256_and_the_sentence_gives_it(tmp_path: Path) -> None:
    entry = model_files.write(tmp_path, sha256="")
    with pytest.raises(NegutilError, match=r"without sha256; that of .* is [0-9a-f]{64}"):
        loader.load_entry(entry)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    entry = model_files.write(tmp_path)
    Path(entry.path).unlink()
    with pytest.raises(NegutilError, match=r"weights\.safetensors.* does not exist"):
        loader.load_entry(entry)


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt"])
def test_a_truncated_file_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    if file.suffix == ".pt":
        torch.save(model_files.state(), file)
    else:
        safetensors.torch.save_file(model_files.state(), file)
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(NegutilError, match=rf"{name} is damaged"):
        loader.load_entry(model_files.entry(file))


def test_missing_extra_and_reshaped_weights_are_one_sentence(tmp_path: Path) -> None:
    state = model_files.state()
    cases = {
        "logit_scale is missing; 1 in all": {key: value for key, value in state.items() if key != "logit_scale"},
        "extra is not known there; 1 in all": state | {"extra": torch.zeros(1)},
        r"visual.proj is \[2, 2\] instead of \[32, 16\]": state | {"visual.proj": torch.zeros(2, 2)},
    }
    for said, tensors in cases.items():
        with pytest.raises(NegutilError, match=said):
            loader.load_entry(model_files.write(tmp_path, tensors))


def test_a_training_checkpoint_is_unwrapped(tmp_path: Path) -> None:
    state = model_files.state(5)
    file = tmp_path / "epoch_8.pt"
    wrapped = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 8, "name": "run", "state_dict": wrapped}, file)
    loaded = loader.load_entry(model_files.entry(file))
    assert torch.equal(loaded.model.logit_scale, state["logit_scale"])
    assert torch.equal(loaded.model.visual.proj, state["visual.proj"])


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.target,))


def test_a_pickle_payload_is_refused_and_not_run(tmp_path: Path) -> None:
    target, file = tmp_path / "was-run", tmp_path / "bad.pt"
    torch.save({"state_dict": Payload(target)}, file)
    with pytest.raises(NegutilError, match=r"bad\.pt is damaged, or contains more than tensors"):
        loader.load_entry(model_files.entry(file))
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))
    assert target.exists(), "the payload itself works, so the refusal above was needed"


def test_a_file_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "list.pt"
    torch.save([torch.zeros(2)], file)
    with pytest.raises(NegutilError, match=r"list\.pt holds a list and no state dict"):
        loader.load_entry(model_files.entry(file))
    torch.save({"epoch": 3}, file)
    with pytest.raises(NegutilError, match="holds no state dict"):
        loader.load_entry(model_files.entry(file))


def test_the_file_of_a_tag_is_noted_at_its_first_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    first, second = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, first)
    safetensors.torch.save_file({"a": torch.ones(1)}, second)
    entry = registry.find("laion2b-vit-b-32")
    served = {"file": first}
    asked: list[tuple[str, str]] = []

    def fetch(repository: str, filename: str | None, revision: str) -> str:
        asked.append((repository, revision))
        return str(served["file"])

    monkeypatch.setattr(architectures.open_clip().pretrained, "download_pretrained_from_hf", fetch)
    assert loader.locate(entry) == loader.locate(entry) == (first, files.sha256(first))
    served["file"] = second
    with pytest.raises(NegutilError, match="registered with"):
        loader.locate(entry)
    assert asked == [("laion/CLIP-ViT-B-32-laion2B-s34B-b79K", entry.revision)] * 3
    assert len(entry.revision) == 40


def test_a_failed_download_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> str:
        raise FileNotFoundError("no network")

    monkeypatch.setattr(architectures.open_clip().pretrained, "download_pretrained_from_hf", fetch)
    for reachable, reason in ((True, "FileNotFoundError: no network"), (False, "it cannot be reached from here")):
        monkeypatch.setattr(hub, "is_reachable", lambda answer=reachable: answer)
        with pytest.raises(NegutilError, match=rf"^timm/vit_base_patch32.* could not be fetched .*\({reason}\)"):
            loader.load("openai-vit-b-32")


def test_unknown_tag_and_unknown_name_are_sentences() -> None:
    entry = registry.Entry("x", "ViT-B-32-quickgelu", "quick_gelu", "", 224, "nobody", tag="nonsense")
    with pytest.raises(NegutilError, match="has no weights 'nonsense'"):
        loader.load_entry(entry)
    with pytest.raises(NegutilError, match="no model 'nonsense'"):
        loader.load("nonsense")


SHIPPED = [name for name, entry in registry.entries().items() if entry.package]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_give_the_stored_features(name: str) -> None:
    """Written by ``python tests/support/reference_features.py`` from the weights as they were shipped.

    See docs/protocols.md#activation.
    """
    stored = np.load(paths.ROOT / "tests" / "reference" / f"{name}.npz")
    model = loader.load(name)
    found_images = encode.images(model, model_files.pictures(), cached=False)
    found_texts = encode.texts(model, model_files.TEXTS, cached=False)
    np.testing.assert_allclose(found_images, stored["images"], atol=1e-4, rtol=0)
    np.testing.assert_allclose(found_texts, stored["texts"], atol=1e-4, rtol=0)
    assert paths.WEIGHTS.joinpath(f"{name}.json").exists()
