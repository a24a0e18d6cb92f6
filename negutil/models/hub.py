"""At which commit a repository of huggingface.co is read: ``configs/revisions.toml``, or what the caller says."""

from __future__ import annotations

from pathlib import Path

from negutil import files, paths
from negutil.errors import NegutilError

TABLE = "revisions.toml"
LOCAL = "main"
"""What stands for the revision of a folder on this machine, which has none."""


def revision(repository: str, given: str | None = None) -> str:
    """The revision of ``repository``: the one ``given``, else the pinned one; a folder of this machine needs none.

    Raises NegutilError for a repository that is neither pinned nor given with its revision: whoever owns it could
    otherwise change what is loaded.
    """
    if Path(repository).expanduser().is_dir():
        return LOCAL
    found = given or pinned().get(repository)
    if not found:
        raise NegutilError(
            f"'{repository}' is no folder, and configs/{TABLE} does not pin it: give its revision, a commit of the hub."
        )
    return found


def pinned() -> dict[str, str]:
    """Commits by repository; raises NegutilError where the table cannot be read."""
    return {name: str(commit) for name, commit in files.read_toml(paths.CONFIGS / TABLE).items()}
