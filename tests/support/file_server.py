"""A real HTTP server of files that does ranges, and misbehaves as a test wants it."""

from __future__ import annotations

import io
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def zipped(files: dict[str, bytes]) -> bytes:
    """The content of a zip archive of ``files``."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return made.getvalue()


@dataclass(frozen=True)
class Act:
    """How to answer one request.

    ``cut`` bytes of the body are sent, then nothing for ``stall`` seconds, then the connection ends. ``ranges`` False
    sends the whole file whatever was asked for; ``status`` other than 200 sends ``body`` as it is.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut: int | None = None
    stall: float = 0.0
    ranges: bool = True
    promise: int = 0  # length that is announced instead of the true one


class FileServer:
    """Files by path; ``acts`` are used up one for each request of a path, after which all goes well."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.acts: dict[str, list[Act]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.times: list[float] = []
        self.url = ""

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of every request for ``path``, None where there was none."""
        return [headers.get("Range") for asked, headers in self.requests if asked == path]


class _Handler(BaseHTTPRequestHandler):
    served: FileServer

    def do_GET(self) -> None:
        self.close_connection = True
        served, path = self.served, self.path.partition("?")[0]
        served.requests.append((path, dict(self.headers.items())))
        served.times.append(time.monotonic())
        acts = served.acts.get(path, [])
        act = acts.pop(0) if acts else Act()
        # The client may have gone away.
        with suppress(OSError):
            self._answer(act, path)

    def _answer(self, act: Act, path: str) -> None:
        whole = act.body if act.body is not None else self.served.files.get(path)
        if whole is None:
            self.send_error(404)
            return
        tag = self.served.tags.get(path, "")
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", tag) == tag
        start = int(found.group(1)) if found and act.ranges and same and act.status == 200 else 0
        if start and start >= len(whole):
            self._send(416, {"Content-Range": f"bytes */{len(whole)}"}, b"", act)
            return
        headers = {"ETag": tag} if tag else {}
        end = int(found.group(2)) + 1 if found and found.group(2) and act.ranges else len(whole)
        is_part = bool(start) or end < len(whole)
        if is_part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(whole)}"
        self._send(206 if is_part else act.status, headers, whole[start:end], act)

    def _send(self, status: int, headers: dict[str, str], body: bytes, act: Act) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(act.promise or len(body)), **act.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: act.cut])
        self.wfile.flush()
        time.sleep(act.stall)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serve() -> Iterator[FileServer]:
    """A server on a free port of this machine for as long as the block lasts."""
    served = FileServer()
    handler = type("Handler", (_Handler,), {"served": served})

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), handler) as listening:
        served.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            listening.shutdown()
            thread.join()
