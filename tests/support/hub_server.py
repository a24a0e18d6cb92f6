"""A local hub that takes commits: what ``huggingface_hub`` asks when it makes a repository and uploads a folder."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class HubServer:
    """The files of every commit by repository; ``token`` is the one that may write."""

    def __init__(self, token: str) -> None:
        self.token, self.url = token, ""
        self.files: dict[str, dict[str, bytes]] = {}


@contextmanager
def serving(token: str) -> Iterator[HubServer]:
    served = HubServer(token)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def answer(self, content: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            lines = self.rfile.read(int(self.headers.get("Content-Length", 0))).splitlines()
            if self.headers.get("Authorization") != f"Bearer {served.token}":
                self.answer({"error": "Invalid username or password."}, 401)
            elif self.path == "/api/repos/create":
                asked = json.loads(lines[0])
                name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
                served.files.setdefault(name, {})
                self.answer({"url": f"{served.url}/{name}"})
            elif "/preupload/" in self.path:
                files = json.loads(b"".join(lines))["files"]
                self.answer(
                    {
                        "files": [
                            {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files
                        ]
                    }
                )
            elif "/commit/" in self.path:
                name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
                for line in map(json.loads, lines):
                    if line["key"] == "file":
                        served.files[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                self.answer({"commitUrl": f"{served.url}/{name}/commit/1", "commitOid": "1", "hookOutput": ""})
            else:
                self.answer({"errors": [], "warnings": []})

        def do_GET(self) -> None:
            self.answer({"id": "somebody/model", "sha": "1", "siblings": []})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
