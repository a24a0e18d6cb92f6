"""Downloads that survive bad networks: they resume, are checked, and appear whole under their name or not at all.

What has come so far lies beside the target as ``<name>.part`` (with ``<name>.part.json``, which says of which file),
also after Ctrl-C, a full disk or a power cut, and the next call resumes there where the server can. Tokens come
from the environment, go to their own host alone, and are never shown; neither are the query parts of addresses, which
may be signed.
"""

import contextlib
import email.utils
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import httpx
import tenacity

from negutil import files, progress
from negutil.errors import FULL_DISK, NegutilError

PERMISSION, GONE = (401, 403, 407), (404, 410)
AGAIN = (408, 425, 429, 500, 502, 503, 504)
TOKENS = {"https://huggingface.co": "HF_TOKEN"}
"""Origin -> the environment variable with the token that is sent there and nowhere else."""
BLOCK = 2**20
"""Bytes that are asked for at a time where a part of a file is wanted."""

_PAGES = (b"<!doctype html", b"<html")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to download; size (0) and checksums ("") may be unknown. ``help`` says how else to get the file."""

    url: str
    bytes: int = 0
    sha256: str = ""
    md5: str = ""
    help: str = "look at its publisher's page"


@dataclass(frozen=True, slots=True)
class Settings:
    """How patient a download is.

    Attributes:
        connect, stall: seconds without a connection, and without a byte, after which an attempt is given up.
        attempts: attempts in a row that bring nothing new before the download is given up.
        first_wait, longest_wait: seconds between attempts: doubled each time, and never more than.
        reserve: bytes that stay free on the disk.
    """

    connect: float = 20.0
    stall: float = 60.0
    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0
    reserve: int = 200 * 2**20


class _AgainError(Exception):
    """An attempt that failed and may be repeated, after ``wait`` seconds where the server asks for that."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def fetch(wanted: Wanted, target: Path, settings: Settings | None = None, room: float = 0.0) -> Path:
    """Download ``wanted`` to ``target``, going on with what an earlier call left, and return ``target``.

    ``room`` is how many times the file's size has to be free besides, for unpacking. Raises NegutilError if the disk
    is too small or full, the server refuses, keeps failing or has another file, or the checksum is not the right one.
    """
    settings = settings or Settings()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f".{target.name}.lock")
        with filelock.FileLock(lock, timeout=0):
            part = target.with_name(f"{target.name}.part")
            _fill(wanted, part, settings, room)
            verify(part, wanted)
            part.replace(target)
            _note_file(part).unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
    except filelock.Timeout as problem:
        raise NegutilError(f"{target} is being downloaded by another process: wait for it.") from problem
    except OSError as problem:
        told = f"cannot be written ({problem.strerror or problem}): see that its folder can be written to"
        if problem.errno in FULL_DISK:
            told = "is incomplete, because the disk is full; free some space and start again, the finished part is kept"
        raise NegutilError(f"{target} {told}.") from problem
    return target


@contextlib.contextmanager
def part_of(url: str) -> Iterator[BinaryIO]:
    """A file on a server, of which only those blocks are downloaded that are read.

    Raises OSError if the server cannot be reached or does not give parts of files.
    """
    with httpx.Client(follow_redirects=True, timeout=Settings().stall) as client:
        yield io.BufferedReader(_Remote(client, url), BLOCK)


