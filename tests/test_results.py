"""Results: byte-stable tables with fixed columns, provenance that fits its table, and clear refusals."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math

import numpy as np
import pandas as pd
import pytest

from negutil import paths, results
from negutil.errors import NegutilError
from negutil.results import Record
from negutil.statistics import wilson

ONE = Record("probe", "Smiling", "miniclip-16", "auc", 0.123456789, 100, 0.1, 0.2, "items", seed=0)
TWO = dataclasses.replace(ONE, task="Bald", seed=None, paper_value=0.5, paper_source="Table 2")
UNDEFINED = Record("probe", "Bald", "miniclip-8", "auc", math.nan, 100)


def save(*records: Record) -> bytes:
    return results.save(records, "quick", "02_probe", "auc").read_bytes()


def test_columns_are_those_of_the_design() -> None:
    wanted = "experiment task model metric value n ci_low ci_high ci_over seed paper_value paper_source provenance"
    assert tuple(wanted.split()) == results.COLUMNS


def test_bytes_depend_on_the_numbers_alone() -> None:
    assert save(ONE, TWO) == save(TWO, ONE)
    assert save(ONE).decode() == (
        ",".join(results.COLUMNS) + "\n"
        "probe,Smiling,miniclip-16,auc,0.123457,100,0.1,0.2,items,0,,,auc.provenance.json\n"
    )


def test_round_trip() -> None:
    save(ONE, TWO, UNDEFINED)
    frame = results.load("quick", "02_probe", "auc")
    assert frame["task"].tolist() == ["Bald", "Bald", "Smiling"]
    assert frame["seed"].tolist() == [pd.NA, pd.NA, 0]
    assert frame["paper_value"].isna().tolist() == [False, True, True]
    assert math.isnan(frame["value"][1])
    assert frame["ci_over"].tolist() == ["items", "", "items"]
    assert frame["n"].dtype == np.int64


def test_provenance_fits_the_table_and_survives_a_rerun_with_the_same_numbers() -> None:
    path = results.save([ONE], "quick", "02_probe", "auc", seed=3)
    note = path.with_suffix(".provenance.json")
    facts = json.loads(note.read_text())
    assert facts["table_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts["seed"], facts["profile"]) == (3, "quick")
    before = note.read_bytes()
    results.save([ONE], "quick", "02_probe", "auc", seed=4)
    assert note.read_bytes() == before
    results.save([TWO], "quick", "02_probe", "auc", seed=4)
    assert json.loads(note.read_text())["seed"] == 4


def test_lost_provenance_is_written_again() -> None:
    path = results.save([ONE], "quick", "02_probe", "auc")
    note = path.with_suffix(".provenance.json")
    note.write_text("{")
    results.save([ONE], "quick", "02_probe", "auc")
    assert json.loads(note.read_text())["profile"] == "quick"


def test_a_record_from_an_interval() -> None:
    record = Record.of(wilson(8, 10), experiment="e", task="t", model="m", metric="accuracy", seed=1)
    assert (record.value, record.n, record.ci_over) == (0.8, 10, "items")
    assert record.ci_low is not None
    assert round(record.ci_low, 3) == 0.49


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "no records"),
        ([ONE, ONE], "two records"),
        ([dataclasses.replace(ONE, value=math.inf)], "infinite"),
        ([dataclasses.replace(ONE, ci_over="")], "ci_over"),
        ([dataclasses.replace(ONE, ci_low=None)], "ci_low"),
    ],
)
def test_wrong_records_are_refused(records: list[Record], said: str) -> None:
    with pytest.raises(NegutilError, match=said):
        results.save(records, "quick", "02_probe", "auc")
    assert not (paths.results("quick") / "02_probe" / "auc.csv").exists()


def test_items_round_trip_with_stable_bytes() -> None:
    items = pd.DataFrame({"image": ["a", "b"], "score": np.array([0.1, 0.2], dtype=np.float32)})
    path = results.save_items(items, "quick", "02_probe", "scores")
    first = path.read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(path), items, check_dtype=False)
    assert results.save_items(items, "quick", "02_probe", "scores").read_bytes() == first
    with pytest.raises(NegutilError, match="no items"):
        results.save_items(items.iloc[:0], "quick", "02_probe", "scores")


def test_missing_or_wrong_tables_are_refused() -> None:
    with pytest.raises(NegutilError, match="run the notebook"):
        results.load("quick", "02_probe", "auc")
    path = results.save([ONE], "quick", "02_probe", "auc")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(NegutilError, match="has the columns"):
        results.load("quick", "02_probe", "auc")
