"""``negutil explore``: a page on this machine on which models are asked for the images of a folder, side by side.

A query is asked as it is typed, without its negation, and by a method without training (``model.with_method``). The
server listens on the loopback address alone, and gives out the page, answers, and small copies of the folder's images
by their number, so nothing else can be read through it.
"""

import json
import re
import threading
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from negutil import paths, progress
from negutil.bench import model as bench_model
from negutil.bench import world_words
from negutil.bench.encoding import Part
from negutil.captions.splitting import Rules, Split
from negutil.data.folders import SUFFIXES, below
from negutil.errors import NegutilError
from negutil.models import encode, queries, scorer
from negutil.models.loader import LoadedModel
from negutil.models.scorer import Features, Scorer

HOST = "127.0.0.1"
PAGE = paths.PACKAGE / "templates" / "explore.html"
SHOWN, MOST, SIDE = 6, 60, 320
"""Images shown for each query, at most so many, and the longer side of a copy in pixels."""

LONGEST = 500
"""Characters of a query."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A model with its features [N, D] of all images, what asks it plainly, and what asks it by the method."""

    name: str
    images: Features
    plain: Scorer
    by_method: Scorer
    is_of_world: bool


class FolderExplorer:
    """The images below a folder and the models that are asked for them.

    Attributes:
        names: the images, by their paths below the folder; left_out: those that cannot be read, with the reason, and
            links that lead out of the folder.
    """

    def __init__(self, folder: Path, models: Sequence[LoadedModel], method: str = queries.SUBTRACTED) -> None:
        """Encode the images with every model; features are cached as everywhere.

        Raises NegutilError where the folder has no image that can be read, and as ``with_method`` for ``method``.
        """
        self.method = method.partition("=")[0]
        by_method = [bench_model.with_method(model, method) for model in models]
        self.folder = folder.expanduser().resolve()
        part, self.left_out = _images(self.folder)
        try:
            features = [encode.images(model, part.pictures) for model in models]
        except NegutilError:  # most often of an image that cannot be read; what else it may be, comes again
            part, unreadable = part.readable()
            self.left_out |= unreadable
            features = [encode.images(model, part.pictures) for model in models]
        self.names, self._pictures = list(part.files), part.pictures
        self.models = {
            model.name: Asked(
                model.name,
                images,
                scorer.of(model),
                asking,
                bench_model.is_miniclip(model),
            )
            for model, asking, images in zip(models, by_method, features, strict=True)
        }
        self._one_at_a_time = threading.Lock()

    def about(self) -> dict[str, Any]:
        """What the page shows before anything is asked: folder, number of images, models, and what was left out."""
        return {
            "folder": str(self.folder),
            "images": len(self.names),
            "models": list(self.models),
            "left_out": self.left_out,
            "shown": min(SHOWN, len(self.names)),
        }

    def search(self, query: str, count: int = SHOWN) -> dict[str, Any]:
        """Return what each model puts first for ``query``, as plain values for the page.

        ``columns`` are the ways to ask, with the text of each: as typed and, where it denies something, without the
        negation and by the method. ``models`` have for each column the ``count`` best images with their scores, the
        words that their world does not have, and how many of the first two columns are the same. Raises NegutilError
        for an empty or overlong query.
        """
        query = " ".join(query.split())
        if not query or len(query) > LONGEST:
            raise NegutilError(f"The query has {len(query)} characters; write 1 to {LONGEST}.")
        count = max(1, min(count, len(self.names), MOST))
        split = Rules().split([query])[0]
        columns = [{"title": "as typed", "text": query}]
        if split.denied:
            columns.append({"title": "without the negation", "text": without_negation(split)})
            affirmed = split.affirmed or queries.NOTHING
            texts = {queries.AFFIRMED: affirmed, queries.STEERED: query}
            text = texts.get(self.method, f"{affirmed} − {split.denied}")
            columns.append({"title": f"by {self.method}", "text": text})
        with self._one_at_a_time, progress.quiet(), encode.without_text_cache():
            found = [self._answer(asked, columns, query, count) for asked in self.models.values()]
        return {"query": query, "columns": columns, "models": found}

    def _answer(self, asked: Asked, columns: list[dict[str, str]], query: str, count: int) -> dict[str, Any]:
        texts = [column["text"] for column in columns[:2]]
        scores = list(asked.plain.matrix(texts, asked.images))
        if len(columns) > 2:
            scores.append(asked.by_method.matrix([query], asked.images)[0])
        ranked = [np.argsort(-row, kind="stable")[:count].tolist() for row in scores]
        lists = [
            [{"image": row, "name": self.names[row], "score": round(float(of[row]), 4)} for row in rows]
            for rows, of in zip(ranked, scores, strict=True)
        ]
        same = len(set(ranked[0]) & set(ranked[1])) if len(ranked) > 1 else None
        unknown = list(world_words.unknown(query)) if asked.is_of_world else []
        return {"name": asked.name, "unknown": unknown, "lists": lists, "same": same}

    def image(self, number: int) -> bytes:
        """Return a small copy of an image as JPEG; raises IndexError for a number that none has."""
        if not 0 <= number < len(self.names):
            raise IndexError(number)
        return self._pictures.jpeg(number, SIDE, quality=85)


