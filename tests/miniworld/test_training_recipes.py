from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miniworld.pretrain import contrastive, recipes
from miniworld.pretrain.pool import CAPTIONS
from negutil.commands import cli
from negutil.errors import NegutilError
from negutil.models import architectures


def test_recipes_name_known_architectures() -> None:
    sizes = {"miniclip-s-8", "miniclip-s-8-seed1", "miniclip-b-8"}
    assert set(recipes.RECIPES) == {*sizes, *contrastive.DOSES, "minisd", "miniclipseg", "judge"}
    assert {contrastive.RECIPES[name].steps for name in sizes} == {contrastive.STEPS}  # comparing sizes compares sizes
    assert len({contrastive.RECIPES[name] for name in contrastive.DOSES}) == 1
    for name, config in contrastive.RECIPES.items():
        assert config.architecture.lower() == name.removesuffix("-seed1") or name in contrastive.DOSES
        assert architectures.config(config.architecture)["vision_cfg"]["image_size"] == 64


def test_an_unknown_recipe_lists_those_that_exist() -> None:
    with pytest.raises(NegutilError, match="there are miniclip-s-8, "):
        recipes.recipe("miniclip-xl")


def test_the_command_trains_on_the_mini_world_and_writes_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dataclasses.replace(contrastive.RECIPES["miniclip-s-8"], batch=8)
    monkeypatch.setitem(recipes.RECIPES, "miniclip-s-8", small)
    pools = ("pool", lambda folder: contrastive.corpus_pool(folder, 16))
    monkeypatch.setitem(recipes.POOLS, "miniclip-s-8", pools)
    words = [
        *("pretrain", "miniclip-s-8", "--pool", str(tmp_path / "pool"), "--out", str(tmp_path / "run")),
        *("--weights", str(tmp_path / "weights"), "--steps", "2", "--threads", "1"),
    ]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    assert "miniclip-s-8.safetensors" in done.output
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == [
        "miniclip-s-8.curve.csv",
        "miniclip-s-8.json",
        "miniclip-s-8.safetensors",
        "miniclip-s-8.tokens.csv",
    ]
    assert (tmp_path / "weights" / "miniclip-s-8.safetensors").stat().st_size < 2_000_000
    pool = contrastive.corpus_pool(tmp_path / "pool", 16)
    assert (len(pool), pool.tokens.shape[1]) == (16, CAPTIONS)
    with pytest.raises(NegutilError, match="has 16 images instead of 17"):
        contrastive.corpus_pool(tmp_path / "pool", 17)


def test_idle_threads_are_told_to_sleep_before_torch_loads() -> None:
    lines = Path(recipes.__file__).read_text(encoding="utf-8").splitlines()
    setting = lines.index('os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")')
    assert not any(
        "negutil" in line or "torch" in line for line in lines[:setting] if line.startswith(("import", "from"))
    )
    assert os.environ["OMP_WAIT_POLICY"]
