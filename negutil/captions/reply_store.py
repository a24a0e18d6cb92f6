"""Replies that have been paid for, kept as they come: one JSON line each, found again by a key.

A line is appended and flushed as soon as its reply is there, so that a run that is killed loses none. A last line that
was cut short by that is dropped when the file is opened again.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from filelock import FileLock, Timeout

from negutil.errors import NegutilError

_START = b'{"key": "'


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply with the tokens that it took and why it ended ("stop", "length", ...)."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish: str = ""


class ReplyStore:
    """Replies by key, in memory and, where there is a ``path``, in that file too; safe for many threads.

    To be used as ``with store:`` around additions; whoever else wants the same file meanwhile gets a NegutilError.
    Raises one too for a file that is not of this kind or cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._replies: dict[str, Reply] = {}
        self._tokens = (0, 0)
        self._mutex = threading.Lock()
        self._stream: BinaryIO | None = None
        self._lock = FileLock(f"{path}.lock", timeout=0) if path else None

    def __enter__(self) -> ReplyStore:
        if self.path is not None and self._lock is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
                self._load(self.path)
            except Timeout:
                raise NegutilError(f"{self.path} is in use by another run: wait, or give this one its own.") from None
            except OSError as problem:
                self._lock.release()
                raise NegutilError(f"{self.path} cannot be used ({problem.strerror}): mend the folder.") from problem
            except NegutilError:
                self._lock.release()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self._lock is not None:
            self._lock.release()

    def __contains__(self, key: str) -> bool:
        return key in self._replies

    def __getitem__(self, key: str) -> Reply:
        return self._replies[key]

    def __len__(self) -> int:
        return len(self._replies)

    def add(self, key: str, reply: Reply) -> None:
        """Keep a reply; the first one for a key stays."""
        with self._mutex:
            if key in self._replies:
                return
            if self._stream is not None:
                self._append(self._stream, json.dumps({"key": key, **asdict(reply)}).encode() + b"\n")
            self._keep(key, reply)

    def tokens(self) -> tuple[int, int]:
        """Tokens of all prompts and of all replies that are kept, those of earlier runs included."""
        return self._tokens

    def _append(self, stream: BinaryIO, line: bytes) -> None:
        """Write a line whole or not at all: half a line would spoil the next one."""
        start = stream.seek(0, os.SEEK_END)
        with suppress(OSError):
            if stream.write(line) == len(line):
                return
        with suppress(OSError):
            stream.truncate(start)
        raise NegutilError(f"{self.path} could not be written to: free some space or mend the folder.")

    def _keep(self, key: str, reply: Reply) -> None:
        self._replies[key] = reply
        asked, replied = self._tokens
        self._tokens = asked + reply.prompt_tokens, replied + reply.completion_tokens

    def _load(self, path: Path) -> None:
        """Read the file, cut off what follows the last whole line, and open it for appending."""
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        rest = content[whole:]
        # Only a line of ours may be cut off: somebody else's file stays as it is.
        if not rest.startswith(_START[: len(rest)]):
            raise _foreign(path, content.count(b"\n") + 1)
        for number, line in enumerate(content[:whole].split(b"\n")[:-1], 1):
            key, reply = _parsed(line, number, path)
            if key not in self._replies:
                self._keep(key, reply)
        # Unbuffered, so that each reply is with the operating system as soon as it is added.
        self._stream = cast(BinaryIO, path.open("ab", buffering=0))
        self._stream.truncate(whole)


def _parsed(line: bytes, number: int, path: Path) -> tuple[str, Reply]:
    try:
        fields = json.loads(line)
        return str(fields.pop("key")), Reply(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise _foreign(path, number) from problem


def _foreign(path: Path, number: int) -> NegutilError:
    mend = "delete the line, or give another file"
    return NegutilError(f"{path}: line {number} is no reply that was kept here; {mend}.")
