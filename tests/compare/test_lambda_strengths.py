"""Lambda against the strength of the negation: sentences, Kendall's tau, and paired differences."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from negutil.captions import phrasing
from negutil.compare import glasses_parts as strengths
from negutil.config import Bootstrap
from negutil.errors import NegutilError

NAMES = list(strengths.STRENGTHS)


def frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=NAMES)


def summary(values: np.ndarray, nouns: list[str]) -> pd.DataFrame:
    found = strengths.lambda_summary(frame(values), frame(np.ones_like(values)), nouns, Bootstrap(100, 0))
    return found.set_index(["task", "metric"])


def test_the_strong_sentences_negate() -> None:
    said = strengths.Items(("dog", "apple", "scissors"), None)  # type: ignore[arg-type]
    assert said.texts("no")[0] == "a photo in which there is no dog"
    assert said.texts("not any")[1] == "a photo in which there are not any apples"
    assert said.texts("appears to be absent")[2] == "a photo in which a pair of scissors appears to be absent"
    for name in NAMES:
        assert (phrasing.table(said.texts(name))["cue"] != "").all()


@given(st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_tau_is_scipy_s_where_nothing_ties(values: list[int]) -> None:
    (found,) = strengths.tau(np.array([values], dtype=float))
    if len(set(values)) == 4:
        assert found == pytest.approx(stats.kendalltau([4, 3, 2, 1], values).statistic)
    assert -1 <= found <= 1


def test_falling_lambdas_have_tau_one_and_positive_differences() -> None:
    falling = np.tile([0.8, 0.6, 0.5, 0.1], (6, 1)) + np.arange(6)[:, None] / 100
    found = summary(falling, ["dog", "dog", "cat", "cat", "hat", "hat"])
    assert found.loc[(strengths.ALL, strengths.TAU), "value"] == 1
    assert found.loc[(strengths.ALL, strengths.MONOTONE), "value"] == 1
    gap: pd.Series = found.T[("appears to be absent minus may not be present", strengths.DIFFERENCE)]
    assert gap["value"] == pytest.approx(0.4)
    assert gap["low"] == pytest.approx(0.4)
    assert gap["over"] == "clusters"
    level = found.xs(strengths.LAMBDA, level="metric")["value"]
    assert list(level.index) == NAMES
    assert level["no"] - level["not any"] == pytest.approx(0.2)


def test_equal_lambdas_are_in_no_order() -> None:
    found = summary(np.full((3, 4), 0.5), ["a", "b", "c"])
    assert found.loc[(strengths.ALL, strengths.TAU), "value"] == 0
    assert found.loc[(strengths.ALL, strengths.MONOTONE), "value"] == 0


def test_items_are_drawn_among_those_that_say_what_they_deny(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    cells = [{"path": str(tmp_path / f"{name}.png"), "bytes": None} for name in ("a", "b", "c")]
    rows = Dataset.from_dict({"negated_object": ["dog", None, "cat"], "image": cells})
    rows = rows.cast_column("image", datasets.Image())
    found = strengths.denied_items(rows, 5)
    assert found.nouns == ("dog", "cat")
    assert len(found.pictures) == 2
    assert len(strengths.denied_items(rows, 1).nouns) == 1
    table = strengths.lambda_table(found, np.zeros((2, 3), np.float32), lambda texts, images: np.full(len(texts), 0.25))
    assert table.shape == (2, 4)
    with pytest.raises(NegutilError, match="denies"):
        strengths.denied_items(rows.select([1]), 5)
