from __future__ import annotations

import json
from pathlib import Path

import pytest

from miniworld import build
from negutil import config
from negutil.data import built, source
from negutil.errors import NegutilError


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Profile:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    return config.load("paper")


def test_published_data_are_the_users_own(paper: config.Profile, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="voc has no published data: put PASCAL VOC 2007 there"):
        source.folder(paper, "voc")
    with pytest.raises(NegutilError, match="voc has no published data: unpack it"):
        source.folder(paper, "voc", "unpack it")
    (tmp_path / "voc").mkdir()
    assert source.folder(paper, "voc") == tmp_path / "voc"
    assert not source.is_drawn(tmp_path / "voc")
    assert source.digest(tmp_path / "voc") == str(tmp_path / "voc")


def test_drawn_data_never_stand_for_published_ones(paper: config.Profile, tmp_path: Path) -> None:
    (tmp_path / "voc").mkdir()
    (tmp_path / "voc" / built.MANIFEST).write_text(json.dumps({"sha256": "ab"}))
    assert source.is_drawn(tmp_path / "voc")
    assert source.digest(tmp_path / "voc") == "ab"
    with pytest.raises(NegutilError, match="no published data"):
        source.folder(paper, "voc")


def test_every_dataset_of_the_mini_world_stands_for_something() -> None:
    assert {*build.PARTS, *build.BENCHMARKS} == set(source.STANDS_FOR)
    assert set(source.WHERE) <= set(source.STANDS_FOR)


def test_the_mini_world_has_all_that_it_offers() -> None:
    world = source.world()
    assert all(hasattr(world, name) for name in world.__all__)
