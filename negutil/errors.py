"""The one exception that users see: a sentence that names the file and the mend."""

from __future__ import annotations


class NegutilError(Exception):
    """A problem that the user can mend.

    The message is one clear sentence: which file or setting, what is wrong with it, and what to do.
    The command line prints it without a traceback and exits with status 2.
    """
