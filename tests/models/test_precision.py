"""float32, bfloat16 and float16 come to the same verdicts, and what was computed in which is on record."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import model_files
import numpy as np
import pandas as pd
import pytest
import torch

from negutil import config, paths
from negutil.compare import claims, negation_beyond, negbench
from negutil.config import Profile
from negutil.errors import NegutilError
from negutil.models import encode, loader, precision
from negutil.tasks.negbench import Items, load_all

MODEL = "miniclip-s-8"
CLOSE, ITEMS = 0.01, 3
"""No metric moves by more than a hundredth and three of its items: with few bits of mantissa the higher of two nearly
equal scores changes now and then."""


def numbers(dtype: str, settings: Profile, tasks: Sequence[Items], monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The numbers of notebook 03 about ``tasks``."""
    monkeypatch.setenv("NEGUTIL_DTYPE", dtype)
    monkeypatch.setenv("NEGUTIL_RESULTS", str(paths.results("").parent / dtype))
    found = negbench.run(settings, tasks).table
    about = json.loads((paths.results("quick") / "03_negbench" / "tasks.provenance.json").read_text())
    assert about["dtype"] == dtype
    return found[found["model"] == MODEL]


def verdicts(settings: Profile) -> pd.DataFrame:
    """Compute what else notebook 03 does, and judge its claims."""
    negation_beyond.run(settings, negation_beyond.gallery(settings), {})
    stated = [claim for claim in claims.of_notebook("03") if claim.id != "negbench-scaling-is-no-cure"]
    return pd.DataFrame(map(dataclasses.asdict, claims.judge(stated, "quick", [MODEL])))


def require_close(dtype: str, whole: pd.DataFrame, own: pd.DataFrame) -> None:
    """Compare numbers with the same ones in float32."""
    both = whole.merge(own, on=["task", "metric"], suffixes=("", "_own"), validate="one_to_one")
    assert len(both) == len(own)
    moved = (both["value"] - both["value_own"]).abs()
    print(f"{dtype}: {len(both)} numbers move by at most {moved.max():.4f}, {moved.mean():.5f} on average")
    assert moved.max() > 0
    assert (moved <= CLOSE + ITEMS / both["n"]).all()


@pytest.mark.slow
@pytest.mark.long
def test_all_kinds_of_number_come_to_the_same_verdicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """float16, which keeps more digits than bfloat16, is asked about HardNeg-Syn alone: it takes as long."""
    quick = config.load("quick")
    bootstrap = dataclasses.replace(quick.bootstrap, resamples=200)
    settings = dataclasses.replace(quick, models=(MODEL,), bootstrap=bootstrap)
    tasks = load_all(settings)
    whole = numbers("float32", settings, tasks, monkeypatch)
    expected = verdicts(settings)
    rounded = numbers("bfloat16", settings, tasks, monkeypatch)
    judged = verdicts(settings)
    assert judged[["claim", "model", "verdict"]].equals(expected[["claim", "model", "verdict"]])
    assert len(rounded) == len(whole)
    require_close("bfloat16", whole, rounded)
    pairs = [task for task in tasks if task.variation.dataset == "HardNeg-Syn"]
    require_close("float16", whole, numbers("float16", settings, pairs, monkeypatch))


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
