"""Models that leave: they load in plain open_clip and transformers with equal features, with a card, and on a hub."""

from __future__ import annotations

import json
from pathlib import Path

import finetune_files
import hub_server
import model_files
import open_clip
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from typer.testing import CliRunner

from negutil.bench import export
from negutil.commands import cli
from negutil.errors import NegutilError
from negutil.models import hub, loader, registry
from negutil.models.loader import LoadedModel
from negutil.models.trained import Trained
from negutil.train.finetune import finetune

TOKEN = "hf_secret"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return finetune_files.model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def tuned(base: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return finetune(base, finetune_files.examples(), finetune_files.CONFIG, tmp_path_factory.mktemp("tuned") / "run")


@pytest.fixture(scope="module")
def model(base: LoadedModel, tuned: Trained) -> LoadedModel:
    """The base with the fine-tuned tower; the registry knows the base while it is loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "find", lambda name: base.entry)
        return loader.load_tuned(tuned)


@pytest.fixture(scope="module")
def exported(model: LoadedModel, tuned: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned tower's folder, for both libraries, with the numbers of a report card."""
    folder = tmp_path_factory.mktemp("exported")
    row = {"task": "VALSE existence", "metric": "pairwise accuracy", "value": 0.71234, "n": 5}
    card = {"main": [["VALSE existence", "pairwise accuracy"]], "records": [row, row | {"metric": "other"}]}
    (folder / "bench.json").write_text(json.dumps(card))
    export.write(model, folder / "mine", tuned, folder, transformers=True)
    return folder / "mine"


def test_plain_open_clip_gives_equal_features(base: LoadedModel, model: LoadedModel, exported: Path) -> None:
    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{exported}")
    picture = Image.fromarray(model_files.pictures()[0])
    pixels = model.preprocess(picture)
    torch.testing.assert_close(preprocess(picture), pixels)
    tokens = open_clip.get_tokenizer(f"local-dir:{exported}")(model_files.TEXTS)
    with torch.no_grad():
        for name, given in (("encode_text", tokens), ("encode_image", pixels[None])):
            wanted = getattr(model.model, name)(given)
            torch.testing.assert_close(getattr(theirs.eval(), name)(given), wanted, atol=1e-6, rtol=0)
        assert not torch.allclose(theirs.encode_text(tokens), base.model.encode_text(tokens), atol=1e-3)


def test_plain_transformers_gives_equal_features(model: LoadedModel, exported: Path) -> None:
    transformers = hub.library("transformers")
    theirs = transformers.CLIPModel.from_pretrained(exported).eval()
    words = transformers.CLIPTokenizer.from_pretrained(exported)
    tokens = words(model_files.TEXTS, padding="max_length", return_tensors="pt").input_ids
    pixels = model.preprocess(Image.fromarray(model_files.pictures()[0]))[None]
    with torch.no_grad():
        found = theirs(input_ids=tokens, pixel_values=pixels)
        texts = model.model.encode_text(model.tokenizer(model_files.TEXTS), normalize=True)
        images = model.model.encode_image(pixels, normalize=True)
    torch.testing.assert_close(found.text_embeds, texts, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.image_embeds, images, atol=1e-6, rtol=0)
    settings = json.loads((exported / "preprocessor_config.json").read_text())
    assert settings["image_mean"] == list(model.entry.mean)


def test_the_card_has_recipe_numbers_and_limits_in_the_hub_s_format(exported: Path) -> None:
    card = ModelCard.load(exported / "README.md")
    (number,) = card.data.eval_results
    assert (number.dataset_name, number.metric_type, number.metric_value) == (
        "VALSE existence", "pairwise accuracy", 0.7123,
    )  # fmt: skip
    assert card.data.library_name == "open_clip"
    assert (card.data.license, card.data.license_name) == ("other", "licence-of-the-base-model")
    recipe = ("- lr: 0.003", "- method: infonce", "- seed: 0", "- data: sha256", "base weights: sha256")
    for said in (*recipe, "## Limits", "## Licence", "VALSE existence"):
        assert said in card.text


def test_without_a_report_card_the_model_card_says_how_to_make_one(model: LoadedModel, tmp_path: Path) -> None:
    written = export.write(model, tmp_path / "bare")
    assert [path.name for path in written] == ["README.md", "open_clip_config.json", "open_clip_model.safetensors"]
    assert "Not measured: `negutil bench" in (tmp_path / "bare" / "README.md").read_text()


def test_a_wrong_report_card_is_refused_before_anything_is_written(model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"bench\.json .*negutil bench local-dir:FOLDER"):
        export.write(model, tmp_path / "out", card=tmp_path)
    (tmp_path / "bench.json").write_text('{"main": [], "records": []}')
    with pytest.raises(NegutilError, match=r"bench\.json has no numbers"):
        export.write(model, tmp_path / "out", card=tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_pushed_to_a_hub(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_server.serving(TOKEN) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(NegutilError, match=r"could not be pushed to 'somebody/model' .*set HF_TOKEN"):
            export.push(exported, "somebody/model")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        done = CliRunner().invoke(cli.app, ["push", str(exported), "somebody/model"])
        assert done.exit_code == 0, done.output
        assert done.output.strip() == f"{server.url}/somebody/model/commit/1"
    sent = server.files["somebody/model"]
    assert sent["open_clip_model.safetensors"] == (exported / "open_clip_model.safetensors").read_bytes()
    assert {path.name for path in exported.iterdir()} == set(sent)


def test_a_folder_that_is_no_model_is_not_pushed(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"has no open_clip_config\.json: write it with `negutil finetune"):
        export.push(tmp_path, "somebody/model")
