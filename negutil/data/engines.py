"""Where work over shards is done: in this process, or by the workers of a Ray cluster.

A piece of work is a class whose instances take one shard and give one result, both of plain JSON values; large inputs
and outputs stay in files. Both engines call the same class with the same shards, so they cannot give different numbers.
Ray Data starts a worker that was killed again and gives it its shard again.
"""

import contextlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from negutil import progress
from negutil.errors import NegutilError, no_such, of_system

NAMES = ("local", "ray")
OBJECT_STORE = 100 << 20  # bytes of shared memory of a local Ray, which only carries names of files and counts
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1", "RAY_BACKEND_LOG_LEVEL": "fatal"}
INSTALL = "pip install -c constraints.txt 'ray[data]'"

Shard = dict[str, Any]
Result = dict[str, Any]
Work = Callable[[Shard], Result]


@dataclass(frozen=True, slots=True)
class Engine:
    """Where shards are worked on.

    Attributes:
        name: "local" (this process) or "ray".
        address: of a running Ray cluster ("auto", "ray://head:10001", ...); "" starts Ray on this machine.
        workers: processes of Ray; 0 for as many as the cluster has processors (or GPUs, for work that needs one each).
    """

    name: str = "local"
    address: str = ""
    workers: int = 0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise no_such("engine", self.name, NAMES)
        if self.name == "local" and (self.address or self.workers):
            raise NegutilError("--address and --workers are for the engine ray: add --engine ray, or leave them out.")
        if self.workers < 0:
            raise NegutilError(f"--workers is {self.workers}: give a number of processes, or 0 for all processors.")


LOCAL = Engine()


def each(
    engine: Engine,
    work: Callable[..., Work],
    settings: Mapping[str, Any],
    shards: Sequence[Shard],
    *,
    what: str = "shards",
    sizes: Sequence[int] | None = None,
    threads: int = 1,
    gpus: int = 0,
) -> list[Result]:
    """Give every shard to an instance of ``work`` made with ``settings``; the results, in the order of the shards.

    ``threads`` and ``gpus`` are what one worker of Ray takes of a machine. A class of a module that every machine can
    import is needed for ``work``. The bar on stderr, called ``what``, advances by ``sizes`` in bytes where they are
    given, else by shards. Raises NegutilError if the work does, or Ray is missing or cannot be reached.
    """
    if not shards:
        return []
    made = {"work": work, "settings": dict(settings)}
    by_ray = engine.name == "ray"
    done = _by_ray(engine, made, shards, threads, gpus) if by_ray else enumerate(map(work(**settings), shards))
    steps = sizes or [1] * len(shards)
    unit = {"unit": "B", "unit_scale": True} if sizes else {"unit": "shard"}
    results: dict[int, Result] = {}
    with progress.bar(what, total=sum(steps), disable=None, **unit) as bar:
        for number, result in done:
            results[number] = result
            bar.update(steps[number])
    return [results[number] for number in range(len(shards))]


class Worker:
    """What Ray calls: an instance of the work, made with the first shard, so that its complaints come as sentences."""

    def __init__(self, work: Callable[..., Work], settings: Mapping[str, Any]) -> None:
        self._make = lambda: work(**settings)
        self._work: Work | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Work on the shard in ``row``; the result or the error as text, so that no table has to fit its shape."""
        progress.off()
        result = error = ""
        try:
            self._work = self._work or self._make()
            result = json.dumps(self._work(json.loads(row["shard"])))
        except NegutilError as problem:
            error = str(problem)
        except OSError as problem:
            error = of_system(problem)
        return {"number": row["number"], "result": result, "error": error}


def _by_ray(
    engine: Engine, made: dict[str, Any], shards: Sequence[Shard], threads: int, gpus: int
) -> Iterator[tuple[int, Any]]:
    rows = [{"number": number, "shard": json.dumps(shard)} for number, shard in enumerate(shards)]
    with connected(engine, threads) as ray:
        cluster = ray.cluster_resources()
        room = int(cluster.get("GPU", 0) // gpus if gpus else cluster.get("CPU", 0) // threads)
        if not engine.workers and room < 1:
            raise NegutilError(f"The Ray cluster has no room for a worker with {threads} processors and {gpus} GPUs.")
        size = min(engine.workers or room, len(rows))
        pool = ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1)
        whole = ray.data.from_items(rows, override_num_blocks=len(rows))
        done = whole.map(Worker, fn_constructor_kwargs=made, compute=pool, num_cpus=threads, num_gpus=gpus)
        for row in done.iter_rows():
            if row["error"]:
                raise NegutilError(row["error"])
            yield row["number"], json.loads(row["result"])


@contextlib.contextmanager
def connected(engine: Engine, threads: int = 1) -> Iterator[ModuleType]:
    """Ray, started here or reached at its address, and left as it was found: calls in this block share it.

    Raises NegutilError if it is not installed, cannot be reached, or cannot be started.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as problem:
        raise NegutilError(f"The engine ray needs the package ray ({problem.name} is missing): {INSTALL}.") from problem
    mine = not ray.is_initialized()
    if mine:
        limits = {"env_vars": {"POLARS_MAX_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}}
        settings: dict[str, Any] = {"runtime_env": limits, "log_to_driver": False, "logging_level": logging.ERROR}
        if not engine.address:
            settings |= {"num_cpus": engine.workers * threads or None, "object_store_memory": OBJECT_STORE}
            settings["include_dashboard"] = False
        try:
            ray.init(address=engine.address or "local", **settings)
        except Exception as problem:  # Ray raises many kinds
            reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0].rstrip(".")
            where = f"at {engine.address}" if engine.address else "on this machine"
            fix = "check the address, or start it first"
            raise NegutilError(f"Ray {where} cannot be used ({reason}): {fix}.") from problem
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()
