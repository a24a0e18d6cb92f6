"""Progress of long steps.

In a terminal a step draws a bar. In a notebook, whose outputs are kept, it draws nothing, and the terminal that runs
the notebooks shows a line: "[6/10] 05_negationclip  cell 4/26: training 12 of 50, about 6 minutes left". For that line
the kernel writes its open steps to the file that NEGUTIL_PROGRESS_FILE names, and ``Progress`` reads it. Processes that
share the work of a kernel report nothing: the kernel counts what they finish.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar, overload

from tqdm import tqdm

from negutil import paths

HIDE = "NEGUTIL_NO_PROGRESS"
FILE = "NEGUTIL_PROGRESS_FILE"
INTERVAL = 0.5  # seconds between two looks at what has changed
LINE_EVERY = 60.0  # seconds between two lines about the same cell where the output is no terminal

Item = TypeVar("Item")
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show and report nothing in this block, for short steps."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def off() -> None:
    """Show and report nothing in this process from now on: another process counts its work."""
    os.environ[HIDE] = "1"
    os.environ.pop(FILE, None)


# --------------------------------------------------------------------------------------------------------------------
# Steps and their bars


@overload
def bar(label: str, items: Iterable[Item], **look: Any) -> tqdm[Item]: ...
@overload
def bar(label: str, items: None = None, **look: Any) -> tqdm[Any]: ...
def bar(label: str, items: Iterable[Any] | None = None, **look: Any) -> tqdm[Any]:
    """Return the bar of a step: to be iterated over ``items``, or updated by hand in a ``with`` block.

    ``label`` is plain English before a count ("training" 12 of 50); ``look`` goes to tqdm: ``total``, ``initial`` (what
    an earlier run finished), ``unit``, ``disable``, ... All bars of the package are made here.
    """
    return _Bar(items, desc=label, **look)


class _Bar(tqdm):
    """A bar that reports its step to the runner of the notebooks instead of being drawn in one."""

    _reports = False

    def __init__(self, items: Iterable[Any] | None, *, desc: str, disable: bool | None = False, **look: Any) -> None:
        disable, hidden = disable or _quiet.get(), os.environ.get(HIDE) == "1"
        self._reports = hidden and not disable and FILE in os.environ
        if self._reports:  # and is drawn nowhere
            look |= {"file": io.StringIO(), "miniters": 1, "smoothing": 0.5}
        super().__init__(items, desc=desc, disable=disable or hidden > self._reports, **look)
        if self._reports:
            _open.append(self)
            _report()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draw the bar, or report all that are open; tqdm calls it at most ten times a second."""
        if self._reports:
            _report()
        else:
            super().display(msg, pos)

    def close(self) -> None:
        """End the step; called again by a bar that is deleted."""
        _open[:] = [each for each in _open if each is not self]
        super().close()

    def ends(self) -> float | None:
        """Return when the step will be finished, in seconds since the epoch; None if unknown."""
        facts, done = self.format_dict, self.n - self.initial
        if self.total is None or not done:
            return None
        return time.time() + (self.total - self.n) / (facts["rate"] or done / facts["elapsed"])


_open: list[_Bar] = []
"""The bars of this kernel, outermost first."""


def _report() -> None:
    """Write the open steps; if that fails (a full disk, a killed runner), the work continues without."""
    with contextlib.suppress(OSError):
        file = Path(os.environ.get(FILE, os.devnull))
        part = file.with_name(f"{file.name}.part")
        steps = [Step(each.desc, each.n, each.total, each.unit, each.ends()) for each in list(_open)]
        part.write_text(json.dumps(steps), encoding="utf-8")
        part.replace(file)


# --------------------------------------------------------------------------------------------------------------------
# In the runner: words and the line in the terminal


class Step(NamedTuple):
    """A long step: ``done`` of ``total`` (None: unknown), including those of an earlier run.

    ``unit`` is "B" if bytes are counted; ``ends`` is when it will be finished, in seconds since the epoch.
    """

    label: str
    done: float
    total: float | None
    unit: str = ""
    ends: float | None = None


