"""Long steps of a notebook in the terminal that runs it, and nothing of them in what is saved."""

from __future__ import annotations

import io
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_notebooks import outputs, write

from negutil import paths, progress
from negutil.progress import Step
from negutil.report import chapters
from negutil.run import notebooks

MINUTES = """
import time
from negutil import progress
with progress.bar("training", total=1000) as bar:
    for _ in range(12):
        time.sleep(0.3)
        bar.update()
print("trained")
"""

SIDE_BY_SIDE = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import finetune_files
from negutil.train.finetune import Job, finetune_many
examples = finetune_files.examples(n=200, pictures=100, dimensions=128)
config = dataclasses.replace(finetune_files.CONFIG, epochs=6)  # long enough to be seen at work
jobs = [
    Job("miniclip-s-8", examples, dataclasses.replace(config, seed=seed), Path({out!r}) / f"seed{{seed}}")
    for seed in range(5)
]
print(len(finetune_many(jobs, processes=2)))
"""


def run(folder: Path, stream: io.StringIO | None = None) -> str:
    """Run the notebooks in ``folder`` and return what a pseudo-terminal shows, or what ``stream`` gets."""
    if stream is not None:
        notebooks.run(chapters.find(folder), "mini", stream=stream)
        return stream.getvalue()
    ours, theirs = os.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.extend(iter(lambda: _read(ours), b"")))
    reader.start()
    with os.fdopen(theirs, "w") as terminal:
        notebooks.run(chapters.find(folder), "mini", stream=terminal)
    reader.join()
    os.close(ours)
    return b"".join(shown).decode()


def _read(terminal: int) -> bytes:
    """What comes next; nothing where the other side is closed, which Linux reports as an error."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


def test_a_terminal_shows_how_far_a_step_is_and_the_notebook_does_not(tmp_path: Path) -> None:
    path = write(tmp_path, "05_a", MINUTES)
    lines = [line.removeprefix("\x1b[K") for line in re.split(r"[\r\n]+", run(tmp_path))]
    steps = [line for line in lines if "training" in line]
    assert steps[0].startswith("[1/1] 05_a  cell 2/2: training ")
    assert any(
        re.fullmatch(r"\[1/1\] 05_a  cell 2/2: training \d+ of 1,000, about [5-9] minutes left", s) for s in steps
    )
    assert max(map(len, lines)) < 80
    assert outputs(path) == "trained\n"
    assert "training" not in path.read_text().replace('progress.bar(\\"training\\"', "")
    assert os.environ.get(progress.FILE) is None


def test_a_log_gets_a_line_at_intervals_and_one_for_each_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "05_a", MINUTES)
    monkeypatch.setattr(progress, "LINE_EVERY", 1.5)
    stream = run(tmp_path, io.StringIO())
    lines = [line for line in stream.splitlines() if "training" in line]
    assert 1 <= len(lines) <= 4
    assert re.fullmatch(r"\[1/1\] 05_a  cell 2/2: training \d+ of 1,000, about [5-9] minutes left", lines[-1])
    assert stream.count("\n") == len(lines) + 3
    assert "\r" not in stream


def test_without_long_steps_a_log_has_a_line_for_each_cell_alone(tmp_path: Path) -> None:
    write(tmp_path, "05_a", MINUTES)
    assert run(tmp_path, io.StringIO()).count("\n") == 3


@pytest.mark.slow
def test_trainings_side_by_side_are_counted_together(tmp_path: Path) -> None:
    code = SIDE_BY_SIDE.format(tests=str(Path(__file__).parent / "support"), out=str(tmp_path / "trained"))
    path = write(tmp_path / "notebooks", "05_a", code)
    shown = run(tmp_path / "notebooks")
    counts = {int(number) for number in re.findall(r"training (\d) of 5", shown)}
    assert 0 in counts
    assert max(counts) > 0
    assert "step" not in shown  # the processes themselves report nothing
    assert outputs(path) == "5\n"


def test_bars_are_made_in_one_place() -> None:
    using = {path.name for path in paths.PACKAGE.rglob("*.py") if "tqdm" in path.read_text(encoding="utf-8")}
    assert using == {"progress.py"}


# --------------------------------------------------------------------------------------------------------------------
# Steps


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Step]]:
    """What this process reports, as a kernel would."""
    file = tmp_path / "steps.json"
    monkeypatch.setenv(progress.FILE, str(file))
    monkeypatch.setenv(progress.HIDE, "1")

    def reported() -> list[Step]:
        time.sleep(3 * progress.INTERVAL)
        return progress.read(file)

    return reported


