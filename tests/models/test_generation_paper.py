"""The path of the paper profile without its weights: a random pipeline of Stable Diffusion 1.4's shape, but narrow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import chat_server
import model_files
import numpy as np
import pytest
import torch

from negutil import config, results
from negutil.captions import annotators
from negutil.compare import engine
from negutil.config import Profile
from negutil.data import t2i_prompts
from negutil.errors import NegutilError
from negutil.models import architectures, encoder_swap, generation, hub
from negutil.models.generation import Order
from negutil.results import Record
from negutil.tasks import neg_score, picture_judge

BASE = "miniclip-b-8"
SETTINGS = architectures.config("MiniCLIP-B-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion 1.4's parts, levels and settings, with few channels and random weights, saved by diffusers."""
    diffusers = hub.library("diffusers")
    torch.manual_seed(0)
    tower = architectures.build("MiniCLIP-B-8").eval()
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16, 16, 16), layers_per_block=2, attention_head_dim=4, norm_num_groups=4,
        cross_attention_dim=SETTINGS["text_cfg"]["width"],
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(4, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4, norm_num_groups=4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=4,
    )  # fmt: skip
    scheduler = diffusers.PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae, unet=unet, scheduler=scheduler, text_encoder=encoder_swap.to_transformers(tower),
        tokenizer=encoder_swap.tokenizer(tower), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    found = tmp_path_factory.mktemp("pipeline")
    pipeline.save_pretrained(found)
    return found


@pytest.fixture
def profile(folder: Path) -> Profile:
    """The paper profile with that pipeline in place of CompVis/stable-diffusion-v1-4."""
    paper = config.load("paper")
    plan = dataclasses.replace(paper.generation, pipeline=str(folder), base=BASE, steps=2, batch=64)
    return dataclasses.replace(paper, generation=plan)


def answer(asked: str, _: int) -> chat_server.Act:
    """Yes to the questions about which there is an "a"; the pictures of a random pipeline show nothing anyway."""
    return chat_server.Act(body=chat_server.completion("Yes." if " a " in asked else "no"))


def test_from_the_published_prompts_to_a_record(
    profile: Profile, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    prompts = t2i_prompts.load(shared_data / "t2i_prompts" / "prompts_with_questions.json")
    rows, seeds = list(range(107)), [1000 * row for row in range(107)]
    made = {
        encoder: generation.draw_order(profile, Order(encoder, tuple(prompts["prompt"][:]), tuple(seeds)))
        for encoder in ("", BASE)
    }
    assert {pictures.shape for pictures in made.values()} == {(107, 64, 64, 3)}
    assert (made[""] != made[BASE]).any(axis=(1, 2, 3)).all()
    with chat_server.serve(answer) as server:
        vision = annotators.build({"kind": "endpoint", "url": server.url, "model": "a judge", "concurrency": 8})
        look = picture_judge.ModelJudge(vision)
        found = neg_score.judge(look, prompts, made[BASE], rows, [0] * 107)
    assert look.unread == 0
    expected = [
        " a " in subject and " a " not in denied
        for subject, denied in zip(prompts["subject_question"][:], prompts["negation_question"][:], strict=True)
    ]
    assert found[neg_score.SCORE].astype(bool).tolist() == expected
    (score,) = engine.means(found[[neg_score.SCORE]].to_numpy(), found["prompt_id"].to_numpy(), profile.bootstrap)
    record = Record.of(score, experiment="t2i", task=neg_score.SCORE, model=BASE, metric="mean over prompts")
    results.save([record], profile.name, "dry_run", "levels", judge=look.name)
    (row,) = results.load(profile.name, "dry_run", "levels").to_dict("records")
    assert row["n"] == 107
    assert row["value"] == pytest.approx(np.mean(expected))
    assert row["ci_low"] < row["value"] < row["ci_high"]


def test_the_tower_that_the_pipeline_has_changes_nothing(profile: Profile, folder: Path) -> None:
    own = generation.load_pipeline(profile, "")
    same = encoder_swap.swap(own, _tower_of(own))
    prompts, seeds = ["a dog not running", "a table without a cup"], [3, 4]
    pictures = [generation.generate(one, prompts, seeds, steps=2, guidance=7.5, cached=False) for one in (own, same)]
    assert np.array_equal(pictures[0], pictures[1])
    assert generation.fingerprint(own) == generation.fingerprint(same)


def _tower_of(pipeline: Any) -> Any:
    """An open_clip model with the pipeline's text tower."""
    from negutil.models import loader

    model = loader.load(BASE)
    model_files.to_open_clip(pipeline.text_encoder, model.model)
    return model


def test_a_pipeline_that_is_not_there(profile: Profile, tmp_path: Path) -> None:
    plan = dataclasses.replace(profile.generation, pipeline=str(tmp_path / "nothing"))
    with pytest.raises(NegutilError, match=r"nothing' is no folder"):
        generation.load_pipeline(dataclasses.replace(profile, generation=plan), "")


def test_a_tower_of_another_size_does_not_fit(profile: Profile) -> None:
    with pytest.raises(NegutilError, match="'miniclip-s-8' has hidden_size 64, but the text_encoder to replace has 80"):
        generation.load_pipeline(profile, "miniclip-s-8")
