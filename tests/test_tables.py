"""Tables: rounded, escaped, with fixed ids, and the same on every run."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from negutil import tables

FRAME = pd.DataFrame({"model": ["a<b", "c"], "auc": [0.12345, -0.00001], "n": [1200, 3], "paper": [0.5, None]})


def test_html_and_text_are_the_same_on_every_run() -> None:
    first, second = (tables.show(FRAME.copy(), "A caption", "probe") for _ in range(2))
    assert first._repr_html_() == second._repr_html_()
    assert repr(first) == repr(second)
    assert " at 0x" not in repr(first) + first._repr_html_()


def test_html_has_a_caption_a_fixed_id_and_escaped_rounded_cells() -> None:
    html = tables.show(FRAME, "A caption", "probe")._repr_html_()
    assert "<caption>A caption</caption>" in html
    assert re.findall(r'<table id="(.*?)"', html) == ["T_probe"]
    assert "a&lt;b" in html
    assert ">0.123<" in html
    assert ">1,200<" in html
    assert "nan" not in html


def test_text_rounds_and_has_no_negative_zero() -> None:
    text = repr(tables.show(FRAME, "A caption", "probe", digits={"auc": 2}))
    assert text.splitlines()[0] == "A caption"
    assert "0.12 " in text
    assert "-0.00" not in text
    assert "0.500" in text
    assert "nan" not in text.lower()


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.71, 0.684, 0.7351), "0.710 [0.684, 0.735]"),
        ((0.71, None, None), "0.710"),
        ((0.71, float("nan"), float("nan")), "0.710"),
        ((float("nan"), None, None), ""),
    ],
)
def test_numbers_with_intervals(numbers: tuple[float, float | None, float | None], text: str) -> None:
    assert tables.with_interval(*numbers) == text


def test_pivot_keeps_the_order_of_the_records() -> None:
    records = pd.DataFrame(
        {
            "task": ["z", "z", "a"],
            "model": ["m", "m", "m"],
            "metric": ["tpr", "auc", "tpr"],
            "value": [0.1, 0.2, 0.3],
            "ci_low": [0.0, None, 0.2],
            "ci_high": [0.2, None, 0.4],
        }
    )
    wide = tables.pivot(records, rows=["task", "model"], digits=1)
    assert wide.columns.tolist() == ["task", "model", "tpr", "auc"]
    assert wide["task"].tolist() == ["z", "a"]
    assert wide["tpr"].tolist() == ["0.1 [0.0, 0.2]", "0.3 [0.2, 0.4]"]
    assert tables.pivot(records, rows="task")["task"].tolist() == ["z", "a"]
