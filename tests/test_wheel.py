"""A wheel, built and installed where no checkout is: it works from any folder and leaves the installed files alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from data_files import picture, write_text

import negutil
from negutil import paths
from negutil.report import chapters
from negutil.run import notebooks

pytestmark = pytest.mark.slow

MODEL = "miniclip-s-8"
LARGEST = 30_000_000
SOURCES = ("configs", "miniworld", "negutil", "notebooks", "results/mini", "results/published", "tests")
FILES = ("LICENSE", "README.md", "pyproject.toml")
READ_FROM = {"configs": "**/*", "notebooks": "*.ipynb", "results/published": "**/*"}
"""Folders of the checkout that a wheel has in negutil/resources, and which of their files."""

BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
Run = Callable[..., subprocess.CompletedProcess[str]]


def python(*words: str | Path, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a Python's command in ``cwd``, without PYTHONPATH and with no variable of this project but ``changes``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NEGUTIL_", "PYTHONPATH"))}
    command = [str(word) for word in words]
    return subprocess.run(command, cwd=cwd, env=environment | changes, capture_output=True, text=True, check=False)


def done(*words: str | Path, cwd: Path) -> None:
    result = python(*words, cwd=cwd)
    assert result.returncode == 0, result.stdout + result.stderr


def pip_wheel(source: Path, out: Path) -> Path:
    """The wheel that pip builds from the folder ``source`` without a network."""
    quiet = ("-qq", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index")
    done(sys.executable, "-m", "pip", "wheel", *quiet, "-w", out, source, cwd=out.parent)
    (wheel,) = out.glob("*.whl")
    return wheel


def names(wheel: Path) -> set[str]:
    """The names of the files in ``wheel``."""
    with zipfile.ZipFile(wheel) as content:
        return {name for name in content.namelist() if not name.endswith("/")}


def install(wheel: Path, folder: Path) -> Path:
    """Make a virtual environment with ``wheel`` alone, which sees the packages of this Python; returns its packages.

    A path in a .pth file is not itself searched for .pth files, so this Python's editable negutil is not visible.
    """
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    own = folder / "bin" / "python"
    done(
        *(sys.executable, "-m", "pip", "--python", own, "install"),
        *("-qq", "--disable-pip-version-check", "--no-deps", "--no-index", wheel),
        cwd=folder,
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    write_text(packages / "packages_of_the_tests.pth", *others)
    return packages


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a wheel is built from, and of results and tests, so that building leaves the checkout alone."""
    root = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        shutil.copytree(paths.ROOT / name, root / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    for name in FILES:
        shutil.copy(paths.ROOT / name, root / name)
    return root


@pytest.fixture(scope="module")
def expected(checkout: Path) -> set[str]:
    """The files that belong into a wheel, before the checkout has been built in."""
    packages = [checkout / name for name in ("miniworld", "negutil")]
    found = {path.relative_to(checkout) for folder in packages for path in folder.rglob("*") if path.is_file()}
    for name, pattern in READ_FROM.items():
        read = (path for path in (checkout / name).glob(pattern) if path.is_file())
        found |= {Path("negutil", "resources") / path.relative_to(checkout) for path in read}
    about = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
    return {path.as_posix() for path in found} | {f"negutil-{negutil.__version__}.dist-info/{name}" for name in about}


@pytest.fixture(scope="module")
def wheel(checkout: Path, expected: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pip_wheel(checkout, tmp_path_factory.mktemp("wheel") / "dist")


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("environment")
    install(wheel, folder)
    return folder


@pytest.fixture
def run(environment: Path, tmp_path: Path, session_cache: Path) -> Iterator[Run]:
    """Run a program of the environment in an empty folder; the environment has to stay as it is."""

    def content() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in environment.rglob("*") if path.is_file()}

    def run(program: str, *words: str | Path, **changes: str) -> subprocess.CompletedProcess[str]:
        program_file = environment / "bin" / program
        return python(program_file, *words, cwd=tmp_path, NEGUTIL_CACHE=str(session_cache), **changes)

    before = content()
    yield run
    assert content() == before


def test_it_has_every_file_that_is_needed_and_no_other(wheel: Path, expected: set[str]) -> None:
    assert names(wheel) == expected
    assert wheel.stat().st_size < LARGEST


def test_a_source_distribution_has_what_a_wheel_is_built_from(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    done(sys.executable, "-c", BUILD, "build_sdist", tmp_path, cwd=checkout)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        there = {name.partition("/")[2] for name in content.getnames()}
    built_from = {name.removeprefix("negutil/resources/") for name in names(wheel) if ".dist-info/" not in name}
    assert {*built_from, *FILES} <= there


def test_an_editable_installation_reads_and_writes_the_checkout(checkout: Path, tmp_path: Path) -> None:
    done(sys.executable, "-c", BUILD, "build_editable", tmp_path, cwd=checkout)
    (editable,) = tmp_path.glob("*.whl")
    install(editable, tmp_path / "environment")
    code = "from negutil import paths; print(paths.IS_CHECKOUT, paths.CONFIGS, paths.NOTEBOOKS, paths.results('mini'))"
    found = python(tmp_path / "environment" / "bin" / "python", "-c", code, cwd=tmp_path)
    folders = [checkout / name for name in ("configs", "notebooks", "results/mini")]
    assert found.stdout.split() == ["True", *map(str, folders)], found.stderr


def test_the_package_is_the_installed_one_and_writes_to_the_working_directory(
    run: Run, environment: Path, tmp_path: Path
) -> None:
    told = run(
        *("python", "-c"),
        "import json, sys, negutil; from negutil import paths; print(json.dumps({"
        "'file': negutil.__file__, 'configs': str(paths.CONFIGS), 'weights': str(paths.NEW_WEIGHTS), "
        "'results': str(paths.results('mini')), 'figures': str(paths.figures('mini')), "
        "'finders': [str(finder) for finder in sys.meta_path]}))",
    )
    found = json.loads(told.stdout)
    assert Path(found["file"]).is_relative_to(environment)
    assert Path(found["configs"]).is_relative_to(environment)
    assert not [finder for finder in found["finders"] if "editable" in finder]
    written = {name: found[name] for name in ("results", "figures", "weights")}
    folders = {"results": "results/mini", "figures": "figures/mini", "weights": "weights"}
    assert written == {name: str(tmp_path / place) for name, place in folders.items()}


def test_models_and_data_are_listed(run: Run, tmp_path: Path) -> None:
    models = run("negutil", "models", "list")
    assert f"{MODEL}: MiniCLIP-S-8, quick_gelu, weights here" in models.stdout.splitlines(), models.stderr
    listed = json.loads(run("negutil", "data", "list", "--json").stdout)
    assert {"coco2017", "negclip"} <= {row["name"] for row in listed}
    assert {row["folder"] for row in listed if row["kind"] == "checkpoint"} == {str(tmp_path)}
    assert not list(tmp_path.iterdir())


def test_captions_are_counted(run: Run, tmp_path: Path) -> None:
    write_text(tmp_path / "captions.txt", "a dog", "no dog on the street", "a cat without a hat", "two cats")
    counted = run("negutil", "stats", "captions", "captions.txt", "--terms", "standard", "--json")
    assert counted.returncode == 0, counted.stderr
    found = json.loads(counted.stdout)
    assert (found["captions"], found["lists"]["standard"]["captions_with_cue"]) == (4, 2)


def test_a_card_is_made_and_says_which_version_made_it(run: Run, tmp_path: Path) -> None:
    for number in range(2):
        picture(tmp_path / f"{number}.png", (90 * number, 30, 30))
    write_text(tmp_path / "mine.csv", "image,true,false", "0.png,no red cat,a red cat", "1.png,a dog,no dog")
    # A repository in the working directory is not where the code came from.
    done("git", "init", "-q", cwd=tmp_path)
    made = run("negutil", "bench", MODEL, "--pairs", "mine.csv", "--device", "cpu", "--out", "card")
    assert made.returncode == 0, made.stderr
    content = json.loads((tmp_path / "card" / "bench.json").read_text())
    assert {row["n"] for row in content["records"] if row["metric"] == "pairwise accuracy"} == {2}
    about = content["provenance"]
    assert (about["version"], about["commit"], about["dirty"]) == (negutil.__version__, "", False)
    assert f"negutil {negutil.__version__}" in (tmp_path / "card" / "card.html").read_text()


def test_notebooks_are_listed(run: Run) -> None:
    listed = run("negutil", "run", "--list")
    found_chapters = chapters.find()
    assert listed.stdout.splitlines() == [f"{chapter.path.stem}: {chapter.title}" for chapter in found_chapters]


def test_an_executed_notebook_is_left_beside_the_tables(run: Run, tmp_path: Path) -> None:
    code = "from negutil.compare import negbench\nprint(len(negbench.file_counts()) > 0, paths.results('mini'))"
    cells = [
        nbformat.v4.new_code_cell('profile = ""', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(f"from negutil import paths\n{code}"),
    ]
    source = tmp_path / "chapters" / "00_a.ipynb"
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": notebooks.KERNELSPEC})
    write_text(source, nbformat.writes(book))
    before = source.read_bytes()
    code = (
        "from pathlib import Path; from negutil.report import chapters; from negutil.run import notebooks; "
        "notebooks.run(chapters.find(Path('chapters')), 'mini')"
    )
    executed = run("python", "-c", code)
    assert executed.returncode == 0, executed.stderr
    assert source.read_bytes() == before
    results = tmp_path / "results" / "mini"
    (_, cell) = nbformat.read(results / "notebooks" / source.name, as_version=4).cells
    assert cell.outputs[0]["text"] == f"True {results}\n"


def test_pages_of_the_repository_need_the_checkout(run: Run, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("somebody else's")
    refused = run("negutil", "readme")
    assert refused.returncode == 2
    assert "run `negutil readme` in a checkout" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert (tmp_path / "README.md").read_text() == "somebody else's"
