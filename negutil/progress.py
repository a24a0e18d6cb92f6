"""How far long steps are.

In a terminal a step draws a bar. In a notebook, whose outputs are kept, it draws nothing, and the terminal that runs
the notebooks shows a line: "[6/10] 05_negationclip  cell 4/26: training 12 of 50, about 6 minutes left". For that line
the kernel writes its open steps to the file that NEGUTIL_PROGRESS_FILE names, at most twice a second, and ``Progress``
reads it. Processes that share the work of a kernel report nothing: the kernel counts what they finish.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar, overload

from tqdm import tqdm

from negutil import paths

HIDE = "NEGUTIL_NO_PROGRESS"
FILE = "NEGUTIL_PROGRESS_FILE"
INTERVAL = 0.5  # seconds between two looks at what has changed, in the kernel and in the runner
LINE_EVERY = 60.0  # seconds between two lines about the same cell where the output is no terminal

Item = TypeVar("Item")
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show and report nothing in this block, for what takes no time."""
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


@dataclass(eq=False, slots=True)
class Step:
    """Something that takes long: what is done, how much of it, of how much.

    Attributes:
        label: what is done, as the terminal shows it: "training", "encoding images".
        done: how many items are finished, those of an earlier run included.
        total: how many there are; None where that is not known.
        unit: "B" where bytes are counted.
        ends: when it will be finished by the rate so far, in seconds since the epoch; None before the first item.
    """

    label: str
    done: float
    total: float | None
    unit: str = ""
    ends: float | None = None


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
    """A bar that notes its step for the runner of the notebooks where it is not drawn itself."""

    _step: Step | None = None

    def __init__(self, items: Iterable[Any] | None, *, desc: str, disable: bool | None = False, **look: Any) -> None:
        unseen = _quiet.get() or os.environ.get(HIDE) == "1"
        super().__init__(items, desc=desc, disable=unseen or disable, **look)
        if unseen and not disable and not _quiet.get() and FILE in os.environ:
            self._step = Step(desc, self.n, self.total, look.get("unit", ""))
            self._pace = _Pace(self.n)
            _open.append(self._step)
            _reporter()

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in super().__iter__():
                yield item
                self._advance(1)
        finally:
            self.close()

    def update(self, n: float | None = 1) -> bool | None:
        """Count ``n`` more items."""
        self._advance(n or 0)
        return super().update(n)

    def close(self) -> None:
        """End the step; called again by a bar that is deleted."""
        if self._step in _open:
            _open.remove(self._step)
        super().close()

    def _advance(self, n: float) -> None:
        if self._step:
            self._step.done += n
            self._step.ends = self._pace.ends(self._step)


class _Pace:
    """How long an item takes, by the later half of the time so far.

    What the cache served at the start of a resumed step, in no time, is no part of that half.
    """

    def __init__(self, done: float) -> None:
        self._start = time.time()
        self._latest = (self._start, done)
        self._marks = deque([self._latest])

    def ends(self, step: Step) -> float | None:
        """When ``step``, of which another item is finished now, will be finished altogether."""
        now, marks = time.time(), self._marks
        if now - marks[-1][0] >= INTERVAL:
            marks.append(self._latest)
        self._latest = (now, step.done)
        # Not exactly the half: what two processes finish at almost the same time would lie on both sides of it.
        middle = self._start + 0.55 * (now - self._start)
        while len(marks) > 1 and marks[1][0] <= middle:
            marks.popleft()
        since, before = marks[0]
        if step.total is None or step.done <= before:
            return None
        return now + (step.total - step.done) * (now - since) / (step.done - before)


# --------------------------------------------------------------------------------------------------------------------
# In the kernel: the steps that are open


_open: list[Step] = []
"""Outermost first."""


@functools.cache
def _reporter() -> threading.Thread:
    """The one thread that writes what is open: the next item of a step may be minutes away."""
    thread = threading.Thread(target=_write_steps, daemon=True)
    thread.start()
    return thread


def _write_steps() -> None:
    written = ""
    while True:
        file = os.environ.get(FILE)
        text = json.dumps([[step.label, step.done, step.total, step.unit, step.ends] for step in list(_open)])
        if file and text != written:
            # Where it cannot be written (a full disk, a runner that was killed) the work continues without.
            with contextlib.suppress(OSError):
                part = Path(f"{file}.part")
                part.write_text(text, encoding="utf-8")
                part.replace(file)
                written = text
        time.sleep(INTERVAL)