def read(file: Path) -> list[Step]:
    """The open steps of a kernel, outermost first."""
    try:
        return [Step(*fields) for fields in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return []


def words(steps: Sequence[Step], now: float, seconds: float) -> str:
    """What a line says about open steps: the outermost of several items, the one inside it, and the time left.

    ``now`` is in seconds since the epoch. Where no time is known (before the first item, and a minute after the step
    should have finished) the line has the ``seconds`` so far.
    """
    outer = next((row for row, step in enumerate(steps) if step.total != 1), 0)
    counts = []
    for step in steps[outer : outer + 2]:
        scale, unit = (1e6, " MB") if step.unit == "B" else (1, "")
        of = f" of {step.total / scale:,.0f}" if step.total else ""
        counts.append(f"{step.label} {step.done / scale:,.0f}{of}{unit}")
    ends = steps[outer].ends
    waiting = time_left(ends - now) if ends and ends > now - 60 else f"{seconds:.0f} s so far"
    return f"{counts[0]}{''.join(f' ({inside})' for inside in counts[1:])}, {waiting}"


def time_left(seconds: float) -> str:
    """Seconds in plain words: "about 6 minutes left"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute left"
    if minutes < 90:
        return f"about {minutes} minute{'s' if minutes > 1 else ''} left"
    return f"about {round(minutes / 60)} hours left"


class Progress:
    """Shows in the terminal which notebook and which code cell is running, and the progress of its long steps.

    In a terminal one line is drawn over and over. Elsewhere each finished cell gets a line of its own, and a cell that
    takes longer one more every LINE_EVERY seconds. Kernels that start while it is entered report their steps to it.
    """

    def __init__(self, label: str, stream: TextIO) -> None:
        self.label, self.stream = label, stream
        self.cells = self.cell = 0
        self._is_running = False
        self._started = self._cell_started = self._line_written = time.monotonic()
        self._finished = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._places = contextlib.ExitStack()
        self._file = Path()

    def __enter__(self) -> Progress:
        folder = tempfile.TemporaryDirectory(prefix="negutil-progress-", ignore_cleanup_errors=True)
        self._file = Path(self._places.enter_context(folder)) / "steps.json"
        self._places.enter_context(paths.variables(**{FILE: str(self._file)}))
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._finished.set()
        self._watcher.join()
        self._places.close()
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
        outcome = "done" if kind is None else "stopped"
        self._write(f"{outcome}: {self.cell} of {self.cells} cells in {time.monotonic() - self._started:.0f} s")

    def cell_starts(self, cell: Mapping[str, Any], **_: Any) -> None:
        """Called by nbclient before each cell, of whatever kind."""
        if cell["cell_type"] == "code" and cell["source"].strip():
            self.cell += 1
            self._is_running = True
            self._cell_started = self._line_written = time.monotonic()

    def cell_ends(self, **_: Any) -> None:
        """Called by nbclient after each code cell."""
        self._is_running = False
        if not self.stream.isatty():
            self._write(f"cell {self.cell}/{self.cells}  {time.monotonic() - self._cell_started:.1f} s")

    def _write(self, text: str) -> None:
        self.stream.write(f"{self.label}  {text}\n")
        self.stream.flush()

    def _watch(self) -> None:
        """Show what is running and its progress; only the cell's seconds if it has no open step."""
        while not self._finished.wait(INTERVAL):
            cell, steps = f"cell {self.cell}/{self.cells}", read(self._file)
            seconds = time.monotonic() - self._cell_started
            now = f"{cell}: {words(steps, time.time(), seconds)}" if steps else f"{cell}  {seconds:.0f} s so far"
            if self.stream.isatty():
                self.stream.write(f"\r\x1b[K{_fitting(self.label, now, shutil.get_terminal_size().columns)}")
                self.stream.flush()
            elif self._is_running and time.monotonic() - self._line_written >= LINE_EVERY:
                self._line_written = time.monotonic()
                self._write(now)


def _fitting(label: str, text: str, width: int) -> str:
    """Both in one line of the terminal, which could not be drawn over if it were longer: the label is cut."""
    room = max(width - len(text) - 3, 1)
    return f"{label if len(label) <= room else label[: room - 1] + '…'}  {text}"[: width - 1]