class _Remote(io.RawIOBase):
    def __init__(self, client: httpx.Client, url: str) -> None:
        super().__init__()
        self._client, self._url, self._at = client, url, 0
        self._size = int(self._get(0, 1).headers["Content-Range"].rpartition("/")[2])

    def _get(self, start: int, count: int) -> httpx.Response:
        headers = {"Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"}
        try:
            response = self._client.get(self._url, headers=headers)
        except httpx.HTTPError as problem:
            raise OSError(f"{type(problem).__name__}: {_reason(problem)}") from problem
        if response.status_code != 206:
            raise OSError(f"the server answers {response.status_code} to a request for part of the file")
        return response

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be read at any place."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a place, counted from the start, from here or from the end."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Download as many bytes as ``buffer`` has room for, as far as there are as many; gives their number."""
        count = min(len(buffer), self._size - self._at)
        if count > 0:
            buffer[:count] = self._get(self._at, count).content
            self._at += count
        return max(count, 0)


def verify(path: Path, wanted: Wanted) -> None:
    """Raise NegutilError, and delete ``path``, where it is not what is wanted."""
    problem = ""
    with path.open("rb") as stream:
        if stream.read(512).lstrip().lower().startswith(_PAGES):
            problem = "is a web page instead of a file"
    if not problem and wanted.bytes and path.stat().st_size != wanted.bytes:
        problem = f"has {path.stat().st_size} bytes instead of {wanted.bytes}"
    for kind, expected in (("sha256", wanted.sha256), ("md5", wanted.md5)):
        if not problem and expected and (actual := digest(path, kind)) != expected:
            problem = f"has {kind} {actual} instead of {expected}"
    if problem:
        path.unlink()
        _note_file(path).unlink(missing_ok=True)
        raise NegutilError(f"{shown(wanted.url)} {problem}, so it was deleted: try again, or {wanted.help}.")


def free_bytes(folder: Path) -> int:
    """Bytes that are free where ``folder`` (or the first parent that exists) lies."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, needed: float, what: str, reserve: int = 0) -> None:
    """Raise NegutilError unless ``needed`` bytes, and ``reserve`` besides, are free in ``folder``."""
    free = free_bytes(folder)
    if needed + reserve > free:
        sizes = f"needs {needed / 1e9:.2f} GB in {folder}, which has {free / 1e9:.2f} GB free"
        raise NegutilError(f"{what} {sizes}: free some space, or set NEGUTIL_DATA to a larger disk.")


