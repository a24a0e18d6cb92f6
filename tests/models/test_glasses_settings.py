from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from negutil.errors import NegutilError
from negutil.models import glasses_settings
from negutil.models.glasses_settings import ABLATIONS, DIFFERENCES

ROWS = DIFFERENCES | ABLATIONS


@pytest.mark.parametrize("name", ROWS)
def test_every_row_of_a_table_changes_the_paper(name: str) -> None:
    before, after = glasses_settings.paper(64), glasses_settings.paper(64, **ROWS[name])
    changed = {key for key in dataclasses.asdict(before) if getattr(before, key) != getattr(after, key)}
    assert changed == set(ROWS[name])


def test_the_released_code_is_the_paper_with_all_differences() -> None:
    one = dataclasses.asdict(glasses_settings.paper(64))
    for difference in DIFFERENCES.values():
        assert not set(difference) & {key for key in one if one[key] != getattr(glasses_settings.paper(64), key)}
        one |= difference
    assert dataclasses.asdict(glasses_settings.released(64)) == one


def test_changes_win_over_a_variant() -> None:
    assert glasses_settings.released(64, lambda_from="pair").lambda_from == "pair"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gate": "matrix"}, "gate is 'matrix': it should be 'vector' or 'scalar'"),
        ({"gate_sigmoids": 3}, "gate_sigmoids is 3: it should be 1 or 2"),
        ({"fusion_heads": 7}, "choose a divisor of the width 64"),
        ({"context_heads": 0}, "context_heads is 0: it should be greater than or equal to 1"),
        ({"threshold": 1.0}, "threshold is 1.0: it should be less than 1"),
        ({"lens_dropout": -0.1}, "lens_dropout is -0.1: it should be greater than or equal to 0"),
        ({"lens_batch": -1}, "lens_batch is -1: it should be greater than or equal to 0"),
        ({"colour": "red"}, "the setting 'colour' is unknown"),
    ],
)
def test_values_without_sense_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(NegutilError) as problem:
        glasses_settings.paper(64, **changes)
    assert said in str(problem.value)
