"""Models whose text tower is not CLIP's: what they are encoded, fine-tuned and refused by."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import finetune_files
import numpy as np
import pytest
import safetensors.torch
import text_kind_files
import torch
from data_files import complaint, picture, write_text
from typer.testing import CliRunner

from negutil.bench import model as bench_model
from negutil.commands.cli import app
from negutil.compare import layer_probe
from negutil.errors import NegutilError
from negutil.models import architectures, encode, encoder_swap, loader, text_layers, text_tower, trained
from negutil.models.architectures import TextKind
from negutil.models.loader import LoadedModel
from negutil.train import wiseft
from negutil.train.finetune import Trainer, finetune

TEXTS = ["a cat", "a photo of a dog but no cat", "two red cars in a street at night, and a dog that wears a hat"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return text_kind_files.bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return text_kind_files.siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def saved(bert: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The first of them from a file, as a model of the registry is."""
    file = tmp_path_factory.mktemp("saved") / "weights.safetensors"
    safetensors.torch.save_file(bert.model.state_dict(), file)
    return bench_model.load(bert.entry.architecture, str(file))


def test_what_a_tower_has_is_known(bert: LoadedModel, siglip: LoadedModel) -> None:
    kinds = [architectures.text_kind(model.model) for model in (bert, siglip, bench_model.load("miniclip-s-8"))]
    assert kinds == [TextKind.MASKED, TextKind.WHOLE, TextKind.CAUSAL]
    # The start, the words and the end; of the other tower all places, which see the padding.
    assert architectures.text_lengths(bert.model, bert.tokenizer(TEXTS)).tolist() == [4, 10, 18]
    assert architectures.text_lengths(siglip.model, siglip.tokenizer(TEXTS)).tolist() == [24, 24, 24]


def test_features_are_those_of_open_clip(bert: LoadedModel, siglip: LoadedModel) -> None:
    for model in (bert, siglip):
        with torch.inference_mode():
            expected = model.model.encode_text(model.tokenizer(TEXTS), normalize=True).numpy()
        for share in (False, True):
            found = encode.texts(model, TEXTS, batch=2, cached=False, share=share)
            np.testing.assert_allclose(found, expected, atol=2e-6)
        assert not np.allclose(expected[0], expected[1], atol=1e-3)
    # Cutting its padding off would change what the other tower says.
    with torch.inference_mode():
        cut = siglip.model.encode_text(siglip.tokenizer(TEXTS[:1])[:, :4], normalize=True).numpy()
    assert not np.allclose(cut, encode.texts(siglip, TEXTS[:1], cached=False), atol=1e-3)


@pytest.mark.parametrize("chunks", [1, 3])
def test_the_tower_in_training_has_the_features_and_gradients_of_the_model(saved: LoadedModel, chunks: int) -> None:
    examples = finetune_files.examples()
    trainer = Trainer(saved, examples, dataclasses.replace(finetune_files.CONFIG, text_chunks=chunks))
    assert len(trainer.data.ids) < 30, "the embedding holds the tokens that occur alone"
    found = trainer.tower(trainer.data.tokens[trainer.data.texts["captions"]])
    expected = saved.model.encode_text(saved.tokenizer(examples.captions))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    found.square().sum().backward()
    saved.model.zero_grad()
    expected.square().sum().backward()
    name = text_tower.embedding(saved.model.state_dict())
    gradient = trainer.tower.clip.get_parameter(name).grad
    theirs = saved.model.get_parameter(name).grad
    assert gradient is not None
    assert theirs is not None
    torch.testing.assert_close(gradient, theirs[trainer.data.ids], atol=1e-5, rtol=1e-3)
    saved.model.zero_grad()


def test_a_tower_of_transformers_is_fine_tuned_and_loaded(
    saved: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = finetune(saved, finetune_files.examples(), finetune_files.CONFIG, tmp_path / "run")
    assert found.about["validation_loss"] > 0
    monkeypatch.setattr(loader.registry, "find", lambda name: saved.entry)
    tuned = loader.load_tuned(found)
    tensors, ids = trained.tensors(found)
    name = text_tower.embedding(tensors)
    before, after = saved.model.state_dict(), tuned.model.state_dict()
    changed = {each for each, value in after.items() if not torch.equal(value, before[each])}
    assert {"text.proj.weight", name, "logit_scale"} <= changed
    assert not [each for each in changed if each.startswith("visual.")]
    others = [row for row in range(64) if row not in ids]
    assert torch.equal(after[name][others], before[name][others])
    assert tuned.fingerprint["image_tower_sha256"] == saved.fingerprint["image_tower_sha256"]
    half = wiseft.interpolate(saved, tuned, 0.5).model.state_dict()
    torch.testing.assert_close(half[name], (before[name] + after[name]) / 2)


def test_what_cannot_work_is_one_sentence(bert: LoadedModel, siglip: LoadedModel) -> None:
    told = complaint(Trainer, siglip, finetune_files.examples(), finetune_files.CONFIG)
    assert "no text tower like CLIP's or BERT's; fine-tune another model" in told
    for model in (bert, siglip):
        assert "like CLIP's or BERT's of 3 layers or more" in complaint(text_layers.features, model, TEXTS)
        assert "no text tower like CLIP's" in complaint(encoder_swap.to_transformers, model.model)
    with pytest.raises(NegutilError, match="no text tower like CLIP's"):
        layer_probe.layers(siglip, TEXTS)
    with pytest.raises(NegutilError, match="no causal text tower, whose tokens"):
        text_layers.at_tokens(bert, bert.tokenizer(TEXTS), 18)


def test_layers_are_pooled_as_the_tower_pools_its_last(bert: LoadedModel) -> None:
    """Padding moves nothing, the first layer is what the states of the first block make, the last the text feature."""
    found = layer_probe.layers(bert, TEXTS)
    assert list(found) == ["layer 1", "output"]
    output = found["output"] / np.linalg.norm(found["output"], axis=1, keepdims=True)
    np.testing.assert_allclose(output, encode.texts(bert, TEXTS, cached=False), atol=1e-5)
    tokens = bert.tokenizer(TEXTS[:1])[:, :4]
    with torch.inference_mode():
        states = bert.model.text.transformer(input_ids=tokens, output_hidden_states=True).hidden_states[1]
        expected = bert.model.text.proj(states.mean(dim=1)).numpy()
    np.testing.assert_allclose(found["layer 1"][:1], expected, atol=1e-5)


def test_bench_examines_them(bert: LoadedModel, siglip: LoadedModel, tmp_path: Path) -> None:
    for number, colour in enumerate([(200, 30, 30), (30, 200, 30)]):
        picture(tmp_path / f"{number}.png", colour)
    write_text(tmp_path / "mine.csv", "image,true,false", "0.png,a cat,no cat", "1.png,a photo of a dog,no dog")
    for number, model in enumerate((bert, siglip)):
        line = ["bench", model.entry.architecture, "--pretrained", "random", "--pairs", str(tmp_path / "mine.csv")]
        done = CliRunner().invoke(app, [*line, "--out", str(tmp_path / f"card {number}")])
        assert done.exit_code == 0, done.output
        assert "mine" in done.output
