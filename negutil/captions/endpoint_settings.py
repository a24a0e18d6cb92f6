"""Settings of a model behind one or several OpenAI-compatible endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from negutil.errors import NegutilError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Settings of an endpoint.

    Attributes:
        url: address up to and with the version ("http://localhost:8000/v1"), or a list of such addresses, all of which
            serve the model.
        model: name under which the endpoint serves the model.
        key_variable: environment variable that holds the API key; "" where none is needed. The key is never stored.
        concurrency: questions under way at a time, at each address.
        timeout: seconds to wait for a reply.
        attempts: how often an item is asked before it is given up.
        first_wait: seconds, at most, before the second attempt; twice as long before each further one.
        longest_wait: seconds, at most, between two attempts. A server that asks for more ends the run.
        rest: seconds that one of several addresses is left alone after it failed; twice as long each further time.
        seed: sent with every question where it is given; another seed gives other replies.
        resume: file of kept replies (JSON lines); None keeps them in memory.
        price_in, price_out: price of a million tokens of questions and of replies, for the progress line.
        extra: further fields of the request's body.
    """

    url: str | Sequence[str]
    model: str
    key_variable: str = ""
    concurrency: int = 8
    timeout: float = 120.0
    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0
    rest: float = 10.0
    seed: int | None = None
    resume: Path | str | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for url in self.urls or [""]:
            if not url.startswith(("http://", "https://")):
                raise NegutilError(f"The endpoint's url is {url!r}: give one that starts with http:// or https://.")
        if len(set(self.urls)) < len(self.urls):
            raise NegutilError(f"The endpoint's addresses {', '.join(self.urls)} repeat one: give each once.")
        if self.concurrency < 1 or self.attempts < 1 or self.timeout <= 0 or self.rest < 0:
            given = f"concurrency {self.concurrency}, attempts {self.attempts}, timeout {self.timeout}"
            raise NegutilError(f"The endpoint {self.name} has {given}, rest {self.rest}: give numbers above 0.")

    @property
    def urls(self) -> list[str]:
        """All addresses, without a slash at the end."""
        return [url.rstrip("/") for url in ([self.url] if isinstance(self.url, str) else self.url)]

    @property
    def name(self) -> str:
        """The addresses as one text."""
        return ", ".join(self.urls)
