from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
import torch

from negutil.errors import NegutilError
from negutil.models import processes


@pytest.fixture(autouse=True)
def same_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One environment for all tests, so that they share processes: each takes seconds to begin."""
    for name in ("NEGUTIL_RESULTS", "NEGUTIL_FIGURES"):
        monkeypatch.setenv(name, str(tmp_path_factory.getbasetemp() / "processes"))


@pytest.fixture(autouse=True, scope="module")
def closed() -> Iterator[None]:
    yield
    processes.close()


def pids(count: int = 2) -> set[int]:
    """The processes that answer; each sleeps, so that one alone cannot do all."""
    list(processes.each(time.sleep, [(0.5,)] * count, count))
    return set(processes.each(os.getpid, [()] * 20, count))


def test_results_come_in_order_from_processes_that_stay() -> None:
    assert list(processes.each(pow, [(base, 2) for base in range(20)], 2)) == [base**2 for base in range(20)]
    first = pids()
    assert os.getpid() not in first
    assert len(first | pids()) <= 2


def test_what_is_for_one_is_done_here() -> None:
    assert list(processes.each(os.getpid, [(), ()], 1)) == [os.getpid()] * 2
    assert list(processes.each(os.getpid, [()], 2)) == [os.getpid()]


def test_a_process_has_one_thread_and_shows_no_bars() -> None:
    assert set(processes.each(torch.get_num_threads, [(), ()], 2)) == {1}
    assert set(processes.each(os.getenv, [("NEGUTIL_NO_PROGRESS",)] * 2, 2)) == {"1"}


def test_an_error_leaves_the_processes_at_work() -> None:
    before = pids()
    with pytest.raises(ZeroDivisionError):
        list(processes.each(divmod, [(1, 0), (1, 1)], 2))
    assert before & pids()


def test_a_killed_process_is_one_sentence_and_the_next_call_has_new_ones() -> None:
    with pytest.raises(NegutilError, match="A process was killed, perhaps for want of memory"):
        list(processes.each(os._exit, [(1,), (1,)], 2))
    assert len(list(processes.each(os.getpid, [(), ()], 2))) == 2


def test_giving_up_ends_the_work_at_once() -> None:
    started = time.monotonic()
    with contextlib.closing(processes.each(time.sleep, [(0.0,), (600.0,), (600.0,)], 2)) as results:
        next(results)
    assert time.monotonic() - started < 60


def test_another_environment_has_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = pids()
    monkeypatch.setenv("NEGUTIL_CACHE", "/somewhere")
    assert set(processes.each(os.getenv, [("NEGUTIL_CACHE",)] * 2, 2)) == {"/somewhere"}
    assert not before & pids()


def test_processes_end_with_the_one_that_began_them() -> None:
    source = (
        "import os, time\nfrom negutil.models import processes\n"
        "if __name__ == '__main__':\n"
        "    print(*processes.each(os.getpid, [(), ()], 2), flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(int(pid)) for pid in set(parent.stdout.readline().split())]
        assert children
        parent.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
