from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import minisd_files
import model_files
import numpy as np
import pytest
import torch

from miniworld.pretrain import minisd as pretrain_minisd
from miniworld.pretrain.pool import open_pool
from negutil import files
from negutil.errors import NegutilError
from negutil.models import encoder_swap, generation, loader, minisd
from negutil.models.loader import LoadedModel
from negutil.models.minisd import PatchTransform
from negutil.train.loop import read_checkpoint

SIX = ["a red picture", "a green picture", "a red picture", "", "all of it is blue, really", "a white picture"]
SEEDS = [0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a MiniSD that learned for a few steps."""
    folder = tmp_path_factory.mktemp("minisd")
    trainer = pretrain_minisd.pretrain(minisd_files.CONFIG, minisd_files.pool(folder / "pool"), folder / "run")
    trainer.export(folder / minisd.WEIGHTS, "test")
    return folder / minisd.WEIGHTS


@pytest.fixture(scope="module")
def pipeline(weights: Path) -> Any:
    return minisd.load(file=weights)


@pytest.fixture(scope="module")
def other() -> LoadedModel:
    """The base model with its text tower changed a little."""
    model = loader.load(minisd.BASE)
    with torch.no_grad():
        model.model.ln_final.bias.add_(1.0)
    return model


def pictures(n: int) -> np.ndarray:
    return np.stack([picture for picture, _ in minisd_files.items(n, 1)])


def as_tensor(found: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(found).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_all_components_give_the_picture_back() -> None:
    shown = np.concatenate([pictures(8), model_files.pictures(3)])
    vae = minisd.fit_transform(shown, minisd.Shape(components=192))
    latents = minisd.latents(vae, shown)
    assert latents.shape == (11, 192, 8, 8)
    again = vae.decode(latents / vae.config.scaling_factor).sample
    torch.testing.assert_close(again, as_tensor(shown), atol=1e-3, rtol=0)


def test_fewer_components_keep_what_varies_most() -> None:
    shown = pictures(8)
    errors = []
    for components in (1, 4, 32):
        vae = minisd.fit_transform(shown, minisd.Shape(components=components))
        basis = vae.basis.flatten(1)
        torch.testing.assert_close(basis @ basis.T, torch.eye(components), atol=1e-5, rtol=0)
        latents = minisd.latents(vae, shown)
        assert latents.var() == pytest.approx(1, abs=0.05)
        errors.append((vae.decode(latents / vae.config.scaling_factor).sample - as_tensor(shown)).square().mean())
    assert errors[0] > errors[1] > errors[2]


def test_too_few_pictures_for_the_transform() -> None:
    with pytest.raises(NegutilError, match="3 images are too few"):
        minisd.fit_transform(pictures(3), minisd.Shape(patch=16))


def test_the_transform_is_saved_and_loaded_as_models_of_diffusers_are(tmp_path: Path) -> None:
    vae = minisd.fit_transform(pictures(8), minisd_files.SHAPE)
    vae.save_pretrained(tmp_path)
    again = PatchTransform.from_pretrained(tmp_path)
    assert again.config.scaling_factor == vae.config.scaling_factor
    assert torch.equal(minisd.latents(again, pictures(2)), minisd.latents(vae, pictures(2)))


def test_exported_weights_are_those_of_the_mean(weights: Path) -> None:
    config, folder = minisd_files.CONFIG, weights.parent
    trainer = pretrain_minisd.Trainer(config, open_pool(folder / "pool"))
    trainer.restore(read_checkpoint(folder / "run"))
    unet, vae, _ = minisd.load_parts(weights)
    for name, value in trainer.mean.state_dict().items():
        torch.testing.assert_close(unet.state_dict()[name], value, atol=2e-3, rtol=1e-3)
    assert torch.equal(vae.basis, trainer.vae.basis)
    assert vae.config.scaling_factor == trainer.vae.config.scaling_factor


def test_damaged_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    file, note = tmp_path / minisd.WEIGHTS, tmp_path / "minisd.json"
    with pytest.raises(NegutilError, match=r"minisd\.json cannot be read"):
        minisd.load(file=file)
    about = json.loads(weights.with_suffix(".json").read_text())
    note.write_text(json.dumps(about))
    file.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(NegutilError, match=r"is not the file that was written; restore it and minisd"):
        minisd.load(file=file)
    file.write_bytes(weights.read_bytes()[:-100])
    note.write_text(json.dumps(about | {"sha256": files.sha256(file)}))
    with pytest.raises(NegutilError, match="is damaged"):
        minisd.load(file=file)
    file.write_bytes(weights.read_bytes())
    note.write_text(json.dumps(about | {"shape": about["shape"] | {"channels": [12]}}))
    with pytest.raises(NegutilError, match="does not fit the shape"):
        minisd.load(file=file)
    note.write_text(json.dumps(about | {"base_sha256": "0" * 64}))
    with pytest.raises(NegutilError, match=r"pretrained with 'miniclip-b-8' with sha256 000000000000\.\.\."):
        minisd.load(file=file)
    note.write_text("{}")
    with pytest.raises(NegutilError, match="does not describe a MiniSD"):
        minisd.load(file=file)


def test_pictures_do_not_depend_on_their_neighbours(pipeline: Any) -> None:
    whole = generation.generate(pipeline, SIX, SEEDS, steps=2, cached=False)
    assert whole.shape == (6, 64, 64, 3)
    assert whole.dtype == np.uint8
    order = [4, 0, 5, 2, 1, 3]
    mixed = generation.generate(
        pipeline, [SIX[i] for i in order], [SEEDS[i] for i in order], steps=2, batch=4, cached=False
    )
    assert np.abs(mixed.astype(int) - whole[order]).max() <= 1
    assert np.array_equal(generation.generate(pipeline, SIX, SEEDS, steps=2, cached=False), whole)


def test_prompt_seed_guidance_and_negative_prompt_matter(pipeline: Any) -> None:
    def one(prompt: str = "a red picture", seed: int = 0, **settings: Any) -> bytes:
        return generation.generate(pipeline, [prompt], [seed], **{"steps": 2, "cached": False} | settings).tobytes()

    found = [one(), one("a blue picture"), one(seed=1), one(guidance=30.0), one(steps=3),
             one(negative_prompts=["a green picture"])]  # fmt: skip
    assert len(set(found)) == len(found)
    assert one(negative_prompts=[""]) == found[0]


def test_guidance_of_one_does_not_look_at_the_negative_prompt(pipeline: Any) -> None:
    found = [
        generation.generate(
            pipeline, ["a red picture"], [0], steps=2, guidance=1.0, negative_prompts=[no], cached=False
        )
        for no in ("", "a red picture")
    ]
    assert np.array_equal(found[0], found[1])


def test_pictures_are_drawn_once(pipeline: Any, other: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    original = generation._draw

    def counting(pipe: Any, items: list[generation.Item], settings: dict[str, Any]) -> dict[str, np.ndarray]:
        drawn.append(len(items))
        return original(pipe, items, settings)

    monkeypatch.setattr(generation, "_draw", counting)
    first = generation.generate(pipeline, SIX, SEEDS, steps=2, batch=4)
    assert drawn == [4, 2]
    assert np.array_equal(generation.generate(pipeline, SIX, SEEDS, steps=2, batch=4), first)
    assert drawn == [4, 2]
    swapped = encoder_swap.swap(pipeline, other)
    assert not np.array_equal(generation.generate(swapped, SIX, SEEDS, steps=2, batch=4), first)
    assert drawn == [4, 2, 4, 2]
    generation.generate(pipeline, SIX, SEEDS, steps=2, guidance=2.0, batch=6)
    assert drawn == [4, 2, 4, 2, 6]


def test_the_fingerprint_tells_encoders_apart(pipeline: Any, other: LoadedModel, weights: Path) -> None:
    own, swapped = generation.fingerprint(pipeline), generation.fingerprint(encoder_swap.swap(pipeline, other))
    assert {key for key in own if own[key] != swapped[key]} == {"text_encoder"}
    assert generation.fingerprint(minisd.load(file=weights)) == own
    assert generation.fingerprint(minisd.load(other, weights)) == swapped


def test_wrong_lists_are_refused(pipeline: Any) -> None:
    with pytest.raises(NegutilError, match="no prompt to draw"):
        generation.generate(pipeline, [], [])
    with pytest.raises(NegutilError, match="2 prompts, 1 seeds and 2 negative prompts"):
        generation.generate(pipeline, ["a", "b"], [0])
    with pytest.raises(NegutilError, match="in 0 steps"):
        generation.generate(pipeline, ["a"], [0], steps=0)
