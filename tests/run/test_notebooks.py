"""The runner of notebooks: order, parameters, cleaning, failures, interruptions and starting again."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import v4
from typer.testing import CliRunner

from negutil import paths, results
from negutil.commands import cli
from negutil.errors import NegutilError
from negutil.report import chapters
from negutil.results import Record
from negutil.run import notebooks

runner = CliRunner()
PARAMETERS = 'profile = ""\nseed = 0'


def write(folder: Path, name: str, *cells: str) -> Path:
    """A small notebook: a title, a parameters cell, and the given code cells."""
    body = [v4.new_markdown_cell(f"# Title of {name}"), v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
    body += [v4.new_code_cell(cell) for cell in cells]
    path = folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(v4.new_notebook(cells=body, metadata={"kernelspec": notebooks.KERNELSPEC}), path)
    return path


def outputs(path: Path) -> str:
    """All text printed in a notebook."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


def test_notebooks_are_found_in_order_with_their_titles(tmp_path: Path) -> None:
    for name in ("02_b", "00_a", "notes", "1_short"):
        write(tmp_path, name)
    found = chapters.find(tmp_path)
    assert [(chapter.number, chapter.title) for chapter in found] == [
        ("00", "Title of 00_a"),
        ("02", "Title of 02_b"),
    ]
    assert chapters.choose(found, None) == found
    assert chapters.choose(found, "2") == chapters.choose(found, " 02 ,") == found[1:]
    assert chapters.choose(found, "0-2") == chapters.choose(found, "00,2-2") == found


@pytest.mark.parametrize("only", ["03", "", "0,9", "b", "0-3", "3-5"])
def test_choosing_what_is_not_there_names_what_is(tmp_path: Path, only: str) -> None:
    write(tmp_path, "00_a")
    with pytest.raises(NegutilError, match=r"there are 00"):
        chapters.choose(chapters.find(tmp_path), only)


def test_parameters_are_literals_or_text() -> None:
    found = notebooks.parse_parameters(["seed=3", "name=abc", "share=0.5", "names=['a']"])
    assert found == {"seed": 3, "name": "abc", "share": 0.5, "names": ["a"]}
    for wrong in ("seed", "a b=1", "=1"):
        with pytest.raises(NegutilError, match="NAME=VALUE"):
            notebooks.parse_parameters([wrong])


def test_unknown_parameters_stop_the_run_before_it_starts(tmp_path: Path) -> None:
    write(tmp_path, "00_a", "print(1)")
    with pytest.raises(NegutilError, match=r"00_a.ipynb has no parameter 'sead' \(it has profile, seed\)"):
        notebooks.run(chapters.find(tmp_path), "mini", {"sead": 1})
    assert not list(paths.results("mini").rglob("*.ipynb"))


def test_mini_is_written_back_clean_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    code = "import os\nprint(os.environ['NEGUTIL_PROFILE'], os.environ['NEGUTIL_NO_PROGRESS'], seed, repr(profile))"
    path = write(tmp_path, "00_a", code)
    stream = io.StringIO()
    assert notebooks.run(chapters.find(tmp_path), "mini", stream=stream).written == [path]
    assert outputs(path) == "mini 1 0 ''\n"
    first = path.read_bytes()
    notebook = json.loads(first)
    assert "papermill" not in first.decode()
    assert notebook["metadata"] == {"kernelspec": notebooks.KERNELSPEC, "language_info": {"name": "python"}}
    assert notebook["cells"][0]["metadata"] == {}
    assert notebook["cells"][1]["metadata"] == {"tags": ["parameters"]}
    assert [cell["execution_count"] for cell in notebook["cells"][1:]] == [1, 2]
    assert "[1/1] 00_a  cell 2/2" in stream.getvalue()
    assert "done: 2 of 2 cells" in stream.getvalue()
    notebooks.run(chapters.find(tmp_path), "mini")
    assert path.read_bytes() == first


def test_other_profiles_and_parameters_leave_the_notebook_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "00_a", "print(repr(profile), seed)")
    before = path.read_bytes()
    found = notebooks.run(chapters.find(tmp_path), "quick")
    (quick,) = found.written
    assert found.comparison is None
    assert quick == paths.results("quick") / "notebooks" / "00_a.ipynb"
    assert outputs(quick) == "'' 0\n"
    (seeded,) = notebooks.run(chapters.find(tmp_path), "mini", {"seed": 7}).written
    assert seeded == paths.results("seed-7") / "mini" / "notebooks" / "00_a.ipynb"
    assert outputs(seeded) == "'' 7\n"
    assert path.read_bytes() == before


