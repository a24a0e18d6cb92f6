"""pyproject.toml, environment.yml and constraints.txt agree, and constraints.txt is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import negutil
from negutil import paths


def pins(lines: list[str]) -> dict[str, str]:
    """Exact versions by canonical name; anything but an exact version is an error."""
    found: dict[str, str] = {}
    for line in lines:
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", line
        name = canonicalize_name(requirement.name)
        assert name not in found, f"{name} is pinned twice"
        found[name] = specifier.version
    return found


@pytest.fixture(scope="module")
def constraints() -> dict[str, str]:
    lines = (paths.ROOT / "constraints.txt").read_text().splitlines()
    return pins([line for line in lines if line.strip() and not line.startswith("#")])


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def direct(project: dict) -> dict[str, Requirement]:
    extras = project["optional-dependencies"]
    listed = project["dependencies"] + extras["dev"] + extras["ray"] + extras["photo"]
    requirements = [Requirement(line) for line in listed]
    found: dict[str, Requirement] = {canonicalize_name(each.name): each for each in requirements}
    assert len(found) == len(listed), "a package is listed twice in pyproject.toml"
    return found


@pytest.fixture(scope="module")
def environment() -> list:
    return yaml.safe_load((paths.ROOT / "environment.yml").read_text())["dependencies"]


def test_every_direct_dependency_is_pinned(direct: dict[str, Requirement], constraints: dict[str, str]) -> None:
    assert set(direct) <= set(constraints)
    for name, requirement in direct.items():
        assert requirement.specifier.contains(constraints[name]), name


def test_conda_gets_the_same_direct_dependencies_at_the_same_versions(
    environment: list, direct: dict[str, Requirement], constraints: dict[str, str]
) -> None:
    (pip,) = [entry["pip"] for entry in environment if isinstance(entry, dict)]
    assert pip[0] == "-c constraints.txt"
    assert pins(pip[1:]) == {name: constraints[name] for name in direct}


def test_the_python_of_conda_is_one_that_the_project_takes(environment: list, project: dict) -> None:
    (python,) = [entry for entry in environment if isinstance(entry, str) and entry.startswith("python")]
    assert SpecifierSet(project["requires-python"]).contains(python.partition("=")[2])
    assert "pip" in environment


def needed(direct: dict[str, Requirement]) -> set[str]:
    """Names of all packages that the direct dependencies need, each with the extras it was asked for."""
    found: set[str] = set()
    todo, seen = list(direct.values()), set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        found.add(name)
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # those of the extra `photo`, or what only they need
            continue
        for line in lines:
            child = Requirement(line)
            extras = requirement.extras or {""}
            if child.marker is None or any(child.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(child)
    return found


def test_constraints_pin_all_that_is_needed(direct: dict[str, Requirement], constraints: dict[str, str]) -> None:
    # torch for a GPU brings NVIDIA's libraries, which torch itself pins; they are not there with the CPU build.
    with_gpu = {name for name in needed(direct) if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert needed(direct) - with_gpu <= set(constraints)


def test_what_is_installed_is_what_is_pinned(constraints: dict[str, str]) -> None:
    installed: dict[str, str] = {
        canonicalize_name(package.name): package.version for package in metadata.distributions()
    }
    known = {name: installed[name].partition("+")[0] for name in constraints if name in installed}
    assert len(known) > 150
    assert known == {name: constraints[name] for name in known}


def test_open_clip_can_be_imported_without_negutil(tmp_path: Path) -> None:
    if not (Path(sys.prefix) / ".negutil-installed").exists():
        pytest.skip(f"{sys.prefix} was not made by run_all.sh")
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = "import sys, open_clip; print(len(open_clip.list_models()) > 100, 'negutil' in sys.modules)"
    told = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, env=elsewhere, text=True)
    assert told.split() == ["True", "False"]


@pytest.mark.parametrize("script", ["run_all.sh", "run_tests.sh"])
def test_scripts_explain_themselves_from_any_folder(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [paths.ROOT / script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert f"Usage: ./{script}" in done.stdout


def test_ci_runs_exactly_run_tests() -> None:
    lines = (paths.ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-1].endswith('/../run_tests.sh"')
    assert len(lines) == 2


def test_the_citation_file_is_whole() -> None:
    citation = yaml.safe_load((paths.ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == negutil.__version__
    assert {"message", "title", "authors", "license"} <= set(citation)
    named = {work["notes"].split()[0] for work in citation["references"]}
    assert named == {"NegBench", "NegationCLIP", "CLIPGlasses", "CoN-CLIP", "NegCLIP"}
    for work in citation["references"]:
        assert work["type"] == "conference-paper"
        assert {"authors", "title", "year", "collection-title", "identifiers"} <= set(work)
        assert all({"given-names", "family-names"} == set(author) for author in work["authors"])
