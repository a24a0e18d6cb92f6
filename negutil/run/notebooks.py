"""Running the notebooks in order with Papermill, and cleaning what is committed.

In a checkout, with the ``mini`` profile and no other parameters, the run is compared with the committed results, and
what moved replaces the files in the clone, notebooks without Papermill's stamps (``negutil.run.verify``); with ``out``
everything is written below that folder instead, and the clone stays as it is.  Every other run leaves its notebooks in
``results/<profile>/notebooks/``.  With another seed than the notebooks' own, everything goes to ``results/seed-<N>/``
and ``figures/seed-<N>/``, so that committed tables and figures stay those of one seed.  A notebook takes its place only
when it is finished, so an interrupted run keeps all that came before; the expensive steps inside a notebook are kept by
``negutil.cache``.
"""

import ast
import contextlib
import functools
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import nbformat
import papermill
import psutil
from filelock import FileLock, Timeout
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from nbformat import NotebookNode
from nbstripout import strip_output
from papermill.exceptions import PapermillExecutionError

from negutil import code, config, files, paths
from negutil.config import Profile
from negutil.data import skipped, source
from negutil.data.skipped import Skip
from negutil.errors import NegutilError
from negutil.models import registry
from negutil.plots import pngs
from negutil.progress import Progress
from negutil.report.chapters import Chapter, read
from negutil.run import verify
from negutil.run.verify import Comparison, Staging

COMMITTED = "mini"
"""The profile whose results, figures and executed notebooks are committed."""

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
STAMPS = (
    "metadata.papermill",
    "metadata.widgets",
    "metadata.language_info",
    "cell.metadata.papermill",
    "cell.metadata.execution",
    "cell.metadata.ExecuteTime",
)
INJECTED = "injected-parameters"
PICTURE = "image/png"
WIDGET = "application/vnd.jupyter.widget-view+json"


class UserError(NegutilError):
    """A notebook stopped because of something that the user can fix; ``sentence`` says what."""

    sentence = ""


class Finished(NamedTuple):
    """What a run wrote: the executed notebooks, what they changed, and the folders of its tables and figures.

    ``comparison`` is None if there are no committed results to compare with: in other profiles than ``mini``, in an
    installed wheel, and with parameters.
    """

    written: list[Path]
    comparison: Comparison | None
    results: Path
    figures: Path


