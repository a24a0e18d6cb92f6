"""Work side by side in processes that stay: what one call has loaded (torch, models, their sets) serves the next too.

A process takes about ten seconds until it can begin, and an experiment wants processes several times. They end with the
process that began them. Nothing else in this package starts processes, so all children are those of the pool.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from negutil import progress
from negutil.errors import NegutilError

Result = TypeVar("Result")
_pools: dict[tuple[object, ...], ProcessPoolExecutor] = {}
"""The pool, if there is one, under what its processes began with."""


def each(
    function: Callable[..., Result], rows: Sequence[tuple[Any, ...]], processes: int
) -> Generator[Result, None, None]:
    """Give ``function(*row)`` for each of ``rows``, in their order, computed in up to ``processes`` of one thread each.

    With one process, or one row, all is done here. Ctrl-C ends the work at once. Raises what ``function`` raises, and
    NegutilError where a process was killed.
    """
    if min(processes, len(rows)) <= 1:
        yield from itertools.starmap(function, rows)
        return
    with pool(processes) as executor:
        yield from executor.map(_applied, itertools.repeat(function), rows)


def _applied(function: Callable[..., Result], row: tuple[Any, ...]) -> Result:
    return function(*row)


@contextlib.contextmanager
def pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Give the pool of ``processes``, which stays as it is until the environment or the working folder changes.

    Leaving the block by Ctrl-C, or giving up an iterator in it, sends SIGTERM to what is at work and waits for its end.
    Raises NegutilError if a process was killed by something else.
    """
    key = (processes, Path.cwd(), *sorted(item for item in os.environ.items() if item[0].startswith("NEGUTIL_")))
    if key not in _pools:
        close()
        _pools[key] = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
    try:
        yield _pools[key]
    except BrokenProcessPool as problem:
        close()
        raise NegutilError(
            "A process was killed, perhaps for want of memory; what is finished is kept: the same call resumes, with "
            "processes = 1 in the profile if need be."
        ) from problem
    except BaseException as problem:
        if not isinstance(problem, Exception):
            for process in multiprocessing.active_children():
                process.terminate()
            close()
        raise


def close() -> None:
    """Let the processes finish what they are at, and end them."""
    while _pools:
        _pools.popitem()[1].shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """One thread; no bars; Ctrl-C is for the process that began this one, without which it ends, however that died."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    progress.off()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
