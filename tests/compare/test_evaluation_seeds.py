"""Verdicts over base seeds of the evaluation sets: what is drawn anew, what is kept of it, and what is said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from miniworld import build, scenes, truth
from miniworld.writers import _shared
from negutil import config, paths, results
from negutil.commands import cli
from negutil.compare import affirmative, binary_probe, claims, evaluation_seeds, verdicts
from negutil.config import Profile, Splits
from negutil.errors import NegutilError
from negutil.results import Record

runner = CliRunner()
CLAIM = """
[[claim]]
id = "{name}"
notebook = "03"
source = "a test"
statement = "It is above one half."
conditions = [{{ table = "{table}", task = "{task}", metric = "{metric}", above = 0.5 }}]
"""


def claim_of(name: str, table: str, task: str = "A", metric: str = "accuracy") -> str:
    return CLAIM.format(name=name, table=table, task=task, metric=metric)


def answer(folder: Path, low: float, high: float, table: str = "03_negbench/tasks") -> None:
    """The answers of one seed: a task that a claim is about, one that none is about, and another metric."""
    experiment, _, name = table.partition("/")
    models = config.load("quick").models
    records = [
        Record(experiment, task, model, metric, (low + high) / 2, 10, low, high, "items")
        for task in ("A", "B")
        for metric in ("accuracy", "recall")
        for model in models
    ]
    with paths.folders(results=folder):
        results.save(records, "quick", experiment, name)


@pytest.fixture
def one_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "claims.toml"
    stated = [
        claim_of("holds", "03_negbench/tasks"),
        claim_of("elsewhere", "01_web_captions/statistics"),
        claim_of("not-run", "05_negationclip/gains"),
        claim_of("not-asked", "03_negbench/tasks", task="C"),
        claim_of("not-measured", "03_negbench/tasks", metric="precision"),
    ]
    file.write_text("".join(stated))
    read = claims.read
    monkeypatch.setattr(claims, "read", lambda: read(file))
    answer(paths.results(""), 0.6, 0.7)
    answer(paths.results(""), 0.6, 0.7, "01_web_captions/statistics")


# --------------------------------------------------------------------------------------------------------------------
# Verdicts


def test_claims_without_evaluation_sets_or_without_records_are_left_out(one_claim: None) -> None:
    assert [claim.id for claim in evaluation_seeds.stated("quick")] == ["holds"]


@pytest.mark.parametrize(
    ("second", "own", "pooled"),
    [
        ((0.55, 0.9), claims.REPLICATED, claims.REPLICATED),
        ((0.4, 0.9), claims.INCONCLUSIVE, claims.REPLICATED),  # the others leave no doubt
        ((0.0, 0.4), claims.NOT_REPLICATED, claims.INCONCLUSIVE),
        ((-0.1, 0.1), claims.NOT_REPLICATED, claims.NOT_REPLICATED),
    ],
)
def test_the_verdict_is_that_of_the_pooled_draws(
    one_claim: None, tmp_path: Path, second: tuple[float, float], own: str, pooled: str
) -> None:
    settings = config.load("quick")
    for seed, interval in ((1, (0.6, 0.7)), (2, second)):
        answer(tmp_path / str(seed), *interval)
        evaluation_seeds.keep(settings, seed, tmp_path / str(seed))
    evaluation_seeds.write("quick")
    found = evaluation_seeds.read("quick")
    assert list(found["seed"]) == ["0", "1", "2", evaluation_seeds.POOLED] * len(settings.models)
    assert list(found["verdict"]) == [claims.REPLICATED, claims.REPLICATED, own, pooled] * len(settings.models)
    assert len(evaluation_seeds.disagreements(found)) == (0 if own == claims.REPLICATED else len(found))
    last, together = found.iloc[2], found.iloc[3]
    assert (last["ci_low"], last["ci_high"], last["n"]) == (*second, 10)
    assert together["value"] == pytest.approx((0.65 + 0.65 + sum(second) / 2) / 3)
    assert together["n"] == 30
    known = {outcome.claim.id: outcome for outcome in verdicts.of("quick")}["holds"]
    assert {row.verdict for row in known.rows} == {pooled}
    assert bool(known.reason) == (together["heterogeneity"] < verdicts.DIFFERENT)


def test_only_rows_that_claims_name_are_kept_and_they_are_those_that_were_answered(
    one_claim: None, tmp_path: Path
) -> None:
    answer(tmp_path / "1", 0.6, 0.8)
    (kept,) = evaluation_seeds.keep(config.load("quick"), 1, tmp_path / "1")
    assert kept == paths.results("quick") / "evaluation_seeds" / "1" / "03_negbench" / "tasks.csv"
    found = results.load(evaluation_seeds.where("quick", 1), "03_negbench", "tasks")
    with paths.folders(results=tmp_path / "1"):
        whole = results.load("quick", "03_negbench", "tasks")
    named = whole[(whole["task"] == "A") & (whole["metric"] == "accuracy")].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, named)
    assert json.loads(kept.with_suffix(".provenance.json").read_text())["evaluation_seed"] == 1


def test_what_is_missing_is_said_in_one_sentence(one_claim: None, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="run `negutil seeds --profile quick`"):
        evaluation_seeds.read("quick")
    with pytest.raises(NegutilError, match=r"evaluation_seeds/1/03_negbench/tasks.csv is missing"):
        evaluation_seeds.judge("quick")
    for words, said in ((["--seeds", "1,x"], "not a list of whole numbers"), (["--seeds", "1,1"], "repeats a seed")):
        done = runner.invoke(cli.app, ["seeds", "--profile", "quick", *words])
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr


def test_the_command_judges_what_is_kept(one_claim: None, tmp_path: Path) -> None:
    settings = config.load("quick")
    answer(tmp_path / "1", 0.1, 0.2)
    evaluation_seeds.keep(settings, 1, tmp_path / "1")
    words = ["seeds", "--profile", "quick", "--seeds", "1", "--judge"]
    said = runner.invoke(cli.app, words).stdout
    assert f"holds, {settings.models[0]}, seed 1: not replicated, 0.150 [0.100, 0.200]" in said
    assert f"holds, {settings.models[0]}, pooled: not replicated, 0.400 [0.365, 0.435]" in said
    count = len(settings.models)
    assert f"our findings, does not hold: {count} of {count} claim-model pairs" in said
    rows = json.loads(runner.invoke(cli.app, [*words, "--json"]).stdout)
    assert [row["verdict"] for row in rows[:3]] == ["replicated", "not replicated", "not replicated"]


# --------------------------------------------------------------------------------------------------------------------
# Other evaluation sets


def small(settings: Profile) -> Profile:
    """A small part of the quick world, and one model."""
    world = dataclasses.replace(settings.world, scenes=Splits(30, 10, 60), faces=Splits(10, 10, 60))
    return dataclasses.replace(settings, models=settings.models[:1], world=world)


def test_the_training_sets_stay_and_published_data_are_refused() -> None:
    settings = config.load("mini")
    other = evaluation_seeds.settings_of(settings, 1)
    assert (other.name, other.world.seed) == ("mini", 1)
    assert dataclasses.replace(other, world=settings.world) == settings
    for name in ("scenes", "faces", "refcocog", "radiographs"):
        own, drawn = getattr(settings.world, name), getattr(other.world, name)
        assert (drawn.val, drawn.test) == (own.val, own.test)
    assert settings == config.load("mini")
    with pytest.raises(NegutilError, match="no other seed"):
        evaluation_seeds.settings_of(settings, 0)
    with pytest.raises(NegutilError, match="published data"):
        evaluation_seeds.settings_of(config.load("paper"), 1)


def test_only_models_that_claims_name_are_asked_again() -> None:
    settings = config.load("mini")
    claim = next(claim for claim in claims.read() if claim.conditions)
    row = dataclasses.replace(claim.conditions[0], task="COCO/negationclip@0.5", metric="gain over Rand-P1")
    plan = evaluation_seeds.only_named(settings, [dataclasses.replace(claim, conditions=(row,))]).finetuning
    assert (plan.methods, plan.more_methods, plan.controls) == (("negationclip",), ("rand-p1", "p1"), ())
    assert 0.5 in plan.shares
    assert 0.6 not in plan.shares
    everything = evaluation_seeds.only_named(settings, claims.read())
    assert dataclasses.replace(everything, finetuning=settings.finetuning) == settings
    assert set(everything.finetuning.methods) <= set(settings.finetuning.methods)


def test_no_evaluation_scene_of_any_seed_is_a_training_scene_of_another() -> None:
    names = dict.fromkeys(("train", "val", "test"), (0, "{}.jpg"))
    drawn = {seed: _shared.entries("coco", Splits(40, 5, 40), seed, scenes.sample, names) for seed in (0, 1, 2)}
    for entries in drawn.values():
        assert all(scenes.is_reserved(entry.scene) == (entry.split != "train") for entry in entries)
    shown = {seed: {repr(entry.scene) for entry in entries if entry.split == "test"} for seed, entries in drawn.items()}
    assert not shown[0] & shown[1]
    assert not shown[1] & shown[2]


def test_a_training_picture_among_the_evaluation_sets_stops_the_run(tmp_path: Path) -> None:
    learned, evaluated = tmp_path / "train2014", tmp_path / "evaluated"
    for path, content in ((learned / "a.jpg", b"a"), (evaluated / "voc" / "b.jpg", b"b")):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    own = evaluated / "coco" / "train2014" / "c.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"a")
    assert evaluation_seeds.check_apart(evaluated, learned) == 0
    (evaluated / "voc" / "d.jpg").write_bytes(b"a")
    with pytest.raises(NegutilError, match=r"d.jpg is a training image too"):
        evaluation_seeds.check_apart(evaluated, learned)
    for number in range(1000):
        (evaluated / "voc" / f"{number}.jpg").write_bytes(b"%d" % number)
    assert evaluation_seeds.check_apart(evaluated, learned) == 1


def test_asking_about_other_sets_changes_nothing_of_the_profiles_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(config.load("quick"))
    monkeypatch.setattr(config, "load", lambda name=None: settings)
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    affirmative.run(settings, 0)
    binary_probe.run(settings)
    before = {path: path.read_bytes() for path in paths.results("").rglob("*.*")}
    manifests = {path: path.read_bytes() for path in settings.built.rglob(build.MANIFEST)}
    asked = [experiment for experiment, _ in evaluation_seeds.evaluate(settings, 1)]
    assert asked == [affirmative.EXPERIMENT, binary_probe.EXPERIMENT]
    assert {path: path.read_bytes() for path in before} == before
    assert {path: path.read_bytes() for path in manifests} == manifests
    table = evaluation_seeds.judge("quick", (1,))
    assert {claim.id for claim in evaluation_seeds.stated("quick")} == set(table["claim"])
    values = table.pivot_table(index=["claim", "model"], columns="seed", values="value")
    assert (values["0"] != values["1"]).any()
    drawn = truth.read(evaluation_seeds.settings_of(settings, 1).built / "coco")
    own = {repr(entry.scene) for entry in truth.read(settings.built / "coco")}
    assert not own & {repr(entry.scene) for entry in drawn if entry.split == "test"}


# --------------------------------------------------------------------------------------------------------------------
# The committed table


def test_the_committed_table_says_what_the_committed_results_and_the_claims_say(
    committed_results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(committed_results.parent))
    if not evaluation_seeds.path("mini").exists():
        pytest.skip("`negutil seeds` has not been run for the committed results")
    found = evaluation_seeds.read("mini")
    assert set(found["seed"]) == {"0", *map(str, evaluation_seeds.SEEDS), evaluation_seeds.POOLED}
    again = evaluation_seeds.judge("mini")
    assert found.to_csv(index=False, float_format="%.6g") == again.to_csv(index=False, float_format="%.6g")
