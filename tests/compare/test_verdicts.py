"""Every claim has an outcome: tables decide, and what is missing is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from negutil import paths, results
from negutil.compare import claims, verdicts
from negutil.compare.claims import Claim, Condition
from negutil.errors import NegutilError
from negutil.results import Record

ABOVE = Condition("09_test/table", "task", "accuracy", "above", 0.5)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    return tmp_path


def _save(low: float, high: float, model: str = "miniclip-s-8", profile: str = "mini") -> Record:
    record = Record("09_test", "task", model, "accuracy", (low + high) / 2, 10, low, high, "items")
    results.save([record], profile, "09_test", "table")
    return record


def _claim(**changes: object) -> Claim:
    about: dict = {"id": "one", "notebook": "03", "source": "ours", "statement": "It is so.", "conditions": (ABOVE,)}
    return Claim(**(about | changes))


def _verdict(claim: Claim, profile: str = "mini") -> str:
    return verdicts.of(profile, [claim])[0].verdict


def test_a_changed_table_changes_the_verdict() -> None:
    for low, high, wanted in ((0.6, 0.8, "replicated"), (0.1, 0.2, "not replicated"), (0.4, 0.6, "inconclusive")):
        _save(low, high)
        assert _verdict(_claim()) == wanted


def test_a_missing_table_is_a_line_that_says_which_notebook_makes_it() -> None:
    (outcome,) = verdicts.of("mini", [_claim(notebook="07")])
    assert outcome.verdict == verdicts.NO_RESULTS and "run notebook 07" in outcome.reason
    (line,) = verdicts.table([outcome]).to_dict("records")
    assert line["verdict"] == verdicts.NO_RESULTS and "09_test/table.csv is missing" in str(line["decided by"])


def test_a_table_without_the_record_is_a_line_too() -> None:
    _save(0.6, 0.8, model="somebody")
    (outcome,) = verdicts.of("mini", [_claim()])
    assert outcome.verdict == verdicts.NO_RESULTS and "no number for it" in outcome.reason


def test_a_damaged_table_is_an_error(store: Path) -> None:
    _save(0.6, 0.8)
    (store / "mini" / "09_test" / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(NegutilError, match="make it again"):
        verdicts.of("mini", [_claim()])


def test_what_a_profile_cannot_show_and_what_nobody_has_are_said() -> None:
    _save(0.6, 0.8)
    digits = _claim(testable_in=("paper",), why="it is about digits")
    assert verdicts.of("mini", [digits])[0] == verdicts.Outcome(digits, verdicts.NEEDS_PAPER, (), "it is about digits")
    gone = _claim(conditions=(), missing="the captions are not public")
    assert verdicts.of("mini", [gone])[0].reason == "the captions are not public"
    assert _verdict(gone) == verdicts.NOT_REPRODUCIBLE


@pytest.mark.parametrize(("printed", "wanted"), [(0.7, "replicated"), (0.72, "replicated"), (0.8, "not replicated")])
def test_a_printed_digit_comes_out_or_does_not(printed: float, wanted: str) -> None:
    _save(0.6, 0.8, model="openai-vit-b-32", profile="paper")
    digit = Condition("09_test/table", "task", "accuracy", "equal", printed, 0.02)
    claim = _claim(conditions=(digit,), testable_in=("paper",), why="digits", models=("openai-vit-b-32",))
    assert _verdict(claim, "paper") == wanted
    assert _verdict(claim, "mini") == verdicts.NEEDS_PAPER


def test_a_printed_digit_is_not_judged_on_a_part_of_the_data() -> None:
    _save(0.6, 0.8, model="openai-vit-b-32", profile="paper")  # of 10 items
    digit = Condition("09_test/table", "task", "accuracy", "equal", 0.7, 0.02, of=11)
    claim = _claim(conditions=(digit,), testable_in=("paper",), why="digits", models=("openai-vit-b-32",))
    (outcome,) = verdicts.of("paper", [claim])
    assert (outcome.verdict, outcome.label()) == (verdicts.NO_RESULTS, "not reproduced here: part of the data")
    (line,) = verdicts.table([outcome]).to_dict("records")
    assert line["verdict"] == outcome.label()
    assert "(10 of 11 items)" in str(line["decided by"])
    assert _verdict(replace(claim, conditions=(replace(digit, of=10),)), "paper") == "replicated"


def test_models_that_disagree_are_told_one_by_one() -> None:
    rows = [
        Record("09_test", "task", model, "accuracy", low + 0.1, 10, low, low + 0.2, "items")
        for model, low in (("miniclip-s-8", 0.6), ("miniclip-b-8", 0.1))
    ]
    results.save(rows, "mini", "09_test", "table")
    (outcome,) = verdicts.of("mini", [_claim()])
    assert outcome.verdict == verdicts.DIFFERS
    assert [row.verdict for row in outcome.rows] == ["replicated", "not replicated"]
    unsure = replace(rows[1], value=0.5, ci_low=0.4, ci_high=0.6)
    results.save([rows[0], unsure], "mini", "09_test", "table")
    assert _verdict(_claim()) == "inconclusive"


def test_two_models_with_nearly_the_same_interval_do_not_differ() -> None:
    rows = [
        Record("09_test", "task", model, "accuracy", value, 100, low, high, "items")
        for model, value, low, high in (
            ("miniclip-s-8", -0.030, -0.049, -0.013),
            ("miniclip-b-8", -0.029, -0.049, -0.010),
        )
    ]
    results.save(rows, "mini", "09_test", "table")
    # Wherever the bound lies, the two are never replicated and contradicted: at most one of them is open.
    for bound in (-0.06, -0.03, -0.012, 0.0):
        for side in ("above", "below"):
            (outcome,) = verdicts.of("mini", [_claim(conditions=(replace(ABOVE, side=side, bound=bound),))])
            assert outcome.verdict != verdicts.DIFFERS, (side, bound)
    (between,) = verdicts.of("mini", [_claim(conditions=(replace(ABOVE, side="below", bound=-0.012),))])
    assert [row.verdict for row in between.rows] == ["replicated", "inconclusive"] and between.verdict == "inconclusive"


def test_the_verdict_over_several_draws_is_that_of_the_pooled_numbers(store: Path) -> None:
    _save(0.6, 0.8)
    other = Record("09_test", "task", "miniclip-s-8", "accuracy", 0.35, 10, 0.25, 0.45, "items")
    results.save([other], "mini/evaluation_seeds/1", "09_test", "table")
    (outcome,) = verdicts.of("mini", [_claim()])
    (shown,) = outcome.rows
    assert (shown.value, shown.n, outcome.draws) == (pytest.approx(0.525), 20, ("mini/evaluation_seeds/1",))
    assert outcome.verdict == "inconclusive"
    assert "differ more than chance explains (miniclip-s-8)" in outcome.reason
    results.save([replace(other, value=0.65, ci_low=0.55, ci_high=0.75)], "mini/evaluation_seeds/1", "09_test", "table")
    (outcome,) = verdicts.of("mini", [_claim()])
    assert (outcome.verdict, outcome.reason) == ("replicated", "")


def test_p_values_are_adjusted_over_all_tested_claims() -> None:
    rows = [
        Record("09_test", task, "miniclip-s-8", "accuracy", value, 10, value - 0.1, value + 0.1, "items")
        for task, value in (("task", 0.62), ("other", 0.9))
    ]
    results.save(rows, "mini", "09_test", "table")
    other = Condition("09_test/table", "other", "accuracy", "above", 0.5)
    outcomes = verdicts.of("mini", [_claim(), _claim(id="two", conditions=(other,))])
    found = [row for outcome in outcomes for row in outcome.rows]
    expected = stats.false_discovery_control([row.p for row in found])
    assert [row.q for row in found] == pytest.approx(expected)
    assert found[0].q == found[0].p == pytest.approx(0.0187, abs=1e-4)
    assert found[1].q == pytest.approx(2 * found[1].p)


def test_every_claim_of_the_file_has_one_outcome_even_without_any_results() -> None:
    outcomes = verdicts.of("mini")
    assert [outcome.claim.id for outcome in outcomes] == [claim.id for claim in claims.read()]
    assert {outcome.verdict for outcome in outcomes} <= set(verdicts.KINDS[4:])
    assert all(outcome.reason for outcome in outcomes)
    assert verdicts.counts(outcomes).to_numpy().sum() == len(outcomes)
    assert len(verdicts.records(outcomes)) == len(outcomes)


def test_the_works_have_at_least_forty_claims_and_each_says_whose_it_is() -> None:
    outcomes = verdicts.of("mini")
    theirs = [outcome for outcome in outcomes if outcome.work != verdicts.OURS]
    assert len(theirs) >= 40
    assert {outcome.work for outcome in theirs} == set(verdicts.WORKS)
    published = [outcome for outcome in theirs if outcome.claim.published]
    assert len(published) >= 0.8 * len(theirs)


def test_claims_of_everywhere_are_those_that_notebooks_show() -> None:
    for number in ("00", "02", "03", "05", "06", "07", "08", "09", "10"):
        shown = claims.of_notebook(number)
        assert shown and all(claim.conditions and claim.written_before for claim in shown)


def test_controls_and_headlines_name_claims_and_have_a_sentence_for_each_verdict() -> None:
    known = {claim.id for claim in claims.read()}
    assert {headline.claim for headline in claims.headlines()} <= known
    for control in claims.controls():
        assert {control.claim, control.by} <= known
        assert set(control.says) == {claims.REPLICATED, claims.NOT_REPLICATED, claims.INCONCLUSIVE}


def test_the_sentence_of_a_control_follows_from_its_verdict() -> None:
    control = claims.Control("a", "b", "Is it?", "Yes.", "", "")
    _save(0.6, 0.8)
    (outcome,) = verdicts.of("mini", [_claim()])
    assert verdicts.meaning(control, outcome, outcome) == "Yes."
    (gone,) = verdicts.of("mini", [_claim(conditions=(), missing="all")])
    assert verdicts.meaning(control, outcome, gone) == "not reproducible: all"
    above = Condition("09_test/table", "task", "accuracy", "above", 0.9)
    (failed,) = verdicts.of("mini", [_claim(conditions=(above,))])
    assert "does not hold, so there is no effect to explain. The control alone: Yes." in verdicts.meaning(
        control, failed, outcome
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('by = "antonyms-do-better"\n', "", "setting 'by' of control\\[.*is missing"),
        ('by = "antonyms-do-better"', 'by = "nobody"', "no claim 'nobody'"),
        ('measure = "gain in accuracy"\n', "", "setting 'measure' of headline\\[.*is missing"),
        ('claim = "negationclip-valse"\nsays', 'claim = "nothing"\nsays', "no claim 'nothing'"),
        ('claim = "negationclip-valse"\nsays', 'claim = "mask-alone-does-most"\nsays', "cannot be a headline"),
        ('claim = "negationclip-valse"\nsays', 'claim = "negbench-40-points"\nsays', "cannot be a headline"),
    ],
)
def test_a_wrong_report_part_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = tmp_path / "claims.toml"
    text = (paths.CONFIGS / "claims.toml").read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(NegutilError, match=said):
        claims.controls(file)
        claims.headlines(file)


def test_only_a_claim_of_a_paper_is_called_replicated() -> None:
    _save(0.6, 0.8)
    ours, theirs = verdicts.of("mini", [_claim(), _claim(id="two", source="NegationCLIP (ICCV 2025), Table 2")])
    assert (ours.verdict, ours.label()) == ("replicated", "holds")
    assert (theirs.label(), theirs.label("not replicated")) == ("replicated", "not replicated")
    assert (ours.label("not replicated"), ours.label("inconclusive")) == ("does not hold", "inconclusive")
