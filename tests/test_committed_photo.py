"""The committed tables of the photo profile: one clean commit, a model above its floor, nothing of Flickr8k itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import photo_files
import pytest

from negutil import config, paths, results, statistics
from negutil.compare import budgets, caption_pipelines, claims, negationclip, negbench, verdicts, without_training
from negutil.compare.clipglasses import EXPERIMENT as GLASSES
from negutil.data import flickr8k, skipped
from negutil.train import photoclip
from negutil.train import settings as named

RESULTS = paths.ROOT / "results" / "photo"
TABLES = sorted(RESULTS.glob("*/*.csv"))
EXPERIMENTS = {
    *("01_web_captions", negbench.EXPERIMENT, caption_pipelines.EXPERIMENT),
    *(negationclip.EXPERIMENT, GLASSES, without_training.EXPERIMENT),
}


@pytest.fixture(autouse=True)
def committed(committed_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(committed_results.parent))


def test_every_notebook_that_photographs_can_answer_left_tables() -> None:
    assert {table.parent.name for table in TABLES if table.name != skipped.FILE} == EXPERIMENTS


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.parent.name}/{table.stem}")
def test_a_table_is_tidy_and_says_where_it_comes_from(table: Path) -> None:
    if table.name == skipped.FILE:
        rows = pd.read_csv(table)
        assert set(rows) == {*skipped.COLUMNS, "profile"}
        assert not rows["reason"].str.contains(r"(?:^|\s|')/\w", regex=True).any(), "a folder of one machine"
        return
    frame = results.load("photo", table.parent.name, table.stem)
    known = frame.dropna(subset=["value", "ci_low"])
    assert (frame["n"] > 0).all()
    assert ((known["ci_low"] <= known["value"] + 1e-6) & (known["value"] <= known["ci_high"] + 1e-6)).all()
    note = json.loads((table.parent / frame["provenance"].iloc[0]).read_text(encoding="utf-8"))
    assert note["table_sha256"] == hashlib.sha256(table.read_bytes()).hexdigest()


def test_one_clean_commit_made_all_tables() -> None:
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.rglob("*.provenance.json")]
    assert len({note["commit"] for note in notes}) == 1
    assert not any(note["dirty"] for note in notes)


def test_photoclip_is_above_its_floor_and_the_rule_chose_the_number_of_passes() -> None:
    tasks = results.load("photo", negbench.EXPERIMENT, "tasks")
    plain = tasks[(tasks["task"] == "COCO retrieval, plain") & (tasks["metric"] == "recall@5")]
    assert plain.loc[plain["model"] == "photoclip", "value"].item() >= photoclip.FLOOR
    table = results.load("photo", negationclip.EXPERIMENT, budgets.TABLE)
    passes = table["task"].str.extract(r"(\d+)(?: pass(?:es)?)?$")[0].astype(int)
    table = table.assign(passes=passes, error=(table["ci_high"] - table["ci_low"]) / statistics.WIDTH)
    assert {named.settings(method, "photo").epochs for method in ("infonce", "con-clip", "negbench")} == {
        budgets.chosen(table)
    }


def test_most_claims_about_photographs_have_a_verdict() -> None:
    tested = [outcome for outcome in verdicts.of("photo") if outcome.rows]
    assert {outcome.claim.notebook for outcome in tested} == {"03", "05", "06", "10"}
    settled = [outcome for outcome in tested if outcome.verdict in (claims.REPLICATED, claims.NOT_REPLICATED)]
    assert len(settled) > len(tested) / 2
    assert len({row.model for outcome in tested for row in outcome.rows} & set(config.load("photo").models)) == 1


def test_no_caption_of_flickr8k_and_no_photograph_is_committed(shared_data: Path) -> None:
    captions, _ = flickr8k.read_captions(shared_data / "flickr8k" / flickr8k.CAPTIONS)
    photo_files.require_no_captions(RESULTS, {text for own in captions.values() for text in own})
    drawn = {path.stem for path in (paths.ROOT / "figures" / "photo").rglob("*.png")}
    assert drawn and not drawn & set(photo_files.WITH_PHOTOGRAPHS)
    assert not list(RESULTS.rglob("*.ipynb"))
