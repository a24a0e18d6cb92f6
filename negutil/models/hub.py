"""huggingface.co: at which commit a repository is read (``configs/revisions.toml``), and what happens offline."""

import contextlib
import functools
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from negutil import files, paths
from negutil.data import download
from negutil.errors import NegutilError

TABLE = "revisions.toml"
LOCAL = "main"
"""The revision of a folder on this machine, which has none."""

PATIENCE = 5.0
"""Seconds to wait for the hub; its own client tries for about a minute."""


def revision(repository: str, given: str | None = None) -> str:
    """The revision of ``repository``: the one ``given``, else the pinned one; a folder of this machine needs none.

    Raises NegutilError for a repository that is neither pinned nor given with its revision: its owner could otherwise
    change what is loaded.
    """
    if Path(repository).expanduser().is_dir():
        return LOCAL
    commit = given or pinned().get(repository)
    if not commit:
        raise NegutilError(
            f"'{repository}' is no folder, and configs/{TABLE} does not pin it: give its revision, a commit of the hub."
        )
    return commit


def pinned() -> dict[str, str]:
    """Commits by repository; raises NegutilError if the table cannot be read."""
    return {name: str(commit) for name, commit in files.read_toml(paths.CONFIGS / TABLE).items()}


@contextlib.contextmanager
def fetching(what: str, fix: str) -> Iterator[None]:
    """Let clients of the hub work in this block; where it cannot be reached, at once with their cache alone.

    Raises NegutilError, which ends in ``fix``, if ``what`` is not available.
    """
    from huggingface_hub import constants

    online, before = is_reachable(), constants.HF_HUB_OFFLINE
    try:
        # Offline, huggingface_hub and the libraries that ask it look into their cache alone.
        constants.HF_HUB_OFFLINE = before or not online
        yield
    except NegutilError:
        raise
    except Exception as problem:  # the clients and the libraries below them raise many kinds
        first = str(problem).strip().split("\n")[0].rstrip(".")
        for name in download.TOKENS.values():
            token = os.environ.get(name, "").strip()
            first = first.replace(token, f"<{name}>") if token else first
        reason = f"{type(problem).__name__}: {first}" if online else "it cannot be reached from here"
        raise NegutilError(f"{what} could not be fetched from huggingface.co ({reason}): {fix}.") from None
    finally:
        constants.HF_HUB_OFFLINE = before


@functools.cache
def is_reachable() -> bool:
    """Whether the hub answers, asked once in a process; False if its client is set to stay offline."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return False
    try:
        httpx.head(constants.ENDPOINT, timeout=PATIENCE)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return True


def library(name: str) -> Any:
    """Return the module transformers or diffusers, imported when it is first used: both are slow to import.

    Raises NegutilError that says how to install it where it is missing.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        raise NegutilError(f"This needs {name}: run pip install -c constraints.txt {name}.") from problem
