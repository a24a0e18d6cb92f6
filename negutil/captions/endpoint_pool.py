"""Several endpoints that serve the same model: who gets the next question, and what to do when one of them dies.

Questions go round among the endpoints that are up, at most so many at a time to each. One that does not answer rests a
while and its questions go to the others; when nobody is up, the one that has rested longest is tried.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Server:
    """One endpoint: its address, questions under way, replies given, and until when it rests (monotonic seconds)."""

    url: str
    under_way: int = 0
    replies: int = 0
    failures: int = 0
    rests_until: float = 0.0


class Pool:
    """The endpoints at ``urls``, each with ``concurrency`` questions at a time, resting ``rest`` seconds after failing.

    Safe for many threads.
    """

    def __init__(self, urls: Sequence[str], concurrency: int, rest: float) -> None:
        self.servers = [Server(url) for url in urls]
        self._concurrency, self._rest = concurrency, rest
        self._next = 0
        self._free = threading.Condition()

    @contextlib.contextmanager
    def take(self) -> Iterator[Server]:
        """An endpoint for one attempt, waited for while all that are up are busy."""
        with self._free:
            while (chosen := self._choose()) is None:
                self._free.wait(timeout=1.0)
            chosen.under_way += 1
        try:
            yield chosen
        finally:
            with self._free:
                chosen.under_way -= 1
                self._free.notify_all()

    def answered(self, server: Server) -> None:
        """Note that ``server`` gave a reply."""
        with self._free:
            server.replies, server.failures, server.rests_until = server.replies + 1, 0, 0.0
            self._free.notify_all()

    def failed(self, server: Server) -> bool:
        """Note that ``server`` did not answer: it rests, twice as long each time; whether another one is up."""
        with self._free:
            server.failures += 1
            server.rests_until = time.monotonic() + self._rest * 2 ** min(server.failures - 1, 6)
            return any(each.rests_until <= time.monotonic() for each in self.servers)

    def _choose(self) -> Server | None:
        """The next endpoint in turn that is up and not full; None where all that are up are full."""
        now = time.monotonic()
        up = [each for each in self.servers if each.rests_until <= now]
        if not up:
            up = [min(self.servers, key=lambda each: each.rests_until)]
        turn = self.servers[self._next :] + self.servers[: self._next]
        chosen = next((each for each in turn if each in up and each.under_way < self._concurrency), None)
        if chosen is not None:
            self._next = (self.servers.index(chosen) + 1) % len(self.servers)
        return chosen