def test_with_out_everything_is_written_there_and_the_clone_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path / "clone")
    monkeypatch.delenv("NEGUTIL_RESULTS")
    monkeypatch.delenv("NEGUTIL_FIGURES")
    code = "from negutil import paths, results\nfrom negutil.results import Record\n"
    code += "results.save([Record('a', 'b', 'c', 'd', 0.5, 9)], 'mini', '00_a', 'numbers')\n"
    code += "(paths.figures('mini') / '00_a').mkdir(parents=True)"
    write(tmp_path / "clone" / "notebooks", "00_a", code)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "clone" / "notebooks")
    table = tmp_path / "clone" / "results" / "mini" / "00_a" / "numbers.csv"
    results.write([Record("a", "b", "c", "d", 0.6, 9)], table)
    draws = tmp_path / "clone" / "results" / "mini" / "evaluation_seeds" / "1" / "05_a" / "numbers.csv"
    results.write([Record("a", "b", "c", "d", 0.6, 9)], draws)
    before = {path: path.read_bytes() for path in (tmp_path / "clone").rglob("*") if path.is_file()}
    out = tmp_path / "out"
    done = runner.invoke(cli.app, ["run", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert {path: path.read_bytes() for path in (tmp_path / "clone").rglob("*") if path.is_file()} == before
    assert results.read(out / "results" / "mini" / "00_a" / "numbers.csv")["value"].tolist() == [0.5]
    assert (out / "results" / "mini" / "evaluation_seeds" / "1" / "05_a" / "numbers.csv").exists()
    assert (out / "figures" / "mini" / "00_a").is_dir()
    assert "papermill" not in (out / "notebooks" / "00_a.ipynb").read_text()
    assert "1 numbers compared with the committed ones: 0 equal, 1 within" in done.output.splitlines()[-1]
    for words, said in (
        (["--out", str(paths.ROOT)], "is the clone"),
        (["--out", str(out), "--renew"], "leave out --out"),
    ):
        refused = runner.invoke(cli.app, ["run", *words])
        assert refused.exit_code == 2 and said in refused.stderr


def test_another_seed_never_writes_over_the_tables_and_figures_of_the_own_one(tmp_path: Path) -> None:
    code = "from negutil import files, paths\n" + "\n".join(
        f"files.write_text(paths.{kind}('mini') / '00_a' / 'numbers.txt', f'seed {{seed}}')"
        for kind in ("results", "figures")
    )
    write(tmp_path, "00_a", code)
    found_chapters = chapters.find(tmp_path)
    roots = [paths.results(""), paths.figures("")]
    notebooks.run(found_chapters, "mini")
    before = {path: path.read_bytes() for root in roots for path in root.rglob("*.txt")}
    notebooks.run(found_chapters, "mini", {"seed": 3})
    for root in roots:
        assert (root / "mini" / "00_a" / "numbers.txt").read_text() == "seed 0"
        assert (root / "seed-3" / "mini" / "00_a" / "numbers.txt").read_text() == "seed 3"
    assert {path: path.read_bytes() for path in before} == before
    assert [paths.results(""), paths.figures("")] == roots


def test_the_notebooks_own_seed_needs_no_place_of_its_own_and_no_seed_is_a_word(tmp_path: Path) -> None:
    write(tmp_path, "00_a", "print(seed)")
    (same,) = notebooks.run(chapters.find(tmp_path), "mini", {"seed": 0}).written
    assert same == paths.results("mini") / "notebooks" / "00_a.ipynb"
    for wrong in ("../mini", -1, 1.5, True):
        with pytest.raises(NegutilError, match="not a whole number of at least 0"):
            notebooks.run(chapters.find(tmp_path), "mini", {"seed": wrong})


def test_a_failing_cell_is_one_sentence_and_finished_notebooks_stay(tmp_path: Path) -> None:
    done = write(tmp_path, "00_a", "print('finished')")
    wrong = write(tmp_path, "01_b", "print('before')", "raise ValueError('first line\\nsecond line')", "print('after')")
    before = wrong.read_bytes()
    with pytest.raises(NegutilError) as caught:
        notebooks.run(chapters.find(tmp_path), "mini")
    sentence = str(caught.value)
    copy = paths.results("mini") / "notebooks" / "01_b.failed.ipynb"
    assert "01_b.ipynb failed in code cell 3 of 4 (ValueError: first line): see" in sentence
    assert str(copy) in sentence
    assert "\n" not in sentence
    assert "before" in outputs(copy)
    assert outputs(done) == "finished\n"
    assert wrong.read_bytes() == before
    write(tmp_path, "01_b", "print('mended')")
    notebooks.run(chapters.find(tmp_path), "mini")
    assert not copy.exists()


def test_a_slow_cell_and_a_dead_kernel_are_explained(tmp_path: Path) -> None:
    write(tmp_path, "00_a", "import time\ntime.sleep(30)")
    with pytest.raises(NegutilError, match="took longer than 1 s"):
        notebooks.run(chapters.find(tmp_path), "mini", timeout=1)
    write(tmp_path, "00_a", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(NegutilError, match="kernel died"):
        notebooks.run(chapters.find(tmp_path), "mini")


def test_fresh_uses_an_empty_cache_and_keeps_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "cache"
    monkeypatch.setenv("NEGUTIL_CACHE", str(root))
    code = (
        "import numpy as np\nfrom negutil.cache import Cache\n"
        "Cache().get_or_compute({'kind': 'step', 'code_version': 1}, lambda: print('computed') or {'x': np.ones(1)});"
    )
    path = write(tmp_path / "notebooks", "00_a", code)
    found_chapters = chapters.find(path.parent)
    abandoned = root / "fresh-999999999-x"
    abandoned.mkdir(parents=True)
    told = []
    for fresh in (False, False, True):
        notebooks.run(found_chapters, "mini", fresh=fresh)
        told.append("computed" in outputs(path))
    assert told == [True, False, True]
    assert [folder.name for folder in root.iterdir()] == ["arrays"]
    assert os.environ["NEGUTIL_CACHE"] == str(root)


def test_a_file_that_is_no_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "00_a.ipynb").write_text("not a notebook")
    with pytest.raises(NegutilError, match=r"00_a.ipynb cannot be read as a notebook"):
        chapters.find(tmp_path)


RUNNER = """
import signal, sys
from pathlib import Path
from negutil.commands import cli
from negutil.report import chapters
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started this with Ctrl-C ignored
folder = Path(sys.argv.pop(1))
find = chapters.find
chapters.find = lambda: find(folder)
cli.main()
"""

STEPS = """
import os, time
from pathlib import Path
import numpy as np
from negutil.cache import Cache
folder = Path({folder!r})
(folder / "pid").write_text(str(os.getpid()))
def step(number):
    with (folder / "log").open("a") as log:
        log.write(f"{{number}}\\n")
    return {{"x": np.full(3, number)}}
for number in range(3):
    found = Cache().get_or_compute({{"kind": "step", "code_version": 1, "number": number}}, lambda: step(number))
    if number == 1 and (folder / "slow").exists():
        time.sleep(60)
print(int(found["x"][0]))
"""


def wait_for(condition: object, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def start_and_stop(tmp_path: Path, command: list[str], number: signal.Signals) -> tuple[int, str]:
    """Start a run, send a signal in the middle of the second notebook, and return the status and what was said."""
    (tmp_path / "slow").touch()
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (tmp_path / "log").exists() and (tmp_path / "log").read_text() == "0\n1\n")
    time.sleep(0.5)
    run.send_signal(number)
    _, told = run.communicate(timeout=30)
    kernel = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(kernel), seconds=10)
    (tmp_path / "slow").unlink()
    return run.returncode, told


@pytest.fixture
def two_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, list[str]]:
    """A short notebook, one with three cached steps, and the command that runs both."""
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "notebooks"
    first, second = (
        write(folder, "00_a", "print('finished')"),
        write(folder, "01_b", STEPS.format(folder=str(tmp_path))),
    )
    return first, second, [sys.executable, "-c", RUNNER, str(folder), "run", "--profile", "mini"]


