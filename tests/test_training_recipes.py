from __future__ import annotations

import os
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from miniworld.pretrain import recipes
from negutil.errors import NegutilError
from negutil.models import architectures


def test_recipes_name_known_architectures() -> None:
    assert set(recipes.RECIPES) == {"miniclip-s-8", "miniclip-b-8"}
    for name in recipes.RECIPES:
        config = recipes.recipe(name)
        assert config.architecture.lower() == name
        assert architectures.config(config.architecture)["vision_cfg"]["image_size"] == 64


def test_an_unknown_recipe_lists_those_that_exist() -> None:
    with pytest.raises(NegutilError, match="there are miniclip-s-8, miniclip-b-8"):
        recipes.recipe("miniclip-xl")


def test_the_command_trains_on_the_mini_world_and_writes_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = recipes.dataclasses.replace(recipes.RECIPES["miniclip-s-8"], batch=8)
    monkeypatch.setitem(recipes.RECIPES, "miniclip-s-8", small)
    app = typer.Typer()
    app.command()(recipes.run)
    words = ["miniclip-s-8", "--pool", tmp_path / "pool", "--out", tmp_path / "run", "--weights", tmp_path / "weights"]
    done = CliRunner().invoke(
        app, [str(word) for word in [*words, "--pictures", "16", "--steps", "2", "--threads", "1"]]
    )
    assert done.exit_code == 0, done.output
    assert "miniclip-s-8.safetensors" in done.output
    assert sorted(path.name for path in (tmp_path / "weights").iterdir()) == [
        "miniclip-s-8.curve.csv",
        "miniclip-s-8.json",
        "miniclip-s-8.safetensors",
    ]
    assert (tmp_path / "weights" / "miniclip-s-8.safetensors").stat().st_size < 12_000_000
    pool = recipes.corpus_pool(tmp_path / "pool", 16)
    assert (len(pool), pool.tokens.shape[1]) == (16, recipes.CAPTIONS)
    with pytest.raises(NegutilError, match="has 16 pictures instead of 17"):
        recipes.corpus_pool(tmp_path / "pool", 17)


def test_idle_threads_are_told_to_sleep_before_torch_loads() -> None:
    lines = Path(recipes.__file__).read_text(encoding="utf-8").splitlines()
    setting = lines.index('os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")')
    assert not any(
        "negutil" in line or "torch" in line for line in lines[:setting] if line.startswith(("import", "from"))
    )
    assert os.environ["OMP_WAIT_POLICY"]
