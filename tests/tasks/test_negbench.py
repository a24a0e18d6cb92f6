"""NegBench's runner on a tiny world: every variation is there, numbers fit their items, nothing is encoded twice."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from negutil import config, results
from negutil.captions import negbench_files
from negutil.captions.negbench_files import PLAIN, VARIATIONS
from negutil.compare import claims, negation_beyond, negbench
from negutil.config import Profile, Splits
from negutil.data import skipped
from negutil.errors import NegutilError
from negutil.models import encode
from negutil.plots import negbench as plots
from negutil.tasks import negbench as negbench_task
from negutil.tasks.negbench import Items, Queries, Questions

TITLES = [variation.title for variation in (*PLAIN, *VARIATIONS)]


@pytest.fixture(scope="module")
def settings() -> Profile:
    quick = config.load("quick")
    sizes: dict[str, Any] = {
        "scenes": Splits(0, 100, 120),
        "voc": Splits(0, 0, 40),
        "clips": Splits(0, 0, 12),
        "radiographs": Splits(60, 60, 0),
        "faces": Splits(0, 60, 60),
    }
    world, bootstrap = dataclasses.replace(quick.world, **sizes), dataclasses.replace(quick.bootstrap, resamples=50)
    return dataclasses.replace(quick, name="tiny", world=world, bootstrap=bootstrap)


@pytest.fixture(scope="module")
def tasks(settings: Profile, session_cache: Path) -> list[Items]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_CACHE", str(session_cache))
        patch.setenv("NEGUTIL_NO_PROGRESS", "1")
        return negbench_task.load_all(settings)


@pytest.fixture(scope="module")
def found(
    settings: Profile, tasks: list[Items], session_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[negbench.Findings, Path]:
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_CACHE", str(session_cache))
        patch.setenv("NEGUTIL_RESULTS", str(folder))
        patch.setenv("NEGUTIL_NO_PROGRESS", "1")
        return negbench.run(settings, tasks), folder


def test_all_18_variations_and_the_plain_captions_are_there(tasks: list[Items]) -> None:
    assert [task.variation.title for task in tasks] == TITLES
    assert len(VARIATIONS) == 18
    for task in tasks:
        count = len(task.captions) if isinstance(task, Queries) else len(task.options)
        assert len(task.rows) == count > 0
        assert task.rows.max() == len(task.media) - 1
        assert all(path.exists() for path in task.media)
        assert len(task.names) == len(task.media) == len(set(task.names))


def test_every_different_item_is_encoded_once(
    tasks: list[Items], settings: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Counter[str] = Counter()
    inner = encode._texts

    def counting(model: Any, sentences: list[str], batch: int, share: bool) -> np.ndarray:
        seen.update(sentences)
        return inner(model, sentences, batch, share)

    monkeypatch.setattr(encode, "_texts", counting)
    model = negbench.loader.load("miniclip-s-8")
    paths = [path for task in tasks for path in task.media]
    texts = [text for task in tasks for text in task.texts]
    media = negbench_task.encode_media(model, paths, settings.encode.batch, cached=False)
    with encode.without_text_cache():
        negbench_task.score(model, tasks, settings.encode.batch, media=media)
    assert set(seen) == set(texts) and set(seen.values()) == {1}
    assert len(media.features) == len(set(paths)) < len(paths)


def test_numbers_are_those_of_the_items(found: tuple[negbench.Findings, Path], settings: Profile) -> None:
    table, items = found[0].table, found[0].items
    for (model, title), part in items.groupby(["model", "variation"]):
        own = table[(table["model"] == model) & (table["task"] == title)].set_index("metric")["value"]
        if part["rank"].notna().all():
            assert own["recall@5"] == pytest.approx((part["rank"] <= 5).mean())
        else:
            assert own["accuracy"] == pytest.approx(part["right"].astype(float).mean())
    assert set(table["task"]) == set(TITLES)
    assert set(settings.models) <= set(table["model"])


def test_every_variation_has_chance_and_questions_have_blind_baselines(found: tuple[negbench.Findings, Path]) -> None:
    table = found[0].table
    chance = table[table["model"] == negbench.CHANCE]
    assert set(chance["task"]) == set(TITLES)
    for title in (variation.title for variation in VARIATIONS if variation.task != "retrieval"):
        blinds = table[(table["task"] == title) & table["model"].str.startswith(negbench.BLIND)]
        assert {"blind: without cue", "blind: shortest"} <= set(blinds["model"])
        enough = blinds["n"].max() >= 2 * negbench.FEWEST
        assert ("blind: bag of words" in set(blinds["model"])) == enough


def test_the_drop_is_the_difference_of_the_two_recalls(found: tuple[negbench.Findings, Path]) -> None:
    table = found[0].table.set_index(["task", "model", "metric"])["value"]
    for model in ("miniclip-s-8", "miniclip-b-8"):
        plain = table["COCO retrieval, plain", model, "recall@1"]
        negated = table["COCO retrieval, paraphrased", model, "recall@1"]
        assert table["COCO retrieval, paraphrased", model, "drop of recall@1"] == pytest.approx(plain - negated)
        drop = table["CheXpert binary, negation", model, "drop of accuracy"]
        kinds = [table[f"CheXpert binary, {kind}", model, "accuracy"] for kind in ("affirmation", "negation")]
        assert drop == pytest.approx(kinds[0] - kinds[1])


def test_chexpert_pictures_are_resampled_one_by_one(found: tuple[negbench.Findings, Path]) -> None:
    items = found[0].items
    own = items[(items["variation"] == "CheXpert binary, negation") & (items["model"] == "miniclip-s-8")]
    assert own["picture"].nunique() == len(own)


def test_published_numbers_stand_beside_the_paraphrased_variations(found: tuple[negbench.Findings, Path]) -> None:
    table = found[0].table.dropna(subset="paper_value")
    assert set(table["task"]) <= set(TITLES)
    row = table[(table["task"] == "COCO MCQ, paraphrased") & (table["metric"] == "accuracy on negative")].iloc[0]
    assert row["paper_value"] == pytest.approx(0.0684, abs=1e-4)
    paper = negbench_task.published()["COCO retrieval, paraphrased", "drop of recall@5"]
    assert paper == (0.068, "NegBench, Table 1: CLIP")
    assert ("COCO MCQ, templated", "accuracy") not in negbench_task.published()


def test_what_is_shown_comes_from_the_tables(found: tuple[negbench.Findings, Path], settings: Profile) -> None:
    findings, models = found[0], settings.models
    assert len(negbench.overview(findings.table, models)) == len(TITLES)
    assert set(negbench.by_type(findings.table, models)["model"]) == {*models, negbench.PUBLISHED}
    assert len(negbench.drops(findings.table, models)) == 14
    chosen = negbench.choices(findings.items, "COCO MCQ, paraphrased")
    assert chosen.drop(columns=["type", "model"]).sum(axis=1).tolist() == pytest.approx([1.0] * len(chosen))
    drops = plots.recall_drop(findings.table, models)
    assert (len(drops.axes), len(drops.axes[0].get_yticklabels())) == (len(models), 3)
    types = plots.accuracy_by_type(findings.table, models)
    assert [axis.get_title() for axis in types.axes] == ["COCO", "VOC2007", "MSR-VTT", "HardNeg-Syn"]
    plt.close("all")


def test_cards_show_the_scores_that_are_judged(
    found: tuple[negbench.Findings, Path], tasks: list[Items], settings: Profile
) -> None:
    task = plots.find(tasks, "COCO MCQ, templated")
    assert isinstance(task, Questions) and task.types is not None
    cards = plots.cards(settings, task, "miniclip-s-8")
    assert [card.title for card in cards] == ["positive", "negative", "hybrid"]
    items = found[0].items
    own = items[(items["model"] == "miniclip-s-8") & (items["variation"] == task.variation.title)]
    for card in cards:
        row = own.iloc[task.types.index(card.title)]
        assert int(np.argmax(card.scores)) == row["chosen"]


def test_an_unknown_variation_is_said(tasks: list[Items]) -> None:
    with pytest.raises(NegutilError, match="choose among COCO retrieval, plain"):
        plots.find(tasks, "COCO MCQ, sung")


def test_two_runs_write_the_same_bytes(
    found: tuple[negbench.Findings, Path], settings: Profile, tasks: list[Items], tmp_path: Path
) -> None:
    negbench.run(settings, tasks)
    here = Path(os.environ["NEGUTIL_RESULTS"]) / "tiny" / negbench.EXPERIMENT
    for name in ("tasks", "phrasings", "scaling"):
        assert (here / f"{name}.csv").read_bytes() == (
            found[1] / "tiny" / negbench.EXPERIMENT / f"{name}.csv"
        ).read_bytes()


@pytest.fixture(scope="module")
def beyond(settings: Profile, session_cache: Path, found: tuple[negbench.Findings, Path]) -> negation_beyond.Findings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEGUTIL_CACHE", str(session_cache))
        patch.setenv("NEGUTIL_RESULTS", str(found[1]))
        patch.setenv("NEGUTIL_NO_PROGRESS", "1")
        return negation_beyond.run(settings, negation_beyond.gallery(settings), negation_beyond.domains(settings))


def test_exclusion_claims_and_bias_have_every_model_and_domain(
    beyond: negation_beyond.Findings, settings: Profile
) -> None:
    for table in (beyond.exclusion, beyond.bias, beyond.claims):
        assert set(table["model"]) == set(settings.models)
    assert set(beyond.claims["domain"]) == {"objects", "attributes", "faces", "radiographs"}
    aucs = beyond.claims[beyond.claims["metric"].str.startswith("AUC")]
    assert ((aucs["low"] >= 0) & (aucs["high"] <= 1)).all()


def test_exclusion_is_a_row_of_the_table_of_all_variations(
    beyond: negation_beyond.Findings, found: tuple[negbench.Findings, Path], settings: Profile
) -> None:
    table = negation_beyond.one_table(found[0].table, beyond.exclusion, settings.models)
    assert len(table) == len(TITLES) + 2
    assert table["chance"].notna().all() and table["n"].gt(0).all()
    assert table[list(settings.models)].map(lambda cell: "[" in cell).all(axis=None)
    assert table["best blind rule"].ne("")[~table["variation"].str.contains("retrieval")].all()


def test_every_claim_of_the_notebook_can_be_judged_from_what_was_written(
    beyond: negation_beyond.Findings,
    found: tuple[negbench.Findings, Path],
    settings: Profile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(found[1]))
    stated = claims.of_notebook("03")
    verdicts = claims.judge(stated, "tiny", settings.models)
    assert {verdict.claim for verdict in verdicts} == {claim.id for claim in stated}
    assert isinstance(claims.table(verdicts, stated), pd.DataFrame)
    assert not results.load("tiny", negbench.EXPERIMENT, "claims").empty


def test_published_files_that_are_not_there_are_named(
    settings: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    with pytest.raises(NegutilError, match=r"datasets\.md"):
        negbench_task.load_all(dataclasses.replace(settings, published=True))
    assert negbench_files.path(VARIATIONS[2], tmp_path) is None


def test_a_part_of_the_pictures_answers_the_questions_about_them(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("negbench", "coco"):
        (tmp_path / part).symlink_to(shared_data / part)
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    monkeypatch.setattr(skipped, "_noted", {})
    tasks = {each.variation.title: each for each in negbench_task.load_all(config.load("paper"))}
    told, here = capsys.readouterr().out, {path.name for path in (shared_data / "coco" / "val2017").iterdir()}
    questions, queries = tasks["COCO MCQ, paraphrased"], tasks["COCO retrieval, paraphrased"]
    for items, file, column in (
        (questions, "COCO_val_mcq_llama3.1_rephrased.csv", "image_path"),
        (queries, "COCO_val_negated_retrieval_llama3.1_rephrased_affneg_true.csv", "filepath"),
    ):
        names = [Path(name).name for name in pd.read_csv(shared_data / "negbench" / file)[column]]
        kept = [name for name in names if name in here]
        found = skipped.part(items.variation.title)
        assert found is not None
        assert (found.n, found.of) == (len(kept), len(names))
        assert f"Part of the data: {found.what}. The images of {found.share} are here" in told
        assert {path.name for path in items.media} == set(kept)
    assert isinstance(questions, Questions)
    assert len(questions.options) == skipped.part(questions.variation.title).n  # type: ignore[union-attr]
    assert "VOC2007 MCQ, paraphrased" not in tasks
    assert skipped.part("VOC2007 MCQ, paraphrased") is None


def test_without_any_picture_nothing_is_asked(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "negbench").symlink_to(shared_data / "negbench")
    (tmp_path / "coco" / "val2017").mkdir(parents=True)
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    monkeypatch.setattr(skipped, "_noted", {})
    with pytest.raises(NegutilError, match="None of 21 variations of NegBench can be evaluated"):
        negbench_task.load_all(config.load("paper"))
