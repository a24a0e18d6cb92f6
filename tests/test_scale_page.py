"""Every command that docs/scale.md writes out is one that the command line takes."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import Any

import pytest
import typer

from negutil import paths
from negutil.captions.endpoint_annotator import Endpoint
from negutil.commands import cli

PAGE = (paths.ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
LINES = re.findall(r"\bnegutil (?:stats|encode|finetune) [^`\n]*--[^`\n]*", PAGE.replace("\\\n", " "))
COMMANDS = [line.split("#")[0].strip() for line in LINES]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_taken(line: str) -> None:
    words = shlex.split(line)
    command: Any = typer.main.get_command(cli.app)
    context = command.make_context(words[0], words[1:])
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    assert command.name == {"stats": "captions"}.get(words[1], words[1])


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 8


def test_the_settings_of_endpoints_are_taken() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    settings = tomllib.loads(block)["paper"]["language"]
    assert settings.pop("kind") == "endpoint"
    assert settings.pop("prompts") == "negationclip"
    assert len(Endpoint(**settings).urls) == 4
