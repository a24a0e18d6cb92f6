"""The command line: help everywhere, JSON for numbers, and one sentence with the right status for what goes wrong."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from negutil import config
from negutil.cache import Cache
from negutil.commands import cli
from negutil.errors import NegutilError

runner = CliRunner()


def commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command and group below ``command``, as the words that call it."""
    found = [path]
    for name, child in getattr(command, "commands", {}).items():
        found += commands(child, (*path, name))
    return found


@pytest.mark.parametrize("words", commands(typer.main.get_command(cli.app)), ids=" ".join)
def test_every_command_explains_itself(words: tuple[str, ...]) -> None:
    done = runner.invoke(cli.app, [*words, "--help"], prog_name="negutil")
    assert done.exit_code == 0
    usage, _, rest = done.output.partition("\n")
    assert usage.startswith(" ".join(("Usage: negutil", *words)))
    assert len(rest.split("Options:")[0].split()) >= 4, "a help text says what the command does"
    assert "..." not in rest.partition("Commands:")[2], "no summary of a command is cut"


def test_module_and_version_of_the_command_agree() -> None:
    command = [sys.executable, "-m", "negutil", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == f"negutil {importlib.metadata.version('negutil')}"
    assert runner.invoke(cli.app, ["--version"]).output == done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("benhc",), "Did you mean 'bench'"),
        (("bench", "ViT-B32"), "did you mean ViT-B-32?"),
        (("bench", "miniclip-s8"), "did you mean miniclip-s-8?"),
        (("data", "check", "celebb"), "did you mean 'celeba'?"),
        (("world", "build", "--profile", "mimi"), "did you mean 'mini'?"),
        (("run", "--only", "clipglases"), "There is no such notebook as 'clipglases' (did you mean 06, clipglasses?)"),
        (("table", "77/table-2"), "There is no such notebook as '77'; there are 00, 01"),
        (("encode", "x", "--model", "m", "--out", "o", "--dtype", "float31"), "'float32', 'bfloat16', 'float16'"),
    ],
    ids=" ".join,
)
def test_a_name_that_is_slightly_wrong_is_told_the_right_one(words: tuple[str, ...], said: str) -> None:
    done = runner.invoke(cli.app, words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_a_range_of_notebooks_is_listed() -> None:
    listed = runner.invoke(cli.app, ["run", "--list", "--only", "3-5"]).output.splitlines()
    assert [line[:3] for line in listed] == ["03_", "04_", "05_"]


def test_a_shell_completes_commands_and_options() -> None:
    """What bash gets from the script of `negutil --install-completion`."""
    for typed, wanted in (("negutil be", "bench"), ("negutil table --la", "--latex")):
        asked = {"_NEGUTIL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        command = [sys.executable, "-m", "negutil"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=os.environ | asked)
        assert wanted in done.stdout.split(), done.stderr


def test_cache_info_and_clear() -> None:
    cache = Cache()
    cache.clear()
    assert "empty" in runner.invoke(cli.app, ["cache", "info"]).output
    cache.get_or_compute({"kind": "images", "code_version": 1}, lambda: {"x": np.ones(1000)})
    told = json.loads(runner.invoke(cli.app, ["cache", "info", "--json"]).output)
    assert told["root"] == str(cache.root)
    assert told["kinds"]["images"]["entries"] == 1
    assert told["kinds"]["images"]["bytes"] >= 8000
    assert "images: 1 entries" in runner.invoke(cli.app, ["cache", "info"]).output
    assert "Freed" in runner.invoke(cli.app, ["cache", "clear"]).output
    assert cache.entries() == []


@pytest.mark.parametrize(
    ("problem", "status", "said"),
    [
        (NegutilError("data.csv is empty: fill it."), 2, "data.csv is empty: fill it.\n"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "/some/file"), 2, "The disk is full at /some/file"),
        (OSError(errno.EACCES, "Permission denied", "/some/file"), 2, "/some/file cannot be used (Permission denied)"),
        (OSError(errno.EIO, "Input/output error"), 2, "The system refused to read or write (Input/output error)"),
        (OSError("no errno\nsecond line"), 2, "The system refused to read or write (no errno)"),
    ],
)
def test_problems_are_one_sentence_with_a_status(
    monkeypatch: pytest.MonkeyPatch, problem: BaseException, status: int, said: str
) -> None:
    def fail(self: Cache) -> list[dict[str, Any]]:
        raise problem

    monkeypatch.setattr(Cache, "entries", fail)
    done = runner.invoke(cli.app, ["cache", "info"])
    assert done.exit_code == status
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_programming_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Cache) -> list[dict[str, Any]]:
        raise KeyError("bytes")

    monkeypatch.setattr(Cache, "entries", fail)
    assert isinstance(runner.invoke(cli.app, ["cache", "info"]).exception, KeyError)


def test_a_refused_cache_entry_reaches_the_user_through_a_real_process(tmp_path: Path) -> None:
    broken = tmp_path / "arrays" / "ab" / "abc.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "negutil", "cache", "info"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"NEGUTIL_CACHE": str(tmp_path), "PATH": ""},
    )
    assert done.returncode == 2
    assert str(broken) in done.stderr
    assert "Traceback" not in done.stderr


def test_models_are_listed_and_those_of_the_profiles_are_among_them() -> None:
    listed = json.loads(runner.invoke(cli.app, ["models", "list", "--json"]).output)
    names = {model["name"] for model in listed}
    for profile in config.names():
        assert set(config.load(profile).models) <= names, profile
    told = runner.invoke(cli.app, ["models", "list"]).output
    assert all(f"{name}: " in told for name in names)


def test_a_part_of_the_world_is_built_once_and_checked() -> None:
    command = ["world", "build", "--profile", "quick", "--only", "celeba", "--json"]
    for status in ("built", "reused"):
        (outcome,) = json.loads(runner.invoke(cli.app, command).output)
        assert (outcome["part"], outcome["status"] in (status, "reused")) == ("celeba", True)
        assert Path(outcome["folder"]).is_dir()
    (checked,) = json.loads(runner.invoke(cli.app, [*command, "--check"]).output)
    assert checked["status"] == "checked"
