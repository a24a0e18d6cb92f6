"""Claims: a verdict follows from the tables alone, and whatever is wrong with claim or table is said."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from negutil import paths, results
from negutil.compare import claims
from negutil.compare.claims import Claim, Condition
from negutil.errors import NegutilError
from negutil.results import Record

ABOVE = Condition("09_test/table", "task *", "accuracy", "above", 0.5)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    return tmp_path


def _save(*rows: tuple[str, str, float, float]) -> None:
    """Records of (model, task, low, high)."""
    records = [
        Record("09_test", task, model, "accuracy", (low + high) / 2, 10, low, high, "items")
        for model, task, low, high in rows
    ]
    results.save(records, "mini", "09_test", "table")


def _claim(*conditions: Condition, provided: tuple[Condition, ...] = ()) -> Claim:
    return Claim("one", "09", "ours", "It is so.", conditions, provided)


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.6, 0.8, "replicated", "not replicated"),
        (0.2, 0.4, "not replicated", "replicated"),
        (0.4, 0.6, "inconclusive", "inconclusive"),
        (0.5, 0.6, "inconclusive", "not replicated"),
    ],
)
def test_a_verdict_looks_at_the_whole_interval(store: Path, low: float, high: float, above: str, below: str) -> None:
    _save(("m", "task 1", low, high))
    assert claims.judge([_claim(ABOVE)], "mini", ["m"])[0].verdict == above
    under = Condition("09_test/table", "task 1", "accuracy", "below", 0.5)
    assert claims.judge([_claim(under)], "mini", ["m"])[0].verdict == below


def test_every_record_that_a_pattern_names_has_to_hold_and_the_worst_decides(store: Path) -> None:
    _save(("m", "task 1", 0.7, 0.8), ("m", "task 2", 0.1, 0.2), ("k", "task 1", 0.6, 0.7), ("k", "task 2", 0.8, 0.9))
    first, second = claims.judge([_claim(ABOVE)], "mini", ["m", "k", "unknown"])
    assert (first.model, first.verdict, first.decided_by) == ("m", "not replicated", "task 2: accuracy above 0.5")
    assert (second.model, second.verdict, second.ci_low) == ("k", "replicated", 0.6)


def test_a_model_that_does_not_fulfil_the_precondition_shows_nothing(store: Path) -> None:
    _save(("m", "task 1", 0.7, 0.8), ("m", "skill", 0.4, 0.9))
    needed = Condition("09_test/table", "skill", "accuracy", "above", 0.5)
    (found,) = claims.judge([_claim(ABOVE, provided=(needed,))], "mini", ["m"])
    assert found.verdict.startswith("inconclusive: it cannot") and found.decided_by.startswith("skill")


def test_a_precondition_about_data_that_are_not_here_is_left_out_if_another_one_is_about_data_that_are(
    store: Path,
) -> None:
    _save(("m", "task 1", 0.7, 0.8), ("m", "skill", 0.6, 0.9))
    here, gone = (Condition("09_test/table", task, "accuracy", "above", 0.5) for task in ("skill", "clips"))
    (found,) = claims.judge([_claim(ABOVE, provided=(gone, here))], "mini", ["m"])
    assert found.verdict == "replicated"
    with pytest.raises(claims.NoRecordError, match="'clips'"):
        claims.judge([_claim(ABOVE, provided=(gone,))], "mini", ["m"])


def test_changing_a_result_changes_the_verdict(store: Path) -> None:
    _save(("m", "task 1", 0.7, 0.8))
    assert claims.judge([_claim(ABOVE)], "mini", ["m"])[0].verdict == "replicated"
    _save(("m", "task 1", 0.1, 0.2))
    assert claims.judge([_claim(ABOVE)], "mini", ["m"])[0].verdict == "not replicated"


def test_missing_tables_and_records_are_said(store: Path) -> None:
    with pytest.raises(NegutilError, match="run the notebook"):
        claims.judge([_claim(ABOVE)], "mini", ["m"])
    _save(("m", "other", 0.1, 0.2))
    with pytest.raises(NegutilError, match="no record of 'task"):
        claims.judge([_claim(ABOVE)], "mini", ["m"])


def test_verdicts_as_a_table(store: Path) -> None:
    _save(("m", "task 1", 0.7, 0.8))
    claim = _claim(ABOVE)
    (row,) = claims.table(claims.judge([claim], "mini", ["m"]), [claim]).to_dict("records")
    assert row["claim"] == "It is so." and row["value"] == "0.750 [0.700, 0.800]" and row["n"] == 10


def test_the_shipped_claims_are_whole() -> None:
    found = claims.read()
    assert len({claim.id for claim in found}) == len(found) >= 10
    assert all(claim.statement and claim.source for claim in found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[claim", "cannot be read as TOML"),
        ("", "at least one"),
        ('[[claim]]\nid = "a"', "setting 'notebook' of claim.* is missing"),
        ('[[claim]]\nid = "a"\nnotebook = "1"\nsource = ""\nstatement = ""\nconditions = []', "no conditions"),
        (
            '[[claim]]\nid = "a"\nnotebook = "1"\nsource = ""\nstatement = ""\n'
            'conditions = [{ table = "a/b", task = "t", metric = "m", above = 0.0, below = 1.0 }]',
            "one of above, below",
        ),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "claims.toml").write_text(text)
    with pytest.raises(NegutilError, match=said):
        claims.read(tmp_path / "claims.toml")


# --------------------------------------------------------------------------------------------------------------------
# Every claim can be confirmed and can be contradicted

DIFFERENCES = re.compile(r"gain|drop|difference|minus|what |Kendall|removed|adds")
EVERY = [claim for file in sorted(paths.CONFIGS.glob("claims*.toml")) for claim in claims.read(file)]
TESTABLE = [claim for claim in EVERY if claim.conditions and not claim.fact]


def _range(metric: str, task: str) -> tuple[float, float]:
    """The smallest and the largest value that a metric can have."""
    if metric.startswith("standardised") or "FAR" in task:
        return -10.0, 10.0
    return (-1.0, 1.0) if DIFFERENCES.search(metric) or DIFFERENCES.search(task) else (0.0, 1.0)


def _values(conditions: Sequence[Condition], fixed: Sequence[Condition], confirm: bool) -> dict[tuple[str, ...], float]:
    """A value for each record that fulfils all of ``fixed``, and all of ``conditions`` or not one of one record."""
    keys = dict.fromkeys((each.table, each.task, each.metric) for each in (*fixed, *conditions))
    values: dict[tuple[str, ...], float] = {}
    for key in keys:
        low, high = _range(key[2], key[1])
        about = [each for each in (*fixed, *conditions) if (each.table, each.task, each.metric) == key]
        if about[0].side == "equal":
            values[key] = about[0].bound if confirm else about[0].bound + 2 * about[0].within + 0.5
            continue
        floor = max([low, *(each.bound for each in about if each.side == "above")])
        ceiling = min([high, *(each.bound for each in about if each.side == "below")])
        assert floor < ceiling, f"nothing lies between {floor} and {ceiling} for {key}"
        values[key] = (floor + ceiling) / 2
        if not confirm and not any((each.table, each.task, each.metric) == key for each in fixed):
            outside = [(low + floor) / 2] if floor > low else [(ceiling + high) / 2] if ceiling < high else []
            values[key] = outside[0] if outside else values[key]
    return values


@pytest.mark.parametrize("claim", TESTABLE, ids=[claim.id for claim in TESTABLE])
@pytest.mark.parametrize("wanted", [claims.REPLICATED, claims.NOT_REPLICATED])
def test_every_claim_can_be_confirmed_and_contradicted(store: Path, claim: Claim, wanted: str) -> None:
    values = _values(claim.conditions, claim.provided, wanted == claims.REPLICATED)
    profile, (model, *_) = claim.results or "mini", claim.models or ("m",)
    tables: dict[str, list[Record]] = {}
    for (table, task, metric), value in values.items():
        count = max(each.of for each in (*claim.conditions, *claim.provided) if each.metric == metric) or 10
        narrow = (value, count, value - 1e-6, value + 1e-6, "items")
        record = Record(table.partition("/")[0], task.replace("*", "any"), model, metric, *narrow)
        tables.setdefault(table, []).append(record)
    for table, records in tables.items():
        experiment, _, name = table.partition("/")
        results.save(records, profile, experiment, name)
    (verdict,) = claims.judge([claim], "mini", [model])
    assert verdict.verdict == wanted


@pytest.mark.parametrize("value", [0.2, 0.9])
def test_a_fact_has_no_verdict_whatever_its_number(store: Path, value: float) -> None:
    (fact, *_) = [claim for claim in claims.read() if claim.fact and not claim.results]
    condition = fact.conditions[0]
    experiment, _, name = condition.table.partition("/")
    record = Record(experiment, condition.task, "m", condition.metric, value, 10, value - 0.01, value + 0.01, "items")
    results.save([record], "mini", experiment, name)
    (verdict,) = claims.judge([fact], "mini", ["m"])
    assert verdict.verdict == claims.FACT and math.isnan(verdict.p)


def test_what_was_found_by_looking_is_no_test(tmp_path: Path) -> None:
    text = '[[claim]]\nid = "c"\nnotebook = "03"\nsource = "ours"\nstatement = "s"\nwritten = "after the run"\n'
    text += 'conditions = [{ table = "a/b", task = "t", metric = "m", above = 0.0 }]\n'
    (tmp_path / "claims.toml").write_text(text, encoding="utf-8")
    with pytest.raises(NegutilError, match="noticed in the results: say so under `fact`"):
        claims.read(tmp_path / "claims.toml")
