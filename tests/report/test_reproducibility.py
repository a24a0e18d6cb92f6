from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from negutil import paths
from negutil.errors import NegutilError
from negutil.models import glasses_settings
from negutil.report import generated
from negutil.train import recipes

ENTRY = '[[disagreement]]\nwork = "CoN-CLIP"\npaper = "says"\ncode = "does"\n'
EFFECT = 'effects = [{ table = "t/x", task = "a*", metric = "m", says = "it" }]\n'


@pytest.fixture
def committed(committed_results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_RESULTS", str(committed_results.parent))


def write(folder: Path, content: str) -> Path:
    path = folder / "disagreements.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_page_says_what_the_committed_results_say(committed: None) -> None:
    assert generated.reproducibility("mini") == generated.REPRODUCIBILITY.read_text(encoding="utf-8"), (
        "run `negutil readme`"
    )


def test_every_work_has_both_parts_with_something_measured(committed: None) -> None:
    parts = generated.reproducibility_parts("mini")
    assert len(parts) == 2 * len(generated.WORKS) + 1
    for work, name in generated.WORKS.items():
        rows = parts[f"differences-{name}"].splitlines()[2:]
        assert len(rows) >= 3, work
        assert any("(n = " in row for row in rows), f"nothing of {work} is measured"
    assert parts["missing-negbench"].count("\n") > 4


def test_every_difference_of_the_glasses_is_told_once() -> None:
    told = [entry.glasses for entry in generated.read_disagreements() if entry.glasses]
    assert sorted(told) == sorted([*glasses_settings.DIFFERENCES, *recipes.TRAINING_DIFFERENCES])


def test_a_changed_number_changes_the_page(
    committed_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Path("06_clipglasses") / "ablations.csv"
    (tmp_path / "mini" / table.parent).mkdir(parents=True)
    rows = pd.read_csv(committed_results / table)
    own = (rows["task"] == "CC-Neg/scalar gate") & (rows["metric"] == "gain over the full glasses")
    rows.loc[own, ["value", "ci_low", "ci_high"]] = 0.123, 0.111, 0.135
    rows.to_csv(tmp_path / "mini" / table, index=False)
    monkeypatch.setenv("NEGUTIL_RESULTS", str(tmp_path))
    assert "scalar gate" in generated.moving("mini")
    with pytest.raises(NegutilError, match=r"is missing: run the notebook"):
        generated.disagreements("CoN-CLIP", "mini")


def test_only_what_stands_between_the_markers_is_replaced(committed: None, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = generated.REPRODUCIBILITY.read_text(encoding="utf-8")
    page.write_text(text.replace("(n = 1,000)", "(n = 7)"), encoding="utf-8")
    assert generated.reproducibility("mini", page) == text
    page.write_text(text.replace(generated.END.format("moving"), ""), encoding="utf-8")
    with pytest.raises(NegutilError, match="put them back"):
        generated.text_with({"moving": "x"}, page)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[[disagreement", "cannot be read as TOML"),
        (ENTRY, "or why that is not measured"),
        (ENTRY + EFFECT + 'unmeasured = "x"\n', "either what it does here"),
        (ENTRY + 'unmeasured = "x"\nwhy = "y"\n', "'why' is unknown: correct or remove it"),
        (ENTRY.replace("CoN-CLIP", "FLAVA") + 'unmeasured = "x"\n', "no known paper"),
        (ENTRY + 'effects = [{ table = "t/x" }]\n', "the setting 'task' of effects.0. is missing"),
    ],
)
def test_what_is_wrong_with_an_entry_is_told(content: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=told) as caught:
        generated.read_disagreements(write(tmp_path, content))
    assert "disagreements.toml" in str(caught.value)


def test_an_effect_without_a_record_is_an_error(
    committed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    effect = EFFECT.replace("t/x", "05_negationclip/levels")
    found = generated.read_disagreements(write(tmp_path, ENTRY + effect))
    monkeypatch.setattr(generated, "read_disagreements", lambda: found)
    with pytest.raises(NegutilError, match=r"levels\.csv has no 'm' of 'a\*'"):
        generated.disagreements("CoN-CLIP", "mini")


def test_no_local_path_is_on_the_page() -> None:
    assert str(paths.ROOT) not in generated.REPRODUCIBILITY.read_text(encoding="utf-8")
