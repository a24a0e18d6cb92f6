from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from minisd_files import SHAPE

from negutil import config, paths, results
from negutil.compare import claims, text_to_image
from negutil.compare.text_to_image import CLIP, DELETED, NEGATIVE, Findings
from negutil.config import Profile
from negutil.models import generation, loader, minisd
from negutil.plots import text_to_image as plots
from negutil.tasks import neg_score, picture_judge, tifa

METHODS = ("plain", "con-clip", "negationclip")


@pytest.fixture(scope="module")
def settings() -> Profile:
    quick = config.load("quick")
    plan = dataclasses.replace(
        quick.generation,
        prompts=10,
        picture_seeds=2,
        seeds=(0, 1),
        captions=4,
        floor=3,
        steps=1,
        judge_pictures=40,
        processes=1,
    )
    return dataclasses.replace(quick, generation=plan, bootstrap=config.Bootstrap(30, 0))


@pytest.fixture
def found(settings: Profile, monkeypatch: pytest.MonkeyPatch) -> Iterator[Findings]:
    """A whole run with a random pipeline; every text encoder is the pipeline's own."""
    vae = minisd.fit_transform(picture_judge.held_out(20).pictures, SHAPE)
    pipeline = minisd.assemble(minisd.build_unet(SHAPE), vae, loader.load("miniclip-b-8"))

    def own(_: Profile, __: str) -> Any:
        return pipeline

    monkeypatch.setattr(generation, "load_pipeline", own)
    yield text_to_image.run(settings)
    plt.close("all")


def test_a_run_from_prompts_to_verdicts(found: Findings, settings: Profile) -> None:
    _every_way_draws_every_prompt(found)
    _equal_encoders_differ_in_nothing(found)
    _tables_are_written(settings)
    _verdicts_follow(settings)
    _tables_for_the_notebook(found, settings)
    _figures_are_drawn(found, settings)


def _every_way_draws_every_prompt(found: Findings) -> None:
    items = found.items
    assert set(items["method"]) == {CLIP, *METHODS, DELETED, NEGATIVE}
    assert items.groupby("method")["prompt_id"].nunique().eq(10).all()
    assert items.groupby(["method", "prompt_id"]).size().eq(2).all()
    assert len(found.pictures) == len(items)
    seeds = items[items["method"] == "plain"].groupby("encoder_seed")["picture_seed"].unique()
    assert {seed: own.tolist() for seed, own in seeds.items()} == {0: [0], 1: [1]}


def _equal_encoders_differ_in_nothing(found: Findings) -> None:
    gains = found.table[(found.table["kind"] == "gain over CLIP") & found.table["method"].isin(METHODS)]
    assert not gains.empty
    assert gains["value"].abs().max() == pytest.approx(0)


def _tables_are_written(settings: Profile) -> None:
    levels = results.load(settings.name, text_to_image.EXPERIMENT, "levels")
    own = levels[(levels["task"] == "Neg Score/negationclip")]
    assert own["paper_value"].tolist() == [0.449]
    assert own["n"].tolist() == [20]
    assert set(levels["model"]) == {"minisd"}
    tasks = set(levels["task"])
    assert {
        "TIFA/CLIP",
        f"TIFA/{text_to_image.REAL}",
        "negated thing shown/deleted",
        "Neg Score, corrected/CLIP",
    } <= tasks
    judge = results.load(settings.name, text_to_image.EXPERIMENT, "judge")
    assert judge["model"].str.startswith("judge of the mini world").all()
    assert "all questions, autoencoded images" in set(judge["task"])
    items = pd.read_parquet(paths.results(settings.name) / text_to_image.EXPERIMENT / "items.parquet")
    assert {"prompt", "subject_sure", neg_score.SCORE} <= set(items)


def _verdicts_follow(settings: Profile) -> None:
    verdicts = claims.judge(claims.of_notebook("07"), settings.name, ["minisd"])
    assert len(verdicts) == len(claims.of_notebook("07"))


def _tables_for_the_notebook(found: Findings, settings: Profile) -> None:
    table = found.levels(text_to_image.MEASURES)
    assert table["model"].tolist()[:2] == ["CLIP", "plain captions"]
    assert table["architecture"].str.startswith("published").sum() == 5
    gains = found.gains(text_to_image.MEASURES[:1], kind="gain over CLIP")
    assert "CLIP, negative prompt" in set(gains["model"])
    assert found.seeds((neg_score.SCORE, tifa.SCORE))[neg_score.SCORE].str.contains(" · ").all()
    assert set(text_to_image.floor_table(found.floor)["prompts for"]) == {text_to_image.EVERY, *text_to_image.KINDS}
    assert text_to_image.judge_table(found.judge)["questions"].gt(0).all()


def _figures_are_drawn(found: Findings, settings: Profile) -> None:
    draw = plots
    assert draw.grid(text_to_image.affirmative_grid(found, 3)).axes
    assert draw.grid(*text_to_image.side_by_side(settings, found, 4)).axes
    assert draw.grid(text_to_image.judged_grid(settings, 4)).axes
    assert draw.measures(found.table, (neg_score.SCORE, tifa.SCORE)).axes
    assert draw.by_kind(found.table, text_to_image.BY_KIND).axes
    assert draw.trade(found.table, tifa.SCORE, neg_score.SCORE).axes
    assert draw.reliability(found.exam, ("clean", "mixed")).axes


def test_the_published_table_is_read_whole() -> None:
    known = text_to_image.published()
    assert sum(map(len, known.values())) == 10
    first = known["published, SD-1.4"]
    assert next(iter(known)) == "published, SD-1.4"
    assert first["Neg Score", "con-clip"] == (0.243, "NegationCLIP, Table 4: SD-1.4")
    assert first["TIFA", CLIP][0] == 0.786


def test_pictures_are_dealt_to_encoders(settings: Profile) -> None:
    plan = dataclasses.replace(settings.generation, seeds=(3, 4, 5), picture_seeds=6)
    six = dataclasses.replace(settings, generation=plan)
    assert text_to_image.shares(six, "plain") == {3: [0, 3], 4: [1, 4], 5: [2, 5]}
    assert text_to_image.shares(six, CLIP) == {3: [0, 1, 2, 3, 4, 5]}
    assert text_to_image.encoder(six, "plain", 4) == "miniclip-b-8+plain/seed4"
    assert text_to_image.encoder(six, NEGATIVE, 3) == ""


def test_affirmative_prompts_are_possible_and_differ() -> None:
    asked = text_to_image.floor_prompts(20)
    assert len({one.prompt for one in asked}) == 20 * len(text_to_image.KINDS)
    assert all(len(one.facts) == 2 for one in asked if one.kind == text_to_image.PAIR)
    assert not text_to_image.possible(["Bald", "Bangs"])
    assert text_to_image.possible(["Bald", "Smiling"])


def test_all_that_is_asked_for_has_to_be_there() -> None:
    known = picture_judge.held_out(6)
    look = picture_judge.WorldJudge()
    row = next(row for row, scene in enumerate(known.scenes) if scene and len(scene.things) == 2)
    there = [fact for fact in known.truths[row] if fact.kind == "object"][:1]
    absent = picture_judge.picture_facts.Fact("object", "dragon")
    asked = [text_to_image.FloorPrompt("x", "p", tuple(there)), text_to_image.FloorPrompt("x", "q", (*there, absent))]
    table: pd.DataFrame = text_to_image.judge_floor(look, asked, np.stack([known.pictures[row]] * 2), None)
    assert table[text_to_image.SHOWN].tolist() == [1.0, 0.0]