def test_open_steps_are_reported_outermost_first_and_closed_ones_are_not(steps: Callable[[], list[Step]]) -> None:
    with progress.bar("training", total=3, initial=1) as outer:
        outer.update()
        for _ in progress.bar("step", iter("ab")):
            found = [(step.label, step.done, step.total) for step in steps()]
            assert found[0] == ("training", 2, 3)
            assert found[1][0] == "step"
        with progress.quiet(), progress.bar("encoding texts", total=2):
            assert [step.label for step in steps()] == ["training"]
    assert steps() == []


def test_a_step_that_is_given_up_is_closed(steps: Callable[[], list[Step]]) -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise ValueError

    with pytest.raises(ValueError):
        list(progress.bar("training", fail()))
    for _ in progress.bar("training", range(3)):
        break
    assert steps() == []


def test_a_file_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(progress.FILE, str(tmp_path / "missing" / "steps.json"))
    assert list(progress.bar("training", range(3))) == [0, 1, 2]
    assert progress.read(tmp_path / "missing" / "steps.json") == []


def test_a_bar_costs_microseconds(steps: Callable[[], list[Step]]) -> None:
    count = 100_000
    started = time.perf_counter()
    with progress.bar("training", total=count) as bar:
        for _ in range(count):
            bar.update()
    assert (time.perf_counter() - started) / count < 20e-6  # 1 on an idle machine


# --------------------------------------------------------------------------------------------------------------------
# Words


def left_after(monkeypatch: pytest.MonkeyPatch, times: list[float], total: int, file: Path) -> list[float | None]:
    """How many seconds are left after each item of ``total`` that is finished at one of ``times``."""
    now = 0.0
    monkeypatch.setattr("time.time", lambda: now)
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    monkeypatch.setenv(progress.HIDE, "1")
    monkeypatch.setenv(progress.FILE, str(file))
    left = []
    with progress.bar("training", total=total) as bar:
        for now in times:
            bar.update()
            (step,) = progress.read(file)
            left.append(None if step.ends is None else step.ends - now)
    return left


@pytest.mark.parametrize("seconds", [0.001, 0.1])
def test_what_the_cache_serves_hardly_counts_for_the_time_left(
    monkeypatch: pytest.MonkeyPatch, seconds: float, tmp_path: Path
) -> None:
    cached = [seconds * (number + 1) for number in range(20)]
    worked = [cached[-1] + 10.0 * (number + 1) for number in range(10)]
    left = left_after(monkeypatch, cached + worked, 50, tmp_path / "steps.json")
    assert left[27:] == pytest.approx([220.0, 210.0, 200.0], rel=0.2)


def test_two_at_a_time_are_no_faster_than_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    times = [20.0 * (number // 2 + 1) + 0.05 * (number % 2) for number in range(12)]
    left = left_after(monkeypatch, times, 48, tmp_path / "steps.json")
    assert left[10] == pytest.approx(370.0, rel=0.1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "less than a minute left"),
        (29, "less than a minute left"),
        (31, "about 1 minute left"),
        (360, "about 6 minutes left"),
        (5000, "about 83 minutes left"),
        (5400, "about 2 hours left"),
        (36000, "about 10 hours left"),
    ],
)
def test_time_left(seconds: float, text: str) -> None:
    assert progress.time_left(seconds) == text


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ([Step("training", 12, 50, ends=360)], "training 12 of 50, about 6 minutes left"),
        ([Step("training", 0, 50)], "training 0 of 50, 9 s so far"),
        ([Step("training", 49, 50, ends=-61)], "training 49 of 50, 9 s so far"),
        (
            [Step("training", 3, 50, ends=7200), Step("step", 1200, 4000, ends=60)],
            "training 3 of 50 (step 1,200 of 4,000), about 2 hours left",
        ),
        ([Step("training", 0, 1), Step("step", 120, 400, ends=60)], "step 120 of 400, about 1 minute left"),
        ([Step("training", 0, 1)], "training 0 of 1, 9 s so far"),
        ([Step("reading captions", 1234, None)], "reading captions 1,234, 9 s so far"),
        ([Step("downloading a.zip", 2e6, 4e9, "B", 60)], "downloading a.zip 2 of 4,000 MB, about 1 minute left"),
    ],
)
def test_words(steps: list[Step], text: str) -> None:
    assert progress.words(steps, now=0, seconds=9) == text


def test_a_narrow_terminal_cuts_the_name_of_the_notebook() -> None:
    text = "cell 12/16: training 12 of 50, about 6 minutes left"
    line = progress._fitting("[1/10] 00_the_mini_world_and_miniclip", text, 80)
    assert line == f"[1/10] 00_the_mini_world_…  {text}"
    assert len(line) == 79
    assert progress._fitting("[1/10] 01_a", text, 80) == f"[1/10] 01_a  {text}"
    assert progress._fitting("[1/10] 01_a", text, 20) == "…  cell 12/16: trai"
