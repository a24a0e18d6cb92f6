"""A real HTTP server that speaks OpenAI's chat completions, well or badly, as a test wants it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Act:
    """What to do with a request: wait, then send ``body`` with ``status``, or hang up (``status`` 0)."""

    status: int = 200
    body: bytes | None = None
    wait: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    promise: int = 0  # bytes announced beyond those sent


def completion(text: str | None, **fields: Any) -> bytes:
    """The body of a whole reply; three tokens in, two out."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}, **fields}).encode()


def echo(asked: str, attempt: int) -> Act:
    """Reply "re: <question>" at once."""
    return Act(body=completion(f"re: {asked}"))


class ChatServer:
    """What the server saw: bodies and headers of all requests, how often each question came and was answered well."""

    def __init__(self, behave: Callable[[str, int], Act]) -> None:
        self.behave = behave
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[tuple[str, float]] = []
        self.attempts: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.busiest = 0
        self.url = ""
        self._under_way = 0
        self._mutex = threading.Lock()

    def take(self, body: dict[str, Any], headers: dict[str, str]) -> Act:
        asked = question(body)
        with self._mutex:
            self.bodies.append(body)
            self.headers.append(headers)
            self.times.append((asked, time.monotonic()))
            attempt = self.attempts[asked]
            self.attempts[asked] += 1
            self._under_way += 1
            self.busiest = max(self.busiest, self._under_way)
        act = self.behave(asked, attempt)
        time.sleep(act.wait)
        with self._mutex:
            self._under_way -= 1
            self.answered[asked] += act.status == 200 and not act.promise
        return act


def question(body: dict[str, Any]) -> str:
    """The text of the last turn."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else next(part["text"] for part in content if part["type"] == "text")


@contextmanager
def serve(behave: Callable[[str, int], Act] = echo) -> Iterator[ChatServer]:
    """A server on a free port of this machine for as long as the block lasts."""
    server = ChatServer(behave)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                self.send_error(404)
                return
            act = server.take(body, dict(self.headers.items()))
            # The client may have gone away after its time-out.
            with suppress(OSError):
                self._send(act)

        def _send(self, act: Act) -> None:
            self.close_connection = True
            if act.status == 0:
                return
            content = act.body or b""
            self.send_response(act.status)
            for name, value in act.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content) + act.promise))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_address[1]}/v1"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
