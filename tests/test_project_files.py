"""Dockerfile, dev container, GitHub Actions, pre-commit and CONTRIBUTING.md: whole, and of the same environment."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from negutil import paths
from negutil.commands import cli

ROOT = paths.ROOT
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMMANDS = set(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]
HELP = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("run_all.sh", "run_tests.sh")}


def steps(workflow: Path) -> list[dict[str, Any]]:
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    return [step for job in content["jobs"].values() for step in job["steps"]]


def python_of_conda() -> str:
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    return re.findall(r"- python=([\d.]+)", text)[0]


def docker() -> list[list[str]]:
    """Each instruction of the Dockerfile: its name, and what follows."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [line.split(maxsplit=1) for line in text.replace("\\\n", " ").splitlines() if line]


def shell() -> list[str]:
    """Every shell command of the files here."""
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    lines = [step["run"] for workflow in WORKFLOWS for step in steps(workflow) if "run" in step]
    lines += [rest for name, rest in docker() if name == "RUN"]
    lines += [container["postCreateCommand"][-1]]
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    return lines + [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("line", shell())
def test_every_shell_line_is_whole_and_names_commands_and_options_that_exist(line: str) -> None:
    subprocess.run(["bash", "-n", "-c", line], check=True)
    words = shlex.split(line, comments=True)
    if words[0].startswith("./"):
        name = words[0].removeprefix("./")
        assert (ROOT / name).stat().st_mode & 0o111
        options = [word for word in words if word.startswith("--")]
        assert all(f"  {option} " in HELP[name] for option in options)
    if words[0].endswith("/negutil"):
        assert words[1] in COMMANDS
    if "scripts/environment.sh" in words:
        script = (ROOT / "scripts" / "environment.sh").read_text(encoding="utf-8")
        called = [word for word in words[2:] if word != "&&"]
        assert called and all(f"\n{name}() {{" in script for name in called)


def test_there_are_shell_lines_of_every_file() -> None:
    lines = "\n".join(shell())
    for wanted in ("./run_tests.sh", "./run_all.sh --profile", "negutil verify", "set_up", "apt-get install"):
        assert wanted in lines


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_use_pinned_actions(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert content["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in content["jobs"].values())
    used = re.findall(r"uses: (.*)", workflow.read_text(encoding="utf-8"))
    assert used and all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in used)
    # What a user types reaches the shell as a variable, and not as a part of the command.
    assert not [step for step in steps(workflow) if "${{" in step.get("run", "")]
    versions = [step["with"]["python-version"] for step in steps(workflow) if "setup-python" in step.get("uses", "")]
    assert versions == [python_of_conda()]


def test_the_workflows_run_the_two_commands() -> None:
    run = {path.stem: [step["run"] for step in steps(path) if "run" in step] for path in WORKFLOWS}
    assert run["ci"] == ["./run_tests.sh"]
    assert run["regenerate"][0].startswith("./run_all.sh ")


def test_the_image_has_the_python_of_conda_and_pins_nothing_itself() -> None:
    lines = docker()
    assert lines[0][0] == "FROM" and lines[0][1].startswith(f"python:{python_of_conda()}-")
    assert not [rest for name, rest in lines if name == "RUN" and re.search(r"==|pip install", rest)]
    users = [rest for name, rest in lines if name == "USER"]
    assert users and "root" not in users


def test_the_dev_container_is_built_from_the_same_file() -> None:
    file = ROOT / ".devcontainer" / "devcontainer.json"
    container = json.loads(file.read_text(encoding="utf-8"))
    assert (file.parent / container["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    stages = [rest.split(" AS ")[1] for name, rest in docker() if name == "FROM"]
    assert container["build"]["target"] in stages
    assert [container["remoteUser"]] == [rest for name, rest in docker() if name == "USER"]


def test_pre_commit_runs_the_ruff_of_the_constraints_and_strips_no_outputs() -> None:
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repo in content["repos"] for hook in repo["hooks"]]
    assert [hook["entry"].split()[:2] for hook in hooks] == [["ruff", "check"], ["ruff", "format"]]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(set(hook["additional_dependencies"]) <= set(pins) for hook in hooks)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_and_files_that_a_page_names_are_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]
    files = re.findall(r"`((?:configs|docs|scripts)/[\w./-]+|\w+\.(?:txt|yml|toml|md))`", text)
    assert links + files
    assert not [one for one in links + files if not (ROOT / one).exists()]


def test_the_changelog_has_the_sections_of_keep_a_changelog() -> None:
    headings = re.findall(r"^##+ (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert set(headings[1:]) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