def parse_parameters(words: Sequence[str]) -> dict[str, Any]:
    """Parameters from ``NAME=VALUE`` texts; a value that is not a Python literal is taken as text."""
    parameters = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise NegutilError(f"Parameter {word!r} is not of the form NAME=VALUE: write for example seed=1.")
        try:
            parameters[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parameters[name] = text
    return parameters


def run(
    chapters: Sequence[Chapter],
    profile: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    fresh: bool = False,
    renew: bool = False,
    timeout: int | None = None,
    out: Path | None = None,
    stream: TextIO = sys.stderr,
) -> Finished:
    """Run the chapters one after the other.

    ``parameters`` go into each notebook; ``fresh`` uses an empty cache, deleted afterwards; ``renew`` replaces the
    committed files also where numbers moved within the tolerance; ``timeout`` is in seconds for each cell; ``out`` is a
    folder to write everything below.  With published data a notebook that lacks what it cannot do without is skipped
    with one line, before it starts or at the cell that says so (noted in its ``skipped.csv``), and the others run.
    Raises NegutilError on the first notebook that fails otherwise, where the same profile is running already, on
    ``renew`` without committed results, and where ``out`` is the clone.
    """
    given, settings = dict(parameters or {}), config.load(profile)
    profile, out = settings.name, out.expanduser().resolve() if out else None
    _check_parameters(chapters, given)
    is_committed = paths.IS_CHECKOUT and profile == COMMITTED and not given
    into_clone = is_committed and out is None
    if renew and not into_clone:
        raise NegutilError(
            f"--renew replaces the committed results of {COMMITTED} in a checkout: leave out --out and parameters."
        )
    # An interruption passes through tornado's callbacks and leaves asyncio a task that nobody waits for: both would
    # log a traceback where one sentence is enough.
    for name in ("tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    written = []
    with (
        _place(chapters, profile, given, out) as places,
        _only_run_of(profile) as folder,
        _empty_cache() if fresh else contextlib.nullcontext(),
        verify.staging(profile, renew=renew) if into_clone else contextlib.nullcontext() as staged,
    ):
        _prepare(settings, stream)
        finished = out / "notebooks" if out and is_committed else folder
        with _for_kernels(profile):
            for number, chapter in enumerate(chapters, start=1):
                progress = Progress(f"[{number}/{len(chapters)}] {chapter.path.stem}", stream)
                run_it = functools.partial(
                    _run_one, chapter, progress, folder, staged, finished, parameters=given, timeout=timeout
                )
                written += _unless_skipped(chapter, settings, progress, run_it)
        if staged:
            return Finished(written, staged.close(), *places)
        return Finished(written, verify.of_run(profile, paths.results("")) if is_committed else None, *places)


def _check_parameters(chapters: Sequence[Chapter], given: Mapping[str, Any]) -> None:
    """Raise NegutilError for a parameter that a notebook lacks, of which Papermill itself would only warn."""
    for chapter in chapters:
        known = papermill.inspect_notebook(chapter.path)
        for name in sorted(set(given) - set(known)):
            there = ", ".join(sorted(known)) or "no parameters"
            raise NegutilError(f"{chapter.path.name} has no parameter {name!r} (it has {there}): correct the name.")


def _unless_skipped(chapter: Chapter, settings: Profile, progress: Progress, run_it: Callable[[], Path]) -> list[Path]:
    """What ``run_it`` writes; nothing, and one line of explanation, if published data are missing."""
    reason = skipped.whole(settings, chapter.number)
    own = skipped.EXPERIMENTS.get(chapter.number, "") if skipped.possible(settings) else ""
    if own:
        (paths.results(settings.name) / own / skipped.FILE).unlink(missing_ok=True)
    if reason is None:
        with progress, paths.variables(**{skipped.EXPERIMENT: own}):
            try:
                return [run_it()]
            except UserError as problem:
                if not skipped.possible(settings):
                    raise
                reason = Skip(f"the rest of notebook {chapter.number}", problem.sentence)
    progress.stream.write(f"{progress.label}  {reason.line}\n")
    skipped.stopped(settings, chapter.number, reason)
    return []


def _prepare(settings: Profile, stream: TextIO) -> None:
    """Train or resume the models that a profile makes on this machine and that are not finished.

    Raises NegutilError if what they are trained on is missing.
    """
    if not settings.photographs:
        return
    from negutil.train import photoclip  # brings torch

    source.folder(settings, "coco")  # first: it says where Flickr8k comes from
    for entry in map(registry.find, settings.models):
        if entry.file and not entry.file.is_file():
            stream.write(
                f"{entry.name} has no weights yet, so it is trained now, once; an interrupted training resumes.\n"
            )
            photoclip.run(entry.name, photographs=settings.photographs.train)


def _own_seeds(chapters: Sequence[Chapter]) -> set[str]:
    """The seeds in the parameters of the notebooks, as written there."""
    return {papermill.inspect_notebook(chapter.path)["seed"]["default"] for chapter in chapters}


@contextlib.contextmanager
def _place(
    chapters: Sequence[Chapter], profile: str, parameters: Mapping[str, Any], out: Path | None
) -> Iterator[tuple[Path, Path]]:
    """While it is entered, ``paths`` gives the folders that a run writes to; yields those of its tables and figures.

    Those are the usual ones or those below ``out``, and in them folders of their own for another ``seed`` than that of
    every chapter.  Raises NegutilError for a seed that is no whole number, and if ``out`` is the clone.
    """
    seed = parameters.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise NegutilError(f"The seed {seed!r} is not a whole number of at least 0: write for example --seed 1.")
    with contextlib.ExitStack() as entered:
        if out:
            entered.enter_context(verify.elsewhere(profile, out))
        if "seed" in parameters and _own_seeds(chapters) != {str(seed)}:
            roots = {"results": paths.results(""), "figures": paths.figures("")}
            entered.enter_context(paths.folders(**{name: root / f"seed-{seed}" for name, root in roots.items()}))
        yield paths.results(profile), paths.figures(profile)


def clean(notebook: NotebookNode) -> NotebookNode:
    """The notebook without time stamps and paths: what remains depends only on its cells and their outputs.

    Widgets are dropped as well: without a kernel they are empty, and viewers on the web show an error in their place.
    Images are compacted, and text that was printed in several pieces, which is a matter of time, becomes one.
    """
    notebook = strip_output(
        notebook, keep_output=True, keep_count=True, keep_id=True, extra_keys=list(STAMPS), drop_tagged_cells=[INJECTED]
    )
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})
    for cell in notebook.cells:
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            for output in cell.outputs:
                if PICTURE in output.get("data", {}):
                    output.data[PICTURE] = pngs.compact_base64(output.data[PICTURE])
    notebook.metadata["kernelspec"] = dict(KERNELSPEC)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _run_one(
    chapter: Chapter,
    progress: Progress,
    folder: Path,
    staged: Staging | None,
    finished: Path,
    *,
    parameters: dict[str, Any],
    timeout: int | None,
) -> Path:
    """Run a notebook in ``folder`` and move it to the folder ``finished``, or through ``staged`` into the clone."""
    running, failed = (folder / f"{chapter.path.stem}.{state}.ipynb" for state in ("running", "failed"))
    source = clean(read(chapter.path))
    progress.cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in source.cells)
    if staged:
        staged.start(chapter.number)
    try:
        executed = papermill.execute_notebook(
            source,
            running,
            parameters,
            kernel_name=KERNELSPEC["name"],
            # Of an installed wheel the kernel must start where this process did: there is where it writes.
            cwd=chapter.path.parent if paths.IS_CHECKOUT else paths.ROOT,
            progress_bar=False,
            execution_timeout=timeout,
            on_cell_start=progress.cell_starts,
            on_cell_executed=progress.cell_ends,
            # Only what the user should act on: a kernel's log is not about the notebook.
            extra_arguments=["--log-level=CRITICAL"],
        )
    except (PapermillExecutionError, CellTimeoutError, DeadKernelError) as problem:
        running.replace(failed)
        reason = "its kernel died, often for want of memory"
        if isinstance(problem, PapermillExecutionError):
            first = next(iter(str(problem.evalue).strip().splitlines()), "")
            reason = f"{problem.ename}: {first[:300]}" if first else problem.ename
        elif isinstance(problem, CellTimeoutError):
            reason = f"it took longer than {timeout} s"
        told = (
            f"{chapter.path.name} failed in code cell {progress.cell} of {progress.cells} ({reason}): "
            f"see {failed}, fix the cause and start again; finished work is kept."
        )
        if isinstance(problem, PapermillExecutionError) and problem.ename in ("NegutilError", "NoRecordError"):
            user_error = UserError(told)
            user_error.sentence = str(problem.evalue)
            raise user_error from problem
        raise NegutilError(told) from problem
    target = chapter.path if staged else finished / chapter.path.name
    if staged:
        staged.finish(chapter.number, target, clean(executed))
    else:
        files.write_text(target, nbformat.writes(executed if finished == folder else clean(executed)) + "\n")
    running.unlink(missing_ok=True)
    failed.unlink(missing_ok=True)
    return target


