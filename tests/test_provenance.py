"""Provenance: short by design, JSON-able, and free of local paths."""

from __future__ import annotations

import inspect
import json

import pytest

from negutil import code, paths


def test_it_is_json_and_holds_the_callers_details() -> None:
    facts = json.loads(json.dumps(code.provenance(seed=3, dtype="float32")))
    assert facts["seed"] == 3
    assert facts["dtype"] == "float32"
    assert set(code.PACKAGES) == set(facts["packages"])
    assert facts["seconds"] >= 0
    assert facts["threads"] >= 1


def test_it_knows_the_commit_of_a_clone() -> None:
    commit = code.provenance()["commit"]
    assert bool(commit) == (paths.ROOT / ".git").exists()


def test_a_process_of_a_run_reports_the_clone_as_the_run_found_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CHECKOUT", json.dumps({"commit": "c0ffee", "dirty": False}))
    code.checkout.cache_clear()
    facts = code.provenance()
    code.checkout.cache_clear()
    assert (facts["commit"], facts["dirty"]) == ("c0ffee", False)


def test_it_names_no_local_folder() -> None:
    assert str(paths.ROOT) not in json.dumps(code.provenance())


def test_it_stays_short() -> None:
    assert len(inspect.getsource(code.provenance).splitlines()) <= 25
