"""The builder: a part is whole or not there, the same settings give the same bytes, and nothing foreign is deleted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from miniworld import build
from miniworld.writers import voc
from negutil import config
from negutil.commands import cli
from negutil.config import Profile, Splits
from negutil.data import source
from negutil.errors import NegutilError

TINY = Splits(train=0, val=0, test=6)
LARGER = Splits(train=0, val=0, test=8)


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _profile(sizes: Splits = TINY, seed: int = 0) -> Profile:
    quick = config.load("quick")
    return replace(quick, world=replace(quick.world, voc=sizes, seed=seed))


def _manifest(folder: Path) -> dict[str, object]:
    found = build.manifest(folder)
    assert found is not None
    return found


def test_a_part_is_built_once_and_then_reused() -> None:
    (first,) = build.build_all(_profile(), ["voc"])
    before = {path: path.stat().st_mtime_ns for path in Path(first.folder).rglob("*")}
    (second,) = build.build_all(_profile(), ["voc"])
    assert (first.status, second.status) == ("built", "reused")
    assert before == {path: path.stat().st_mtime_ns for path in Path(first.folder).rglob("*")}
    assert second.files == first.files == len([path for path in before if path.is_file()]) - 1


def test_the_same_settings_give_the_same_bytes(private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _manifest(build.build("voc", _profile()))
    monkeypatch.setenv("NEGUTIL_CACHE", str(private_cache / "again"))
    assert _manifest(build.build("voc", _profile())) == first


def test_other_sizes_build_it_again_and_another_seed_has_a_folder_of_its_own(private_cache: Path) -> None:
    folder = build.build("voc", _profile())
    first = _manifest(folder)
    assert build.build("voc", _profile(LARGER)) == folder
    assert _manifest(folder)["sizes"] == {"train": 0, "val": 0, "test": 8}
    other = build.build("voc", _profile(seed=1))
    assert other == private_cache / "data" / "quick-seed-1" / "voc"
    assert _manifest(other)["sha256"] != first["sha256"] and _manifest(other)["seed"] == 1
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["voc"]


def test_other_code_builds_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    build.build("voc", _profile())
    monkeypatch.setattr(build.code, "fingerprint", lambda *_, **__: "changed")
    (outcome,) = build.build_all(_profile(), ["voc"])
    assert outcome.status == "built"


def test_check_finds_a_changed_byte() -> None:
    folder = build.build("voc", _profile())
    (outcome,) = build.build_all(_profile(), ["voc"], check=True)
    assert outcome.status == "checked"
    picture = next(folder.rglob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:-1] + b"\0")
    with pytest.raises(NegutilError, match=r"not what its manifest.json says.*negutil world build"):
        build.build_all(_profile(), ["voc"], check=True)


def test_check_finds_what_is_missing_or_of_other_settings() -> None:
    with pytest.raises(NegutilError, match="never built to the end"):
        build.build_all(_profile(), ["voc"], check=True)
    build.build("voc", _profile())
    with pytest.raises(NegutilError, match="other settings"):
        build.build_all(_profile(LARGER), ["voc"], check=True)


def test_a_damaged_manifest_is_no_manifest() -> None:
    folder = build.build("voc", _profile())
    for text in ("", "{", "[]", '{"part": "voc"}'):
        (folder / build.MANIFEST).write_text(text)
        assert build.manifest(folder) is None


def test_a_folder_that_was_not_built_here_is_never_touched(private_cache: Path) -> None:
    theirs = private_cache / "data" / "quick" / "voc" / "VOCdevkit"
    theirs.mkdir(parents=True)
    (theirs / "precious.txt").write_text("mine")
    with pytest.raises(NegutilError, match="not built by negutil and is not touched"):
        build.build("voc", _profile())
    assert (theirs / "precious.txt").read_text() == "mine"


def test_a_failing_writer_leaves_nothing(private_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path, sizes: Splits, seed: int) -> None:
        (folder / "half.jpg").write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(voc, "write", fail)
    with pytest.raises(OSError, match="no space"):
        build.build("voc", _profile())
    assert [path.name for path in (private_cache / "data" / "quick").iterdir() if path.is_dir()] == []


def test_a_failing_rebuild_keeps_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build.build("voc", _profile())
    first = _manifest(folder)

    def fail(folder: Path, sizes: Splits, seed: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(voc, "write", fail)
    with pytest.raises(KeyboardInterrupt):
        build.build("voc", _profile(LARGER))
    assert _manifest(folder) == first


_SLOW = """
import sys, time
from pathlib import Path
from miniworld import build
from miniworld.writers import voc
def slow(folder, sizes, seed):
    (folder / "half.jpg").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
voc.write = slow
build.build("voc", "quick")
"""


def test_kill_9_leaves_nothing_half_done(private_cache: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _SLOW], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    home = private_cache / "data" / "quick"
    assert not (home / "voc").exists()
    assert len(list(home.glob(".voc.*.part"))) == 1
    started = time.monotonic()
    folder = build.build("voc", _profile())
    assert time.monotonic() - started < 30
    assert _manifest(folder)["sizes"] == {"train": 0, "val": 0, "test": 6}
    assert list(home.glob(".voc.*.part")) == []
    assert not list(folder.rglob("half.jpg"))


def test_two_processes_build_a_part_once() -> None:
    code = "from miniworld import build; print(build.build_all('quick', ['imagenet'])[0].status)"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(process.communicate()[0].strip() for process in both) == ["built", "reused"]


def test_settings_that_make_no_sense_are_refused() -> None:
    for sizes in (Splits(train=0, val=0, test=0), Splits(train=0, val=0, test=-1)):
        with pytest.raises(NegutilError, match=r"configs/quick.toml: world.voc is"):
            build.build("voc", _profile(sizes))
    quick = config.load("quick")
    few = replace(quick, world=replace(quick.world, imagenet=Splits(train=0, val=5, test=0)))
    with pytest.raises(NegutilError, match="at least"):
        build.build("imagenet", few)


def test_an_unknown_part_is_named_with_those_that_exist() -> None:
    with pytest.raises(NegutilError, match="no part 'cocoa' of the world: choose among coco, voc"):
        build.build("cocoa", _profile())


def test_every_part_has_a_writer_and_sizes() -> None:
    import importlib

    world = config.load("mini").world
    for name, part in build.PARTS.items():
        assert name in source.STANDS_FOR
        assert callable(getattr(importlib.import_module(part.module), part.function))
        assert isinstance(getattr(world, part.sizes), Splits)


def test_the_command_builds_reuses_and_checks() -> None:
    runner = CliRunner()
    command = ["world", "build", "--profile", "quick", "--only", "imagenet,caltech101", "--json"]
    first = runner.invoke(cli.app, command)
    assert first.exit_code == 0, first.output
    assert [(row["part"], row["status"]) for row in json.loads(first.stdout)] == [
        ("imagenet", "built"),
        ("caltech101", "built"),
    ]
    again = runner.invoke(cli.app, [*command[:-1], "--check"])
    assert again.exit_code == 0 and "checked" in again.stdout
    wrong = runner.invoke(cli.app, ["world", "build", "--profile", "quick", "--only", "cocoa"])
    assert wrong.exit_code == 2 and "cocoa" in wrong.output