def _for_kernels(profile: str) -> contextlib.AbstractContextManager[None]:
    """What kernels inherit: the profile, no progress bars in outputs, figures drawn into the notebook.

    And one thread for numpy's matrix products, whose last digit otherwise depends on how many processors there are.
    """
    return paths.variables(
        NEGUTIL_PROFILE=profile,
        NEGUTIL_NO_PROGRESS="1",
        NEGUTIL_CHECKOUT=json.dumps(code.checkout()),
        NEGUTIL_COMMAND=f"{'run_all.sh' if paths.IS_CHECKOUT else 'negutil run'} --profile {profile}",
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        **paths.ONE_THREAD,
        # The kernel named python3 is that of this Python, even where the user has another of that name.
        JUPYTER_PREFER_ENV_PATH="1",
    )


@contextlib.contextmanager
def _empty_cache() -> Iterator[None]:
    """An empty cache for one run, inside the user's cache folder, whose own entries are left alone."""
    root = paths.cache()
    root.mkdir(parents=True, exist_ok=True)
    for abandoned in root.glob("fresh-*-*"):  # of runs that were killed
        if not psutil.pid_exists(int(abandoned.name.split("-")[1])):
            shutil.rmtree(abandoned, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=f"fresh-{os.getpid()}-", dir=root, ignore_cleanup_errors=True) as folder,
        paths.folders(cache=Path(folder)),
    ):
        yield


@contextlib.contextmanager
def _only_run_of(profile: str) -> Iterator[Path]:
    """Hold the profile's lock, which the operating system drops when this process ends; gives the notebooks' folder."""
    path = paths.results(profile) / "notebooks" / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(path, timeout=0).acquire()
    except Timeout as problem:
        raise NegutilError(f"The profile {profile} is already running ({path}): wait for that run.") from problem
    with lock:
        yield path.parent