def digest(path: Path, kind: str) -> str:
    """Hex "sha256" or "md5" of a file's bytes; raises NegutilError if it cannot be read."""
    if kind == "sha256":
        return files.sha256(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def shown(url: str) -> str:
    """An address without user, query and fragment, which may hold secrets."""
    bare = httpx.URL(url).copy_with(userinfo=b"", query=None, fragment=None)
    return str(bare).rstrip("?#")


def _fill(wanted: Wanted, part: Path, settings: Settings, room: float) -> None:
    """Make ``part`` whole, in as many attempts as it takes while they bring something new."""
    timeout = httpx.Timeout(settings.stall, connect=settings.connect)
    hooks = {"request": [lambda request: _refuse_step_down(wanted.url, request)]}
    backoff = tenacity.wait_random_exponential(settings.first_wait, settings.longest_wait)

    def wait(state: tenacity.RetryCallState) -> float:
        problem = state.outcome.exception() if state.outcome else None
        return max(backoff(state), problem.wait if isinstance(problem, _AgainError) else 0.0)

    with httpx.Client(timeout=timeout, follow_redirects=True, max_redirects=10, event_hooks=hooks) as client:
        while True:
            before = _size(part)

            def brought_nothing(problem: BaseException, before: int = before) -> bool:
                return isinstance(problem, _AgainError) and _size(part) <= before

            attempts = tenacity.Retrying(
                retry=tenacity.retry_if_exception(brought_nothing),
                stop=tenacity.stop_after_attempt(settings.attempts),
                wait=wait,
                reraise=True,
            )
            try:
                attempts(_attempt, client, wanted, part, settings, room)
                return
            except _AgainError as problem:
                if brought_nothing(problem):
                    told = f"{shown(wanted.url)} could not be downloaded ({problem})"
                    fix = f"the finished part is kept, start again later, or {wanted.help}"
                    raise NegutilError(f"{told}, {settings.attempts} times in a row: {fix}.") from problem


def _attempt(client: httpx.Client, wanted: Wanted, part: Path, settings: Settings, room: float) -> None:
    # Of which file the part is: url, validator (a strong ETag or a date) and total; empty where that is unknown.
    note: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(_note_file(part).read_text(encoding="utf-8"))
        note = content if isinstance(content, dict) else {}
    have = _size(part) if note.get("url") == wanted.url else 0
    headers = {"Accept-Encoding": "identity"}  # lengths and ranges are then the file's own
    if have:
        headers["Range"] = f"bytes={have}-"
        headers |= {"If-Range": note["validator"]} if note.get("validator") else {}
    address = httpx.URL(wanted.url)
    token = os.environ.get(TOKENS.get(f"{address.scheme}://{address.netloc.decode()}", ""), "").strip()
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with client.stream("GET", wanted.url, headers=headers) as response:
            # First byte and total of "bytes 5-9/10" (or "bytes */10"); 0 for what is not given.
            span, _, size = response.headers.get("Content-Range", "").removeprefix("bytes").strip().partition("/")
            first, whole = (int(text) if text.isdigit() else 0 for text in (span.partition("-")[0], size))
            resumes, beyond = response.status_code == 206, response.status_code == 416
            if beyond and have and whole == have:  # there is nothing after what has come
                return
            if beyond or (resumes and (first != have or (whole and note.get("total") not in (0, whole)))):
                part.unlink(missing_ok=True)
                raise _AgainError("the server has no such part of the file, or sent another one")
            _check_status(response, wanted, settings)
            start, length = have if resumes else 0, response.headers.get("Content-Length", "")
            total = whole if resumes else int(length) if length.isdigit() else 0
            if wanted.bytes and total and total != wanted.bytes:
                told = f"{shown(wanted.url)} has {total} bytes instead of {wanted.bytes}"
                raise NegutilError(f"{told}: it is another file; {wanted.help}.")
            needed = (total - start if total else 0) + room * total
            require_space(part.parent, needed, f"The download of {part.stem}", settings.reserve)
            tag = response.headers.get("ETag", "")
            validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
            content = {"url": wanted.url, "validator": validator, "total": total}
            files.write_text(_note_file(part), json.dumps(content))
            shows: dict[str, Any] = {"total": total or None, "initial": start, "unit": "B", "unit_scale": True}
            with (
                part.open("r+b" if start else "wb") as stream,
                progress.bar(f"downloading {part.stem}", **shows) as bar,
            ):
                stream.seek(start)
                # Without a size of chunks: httpx would keep back what came before a connection broke.
                for chunk in response.iter_raw():
                    stream.write(chunk)
                    bar.update(len(chunk))
                stream.flush()
                os.fsync(stream.fileno())
            if total and _size(part) != total:
                raise _AgainError(f"{_size(part)} of {total} bytes came")
    except httpx.TransportError as problem:
        raise _AgainError(f"{type(problem).__name__}: {_reason(problem)}") from problem
    except (httpx.TooManyRedirects, httpx.InvalidURL) as problem:
        raise NegutilError(f"{shown(wanted.url)} leads nowhere ({_reason(problem)}): {wanted.help}.") from problem


def _check_status(response: httpx.Response, wanted: Wanted, settings: Settings) -> None:
    status, told = response.status_code, f"{shown(wanted.url)} answers {response.status_code}"
    if status in AGAIN:
        wait = retry_after(response.headers.get("Retry-After", ""))
        if wait > settings.longest_wait:
            raise NegutilError(f"{told}, and the server asks to wait {wait:.0f} s: start again later.")
        raise _AgainError(f"the server answers {status}", wait)
    if status in PERMISSION:
        fix = "accept its publisher's conditions, and set HF_TOKEN if it is on huggingface.co"
        raise NegutilError(f"{told}, it requires permission: {fix}, or {wanted.help}.")
    if status in GONE:
        raise NegutilError(f"{told}, the file no longer exists: {wanted.help}.")
    if status not in (200, 206):
        raise NegutilError(f"{told}, which is not a file: {wanted.help}.")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise NegutilError(f"{shown(wanted.url)} arrives compressed against our request: {wanted.help}.")
    page = response.headers.get("Content-Type", "").startswith("text/html")
    if page and not wanted.url.endswith((".html", ".htm")):
        raise NegutilError(f"{shown(wanted.url)} answers with a web page instead of a file: {wanted.help}.")


def retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks to wait, as a number or as a date; 0 where it cannot be read."""
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _note_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _refuse_step_down(url: str, request: httpx.Request) -> None:
    if url.startswith("https:") and request.url.scheme != "https":
        raise NegutilError(f"{shown(url)} leads to {request.url.host} without https: download the file by hand.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(problem: Exception) -> str:
    """What an exception of httpx says, which never holds headers; its address may be signed, so that is left out."""
    return str(problem).split(" for url ")[0].split("\n")[0] or "no reason given"
