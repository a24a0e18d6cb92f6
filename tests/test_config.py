"""Profiles: those that ship are whole, and a wrong one is refused with the file, the setting and the mend."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from negutil import config, paths
from negutil.errors import NegutilError

MINI = (paths.CONFIGS / "mini.toml").read_text()


@pytest.mark.parametrize("name", ["mini", "quick", "photo", "paper"])
def test_shipped_profiles_load(name: str) -> None:
    profile = config.load(name)
    assert profile.name == name
    assert profile.world.scenes.train > 0
    assert profile.models


def test_quick_is_smaller_than_mini() -> None:
    quick, mini = config.load("quick").world, config.load("mini").world
    for part in ("scenes", "faces", "clips", "radiographs", "shapes", "ccneg", "alttexts"):
        few, many = (sum(dataclasses.astuple(getattr(world, part))) for world in (quick, mini))
        assert few < many, part


def test_empty_name_means_environment_then_mini(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.load("").name == "mini"
    monkeypatch.setenv("NEGUTIL_PROFILE", "quick")
    assert config.load("").name == config.load(None).name == "quick"
    assert config.load("mini").name == "mini"


def test_profiles_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.load("mini").name = "other"  # type: ignore[misc]


def test_unknown_profile_names_the_choices() -> None:
    with pytest.raises(NegutilError, match=r"no profile 'huge'.*mini, paper, photo, quick"):
        config.load("huge")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("resamples = 2000\n", "", "'resamples' of bootstrap is missing"),
        ("[encode]\n", "[encode]\nbatchsize = 3\n", "'batchsize' of encode is unknown"),
        ("batch = 256", 'batch = "many"', "batch is .*: it should be a valid integer"),
        ("batch = 256", "batch = true", "batch is .*: it should be a valid integer"),
        ('models = ["', 'models = "one"  # ["', "models is .*: it should be a valid list"),
        ("[bootstrap]\nresamples = 2000\nseed = 0", "", "'bootstrap' is missing"),
        ("[world]", "[world", "cannot be read as TOML"),
        ('name = "mini"', 'name = "maxi"', "the file is called mini"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in MINI
    path = tmp_path / "mini.toml"
    path.write_text(MINI.replace(old, new))
    with pytest.raises(NegutilError, match=said) as caught:
        config.read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"none\.toml cannot be read"):
        config.read(tmp_path / "none.toml")
