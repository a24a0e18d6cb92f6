"""float32, bfloat16 and float16 come to the same verdicts, and what was computed in which is on record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import model_files
import numpy as np
import pandas as pd
import pytest
import torch

from negutil import config, paths
from negutil.compare import claims, negation_beyond, negbench
from negutil.errors import NegutilError
from negutil.models import encode, loader, precision
from negutil.tasks.negbench import load_all

MODEL = "miniclip-s-8"
CLOSE, ITEMS = 0.01, 2
"""No metric moves by more than a hundredth and two of its items: with few bits of mantissa the higher of two nearly
equal scores changes now and then."""


def verdicts(dtype: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What notebook 03 computes in the quick profile for one model: verdicts on its claims, and all numbers."""
    monkeypatch.setenv("NEGUTIL_DTYPE", dtype)
    monkeypatch.setenv("NEGUTIL_RESULTS", str(folder / dtype))
    quick = config.load("quick")
    bootstrap = dataclasses.replace(quick.bootstrap, resamples=200)
    settings = dataclasses.replace(quick, models=(MODEL,), bootstrap=bootstrap)
    found = negbench.run(settings, load_all(settings))
    negation_beyond.run(settings, negation_beyond.gallery(settings), {})
    about = json.loads((paths.results("quick") / "03_negbench" / "tasks.provenance.json").read_text())
    assert about["dtype"] == dtype
    stated = [claim for claim in claims.of_notebook("03") if claim.id != "negbench-scaling-is-no-cure"]
    judged = pd.DataFrame(map(dataclasses.asdict, claims.judge(stated, "quick", [MODEL])))
    return judged, found.table[found.table["model"] == MODEL]


@pytest.mark.slow
def test_all_kinds_of_number_come_to_the_same_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, numbers = verdicts("float32", tmp_path, monkeypatch)
    keys = ["task", "metric"]
    for dtype in ("bfloat16", "float16"):
        judged, own = verdicts(dtype, tmp_path, monkeypatch)
        assert judged[["claim", "model", "verdict"]].equals(whole[["claim", "model", "verdict"]])
        both = numbers.merge(own, on=keys, suffixes=("", "_own"), validate="one_to_one")
        assert len(both) == len(numbers)
        moved = (both["value"] - both["value_own"]).abs()
        print(f"{dtype}: {len(both)} numbers move by at most {moved.max():.4f}, {moved.mean():.5f} on average")
        assert moved.max() > 0
        assert (moved <= CLOSE + ITEMS / both["n"]).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_features_of_fewer_digits_are_close_and_of_length_one(dtype: torch.dtype, tmp_path: Path) -> None:
    entry = model_files.write(tmp_path)
    whole, rounded = loader.load_entry(entry), loader.in_dtype(loader.load_entry(entry), dtype)
    assert rounded.fingerprint == whole.fingerprint | {"dtype": str(dtype).removeprefix("torch.")}
    assert rounded.model.visual.conv1.weight.dtype == dtype
    for own, other in (
        [encode.images(one, model_files.pictures(), cached=False) for one in (whole, rounded)],
        [encode.texts(one, model_files.TEXTS, cached=False) for one in (whole, rounded)],
        [encode.texts(one, model_files.TEXTS, cached=False, share=True) for one in (whole, rounded)],
    ):
        assert other.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(other, axis=1), 1, atol=1e-6)
        assert (own * other).sum(axis=1).min() > 0.999
        assert not np.array_equal(own, other)


def test_features_are_kept_apart_by_kind_of_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    entry = model_files.write(tmp_path)
    models = [loader.load_entry(entry), loader.in_dtype(loader.load_entry(entry), torch.bfloat16)]
    first, second = (encode.texts(model, model_files.TEXTS) for model in models)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, encode.texts(models[0], model_files.TEXTS))


def test_device_and_dtype_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (precision.device(), precision.dtype(), precision.identity()) == ("cpu", torch.float32, {})
    monkeypatch.setenv("NEGUTIL_DTYPE", "float16")
    assert precision.identity() == {"device": "cpu", "dtype": "float16"}
    monkeypatch.setenv("NEGUTIL_DTYPE", "int8")
    with pytest.raises(NegutilError, match="NEGUTIL_DTYPE is int8: set it to one of float32, bfloat16, float16"):
        precision.dtype()
    monkeypatch.setenv("NEGUTIL_DEVICE", "auto")
    assert precision.device() == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_DEVICE", "cuda")
    with pytest.raises(NegutilError, match="NEGUTIL_DEVICE is 'cuda', which torch cannot use here: choose cpu"):
        precision.device()
