"""The committed tables of the photo profile: one clean commit, a model above its floor, nothing of Flickr8k itself."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import photo_files
import pytest

from negutil import config, paths, results
from negutil.compare import caption_pipelines, claims, negationclip, negbench, verdicts, without_training
from negutil.compare.clipglasses import EXPERIMENT as GLASSES
from negutil.data import flickr8k, skipped
from negutil.train import photoclip

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


def test_what_was_left_out_names_no_folder_of_one_machine() -> None:
    left_out = [table for table in TABLES if table.name == skipped.FILE]
    assert len(left_out) > 5
    for table in left_out:
        rows = pd.read_csv(table)
        assert set(rows) == {*skipped.COLUMNS, "profile"}
        assert not rows["reason"].str.contains(r"(?:^|\s|')/\w", regex=True).any()


def test_one_clean_commit_made_all_tables() -> None:
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.rglob("*.provenance.json")]
    assert len({note["commit"] for note in notes}) == 1
    assert not any(note["dirty"] for note in notes)


def test_photoclip_is_above_its_floor() -> None:
    tasks = results.load("photo", negbench.EXPERIMENT, "tasks")
    plain = tasks[(tasks["task"] == "COCO retrieval, plain") & (tasks["metric"] == "recall@5")]
    assert plain.loc[plain["model"] == "photoclip", "value"].item() >= photoclip.FLOOR


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