def without_negation(split: Split) -> str:
    """Return the query that affirms what ``split`` denies: "a street" and "a dog" make "a street with a dog"."""
    if not split.affirmed:
        return split.denied
    joint = "and" if " with " in split.affirmed else "with"
    return f"{split.affirmed} {joint} {split.denied}"


def _images(folder: Path) -> tuple[Part, dict[str, str]]:
    """The images below ``folder``, and which are left out because they are links that lead elsewhere."""
    if not folder.is_dir():
        raise NegutilError(f"{folder} is not a folder: name the folder with the images.")
    files = sorted(below(folder))
    inside = [file for file in files if file.resolve().is_relative_to(folder)]
    if not inside:
        raise NegutilError(f"{folder} has no images ({', '.join(SUFFIXES)}): name the folder with the images.")
    names = [file.relative_to(folder).as_posix() for file in inside]
    outside = [file.relative_to(folder).as_posix() for file in files if file not in set(inside)]
    return Part(0, "images", str(folder), names), dict.fromkeys(outside, "it is a link that leads out of the folder")


# --------------------------------------------------------------------------------------------------------------------
# The server


class Server(ThreadingHTTPServer):
    """Serves the page of an ``explorer`` on the loopback address; ``port`` 0 takes a free one.

    Raises NegutilError where the port is taken.
    """

    daemon_threads = True

    def __init__(self, explorer: FolderExplorer, port: int = 0) -> None:
        self.explorer = explorer
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as problem:
            raise NegutilError(f"Port {port} cannot be used ({problem.strerror}): give another --port.") from problem
        self.address = f"http://{HOST}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        """Answer for the page, ``/about``, ``/search?query=&count=`` and ``/image/NUMBER``; 404 for anything else."""
        address = urllib.parse.urlsplit(self.path)
        wanted = dict(urllib.parse.parse_qsl(address.query))
        image = re.fullmatch(r"/image/(\d{1,9})", address.path, re.ASCII)
        explorer = self.server.explorer
        try:
            if self.headers.get("Host") not in [f"{name}:{self.server.server_port}" for name in (HOST, "localhost")]:
                raise IndexError  # a page elsewhere whose name was made to lead here
            if address.path == "/":
                self._send(PAGE.read_bytes(), "text/html; charset=utf-8")
            elif address.path == "/about":
                self._send(_json(explorer.about()))
            elif address.path == "/search":
                count = wanted.get("count", "")
                chosen = int(count) if count.isdecimal() and len(count) < 5 else SHOWN
                self._send(_json(explorer.search(wanted.get("query", ""), chosen)))
            elif image:
                self._send(explorer.image(int(image[1])), "image/jpeg")
            else:
                raise IndexError
        except IndexError:
            self._send(_json({"problem": "There is nothing here."}), status=404)
        except NegutilError as problem:
            self._send(_json({"problem": str(problem)}), status=400)
        except ConnectionError:  # the browser did not wait
            self.close_connection = True

    def _send(self, content: bytes, kind: str = "application/json", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing about requests."""


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()