@pytest.mark.slow
def test_killed_and_started_again_loses_no_finished_work(
    tmp_path: Path, two_notebooks: tuple[Path, Path, list[str]]
) -> None:
    first, second, command = two_notebooks
    status, _ = start_and_stop(tmp_path, command, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert outputs(first) == "finished\n"
    assert outputs(second) == ""
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "log").read_text() == "0\n1\n2\n"
    assert outputs(second) == "2\n"
    assert not list(paths.results("mini").rglob("*.running.ipynb"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_politely_it_says_so_and_takes_its_kernel_along(
    tmp_path: Path, two_notebooks: tuple[Path, Path, list[str]], number: signal.Signals, status: int
) -> None:
    first, second, command = two_notebooks
    found, told = start_and_stop(tmp_path, command, number)
    assert found == status
    assert "Traceback" not in told
    assert "01_b  stopped: 2 of 2 cells" in told
    assert outputs(first) == "finished\n"
    assert outputs(second) == ""


def test_the_same_profile_twice_at_once_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "00_a")
    with notebooks._only_run_of("mini"), pytest.raises(NegutilError, match="already running"):
        notebooks.run(chapters.find(tmp_path), "mini")
    assert len(notebooks.run(chapters.find(tmp_path), "mini").written) == 1


def test_the_command_line_lists_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "00_a")
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    assert runner.invoke(cli.app, ["run", "--list"]).stdout == "00_a: Title of 00_a\n"
    for words, said in ((["--profile", "huge"], "no profile 'huge'"), (["--only", "07"], "no such notebook")):
        done = runner.invoke(cli.app, ["run", *words])
        assert done.exit_code == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_text_that_was_printed_in_pieces_becomes_one_output() -> None:
    pieces = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print()", outputs=pieces)])
    (output,) = notebooks.clean(notebook).cells[0].outputs
    assert output.text == "a\nb\n"