def read(file: Path) -> list[Step]:
    """The steps that a kernel has open, outermost first: none where it has written none."""
    try:
        return [Step(*fields) for fields in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError):
        return []


# --------------------------------------------------------------------------------------------------------------------
# In the runner: words and the line in the terminal


def words(steps: Sequence[Step], now: float, seconds: float) -> str:
    """What a line says about open steps: the outermost of several items, the one inside it, and the time left.

    ``now`` is in seconds since the epoch. Where no time is known (before the first item, and a minute after the step
    should have finished) the line has the ``seconds`` so far.
    """
    outer = next((row for row, step in enumerate(steps) if step.total != 1), 0)
    inside = f" ({_count(steps[outer + 1])})" if steps[outer + 1 :] else ""
    ends = steps[outer].ends
    waiting = time_left(ends - now) if ends and ends > now - 60 else f"{seconds:.0f} s so far"
    return f"{_count(steps[outer])}{inside}, {waiting}"


def _count(step: Step) -> str:
    scale, unit = (1e6, " MB") if step.unit == "B" else (1, "")
    of = f" of {step.total / scale:,.0f}" if step.total else ""
    return f"{step.label} {step.done / scale:,.0f}{of}{unit}"


def time_left(seconds: float) -> str:
    """Seconds as somebody who waits would say them: "about 6 minutes left"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute left"
    if minutes < 90:
        return f"about {minutes} minute{'s' if minutes > 1 else ''} left"
    return f"about {round(minutes / 60)} hours left"


class Progress:
    """Shows in the terminal which notebook and which code cell is running, and how far its long steps are.

    In a terminal one line is drawn over and over. Elsewhere each finished cell gets a line of its own, and a cell that
    takes longer one more every LINE_EVERY seconds. Kernels that start while it is entered report their steps to it.
    """

    def __init__(self, label: str, stream: TextIO) -> None:
        self.label = label
        self.stream = stream
        self.cells = 0
        self.cell = 0
        self._is_running = False
        self._started = self._cell_started = self._said = time.monotonic()
        self._finished = threading.Event()
        self._drawer = threading.Thread(target=self._draw if stream.isatty() else self._log, daemon=True)
        self._places = contextlib.ExitStack()
        self._file = Path()

    def __enter__(self) -> Progress:
        folder = tempfile.TemporaryDirectory(prefix="negutil-progress-", ignore_cleanup_errors=True)
        self._file = Path(self._places.enter_context(folder)) / "steps.json"
        self._places.enter_context(paths.variables(**{FILE: str(self._file)}))
        self._drawer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finished.set()
        self._drawer.join()
        self._places.close()
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")
        outcome = "done" if kind is None else "stopped"
        self._say(f"{outcome}: {self.cell} of {self.cells} cells in {time.monotonic() - self._started:.0f} s")

    def cell_starts(self, cell: Mapping[str, Any], **_: Any) -> None:
        """Called by nbclient before each cell, of whatever kind."""
        if cell["cell_type"] == "code" and cell["source"].strip():
            self.cell += 1
            self._is_running = True
            self._cell_started = self._said = time.monotonic()

    def cell_ends(self, **_: Any) -> None:
        """Called by nbclient after each code cell."""
        self._is_running = False
        if not self.stream.isatty():
            self._say(f"cell {self.cell}/{self.cells}  {time.monotonic() - self._cell_started:.1f} s")

    def _say(self, text: str) -> None:
        self.stream.write(f"{self.label}  {text}\n")
        self.stream.flush()

    def _now(self) -> str:
        """The cell that is running and how far it is; its seconds alone where it has no step open."""
        cell, steps = f"cell {self.cell}/{self.cells}", read(self._file)
        seconds = time.monotonic() - self._cell_started
        return f"{cell}: {words(steps, time.time(), seconds)}" if steps else f"{cell}  {seconds:.0f} s so far"

    def _draw(self) -> None:
        while not self._finished.wait(INTERVAL):
            self.stream.write(f"\r\x1b[K{_fitting(self.label, self._now(), shutil.get_terminal_size().columns)}")
            self.stream.flush()

    def _log(self) -> None:
        while not self._finished.wait(INTERVAL):
            if self._is_running and time.monotonic() - self._said >= LINE_EVERY:
                self._said = time.monotonic()
                self._say(self._now())


def _fitting(label: str, text: str, width: int) -> str:
    """Both in one line of the terminal, which could not be drawn over if it were longer: the label is cut."""
    room = max(width - len(text) - 3, 1)
    return f"{label if len(label) <= room else label[: room - 1] + '…'}  {text}"[: width - 1]
