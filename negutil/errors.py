"""The one exception that users see: a sentence that names the file and the fix."""

import difflib
import errno
from collections.abc import Iterable, Sequence

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk."""


class NegutilError(Exception):
    """A problem that the user can fix.

    The message is one clear sentence: which file or setting, what is wrong with it, and what to do.
    The command line prints it without a traceback and exits with status 2.
    """


def no_such(what: str, name: str, known: Iterable[str], where: str = "") -> NegutilError:
    """The error for an unknown ``name``; it suggests the most similar of the ``known`` ones."""
    names = list(known)
    close = meant(name, names)
    hint = f" (did you mean '{close}'?)" if close else ""
    return NegutilError(f"There is no {what} '{name}'{where}{hint}; there are {', '.join(names)}.")


def meant(name: str, known: Sequence[str]) -> str:
    """The name in ``known`` that begins like ``name`` or is similar to it, "" for none."""
    close = [each for each in known if each.startswith(name)] or difflib.get_close_matches(name, known, n=1)
    return close[0] if close else ""


def of_system(problem: OSError) -> str:
    """The operating system's refusal as a sentence, for an OSError that no reader or writer has explained."""
    where = str(problem.filename or "")
    if problem.errno in FULL_DISK:
        return f"The disk is full{where and f' at {where}'}: free some space and start again."
    reason = problem.strerror or next(iter(str(problem).strip().splitlines()), type(problem).__name__)
    if where:
        return f"{where} cannot be used ({reason}): check the path and its permissions."
    return f"The system refused to read or write ({reason}): check the disk and the network, and start again."
