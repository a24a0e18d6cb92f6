"""The sizing table says what its rates and assumptions give, and the page holds it."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pandas as pd
import pytest

from negutil import paths


@pytest.fixture(scope="module")
def sizing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sizing", paths.ROOT / "benchmarks" / "sizing.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(sizing: ModuleType) -> None:
    assert sizing.page() == sizing.PAGE.read_text(encoding="utf-8")
    sizing.main(["--check"])


def test_hours_follow_from_rates(sizing: ModuleType) -> None:
    given = sizing.assumptions()
    given["prices"]["core"] = 2.0
    found = sizing.rows({("count captions", "local"): 1e6}, given)
    runs = {(run, where): (hours, dollars) for run, where, hours, dollars, _ in found}
    assert runs["statistics of LAION-400M", "one core"] == pytest.approx((414 / 3600, 2 * 414 / 3600))
    tokens = 147e3 * 60 + 82e3 * 30
    hours, dollars = runs["229k captions of NegationCLIP, Llama-3-8B", "one H100"]
    assert hours == pytest.approx(tokens / 3400.4 / 3600)
    assert dollars == pytest.approx(hours * given["prices"]["h100"])


def test_encoding_is_scaled_by_the_work_of_the_model(sizing: ModuleType) -> None:
    given = sizing.assumptions()
    given["benchmarks"] = {"pictures": 1500 * 3600, "texts": 1500 * 3600, "models": ["ViT-B-32"] * 2}
    *_, last = sizing.rows({("count captions", "local"): 1.0}, given)
    assert last[2] == pytest.approx(2.0)


def test_rates_are_those_of_the_benchmark(sizing: ModuleType) -> None:
    table = pd.read_csv(paths.ROOT / "results" / "benchmarks" / "engines.csv")
    assert set(table["engine"]) == {"local", "ray"}
    assert (table["per_core_second"] > 0).all()
    assert len(sizing.rates()) == len(table) == 6


def test_every_assumption_has_a_source(sizing: ModuleType) -> None:
    given = sizing.assumptions()
    for section in ("prices", "encoding", "language_model"):
        assert given[section]["source"].startswith("https://")
    assert set(given["benchmarks"]["models"]) <= set(given["gflop"])
