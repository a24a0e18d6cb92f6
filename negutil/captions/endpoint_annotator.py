"""Language and vision models behind any OpenAI-compatible endpoint (such as vLLM).

Many questions at a time up to a bound, with time-outs, and retries that wait longer and longer (at random, and at least
as long as the server asks). Several servers of one model share the questions, and those of one that dies go to the
others (``Pool``). Replies are kept as they come (``ReplyStore``), whoever gave them: a run that stops, for whatever
reason, resumes where it stopped. NegBench used such a server (docs/protocols.md#generation).
"""

from __future__ import annotations

import base64
import contextlib
import json
import mimetypes
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import httpx
import tenacity
from filelock import FileLock, Timeout

from negutil import files, progress
from negutil.captions.prompts import Chat, Sampling
from negutil.data import download
from negutil.errors import NegutilError

AGAIN = frozenset({408, 409, 425, 429})
"""Status codes below 500 that a later attempt may not meet."""

GIVE_UP = 3
"""Items without a reply after which nothing more is asked: the endpoint is down, not the item odd."""

PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")
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

    The file has one JSON line for each reply, appended and flushed as soon as the reply is there, so that a run that is
    killed loses none; a last line that was cut short by that is dropped when the file is opened again. To be used as
    ``with store:`` around additions; any other process that opens the same file gets a NegutilError. Raises one too for
    a file that is not of this kind or cannot be written.
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
                raise NegutilError(f"{self.path} cannot be used ({problem.strerror}): fix the folder.") from problem
            except NegutilError:
                self._lock.release()
                raise
        return self

    def __exit__(self, *raised: object) -> None:
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
        """Keep a reply; the first one for a key stays. A line is written whole or not at all."""
        with self._mutex:
            if key in self._replies:
                return
            if self._stream is not None:
                start = self._stream.seek(0, os.SEEK_END)
                line = json.dumps({"key": key, **asdict(reply)}).encode() + b"\n"
                written = 0
                with contextlib.suppress(OSError):
                    written = self._stream.write(line)
                if written != len(line):
                    with contextlib.suppress(OSError):
                        self._stream.truncate(start)
                    raise NegutilError(f"{self.path} could not be written to: free some space or fix the folder.")
            self._keep(key, reply)

    def tokens(self) -> tuple[int, int]:
        """Tokens of all prompts and of all replies that are kept, those of earlier runs included."""
        return self._tokens

    def _keep(self, key: str, reply: Reply) -> None:
        if key not in self._replies:
            self._replies[key] = reply
            sent, replied = self._tokens
            self._tokens = sent + reply.prompt_tokens, replied + reply.completion_tokens

    def _load(self, path: Path) -> None:
        """Read the file, cut off what follows the last whole line, and open it for appending."""
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        *lines, rest = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                fields = json.loads(line)
                self._keep(str(fields.pop("key")), Reply(**fields))
            except (ValueError, TypeError, KeyError, AttributeError) as problem:
                raise _foreign(path, number) from problem
        # Only a line of ours may be cut off: somebody else's file stays as it is.
        if not rest.startswith(_START[: len(rest)]):
            raise _foreign(path, len(lines) + 1)
        # Unbuffered, so that each reply is with the operating system as soon as it is added.
        self._stream = cast(BinaryIO, path.open("ab", buffering=0))
        self._stream.truncate(whole)


def _foreign(path: Path, number: int) -> NegutilError:
    fix = "delete the line, or give another file"
    return NegutilError(f"{path}: line {number} is not a saved reply; {fix}.")


@dataclass(frozen=True, slots=True)
class Endpoint(files.Settings):
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


class _AskAgainError(Exception):
    """An attempt failed in a way that may pass; ``wait`` is how many seconds the server wants to be left alone.

    ``elsewhere`` says that another server is up, so that there is nothing to wait for.
    """

    def __init__(self, problem: str, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.wait = wait
        self.elsewhere = False


class EndpointModel:
    """A chat model behind an endpoint. Raises NegutilError if the API key is wanted and not there."""

    def __init__(self, settings: Endpoint) -> None:
        self.settings = settings
        self.name = settings.model
        self.store = ReplyStore(Path(settings.resume) if settings.resume else None)
        self._asked: Counter[str] = Counter()
        _key(settings)

    def replies(self, chats: Sequence[Chat], sampling: Sampling) -> list[str]:
        """The reply to each chat, in order; those kept from before are not asked for again.

        Equal chats are separate draws, in one call or over several, unless sampling is greedy: then they are asked
        once. So a run that resumes from a file has to ask the same in the same order to find its replies again.
        Raises NegutilError if some item got no reply; all replies that came are kept.
        """
        requests = _requests(chats, sampling, self.settings, self._asked)
        wanted = {request.key: request for request in requests}
        with self.store:
            missing = [request for key, request in wanted.items() if key not in self.store]
            if missing:
                self._ask_all(missing, total=len(wanted))
            return [self.store[request.key].text for request in requests]

    def cost(self) -> float:
        """What the kept replies have cost, at the prices of the settings."""
        sent, replied = self.store.tokens()
        return (sent * self.settings.price_in + replied * self.settings.price_out) / 1e6

    def _ask_all(self, missing: Sequence[_Request], total: int) -> None:
        """Ask many at a time, until all have come or GIVE_UP of them have failed."""
        stop, settings, failures = threading.Event(), self.settings, list[str]()
        servers = Pool(settings.urls, settings.concurrency, settings.rest if len(settings.urls) > 1 else 0.0)
        at_once = settings.concurrency * len(settings.urls)
        key = _key(settings)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=at_once)
        client = httpx.Client(headers=headers, timeout=settings.timeout, limits=limits)
        bar = progress.bar("asking questions", total=total, initial=total - len(missing), unit="reply")
        with client, bar, ThreadPoolExecutor(at_once) as pool:
            futures = [pool.submit(self._ask, client, servers, request, stop) for request in missing]
            try:
                for future in as_completed(futures):
                    problem = future.exception()
                    if isinstance(problem, NegutilError):
                        failures.append(str(problem))
                    elif problem is not None:
                        raise problem
                    else:
                        bar.update()
                    tokens = "{} tokens in, {} out".format(*self.store.tokens())
                    cost = f", cost {self.cost():.2f}" if settings.price_in or settings.price_out else ""
                    bar.set_postfix_str(f"{tokens}{cost}", refresh=False)
                    if len(failures) >= GIVE_UP:
                        break
            finally:
                # Reached early after an error or an interruption: nobody sleeps on, nothing new is asked.
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        if failures:
            came = sum(request.key in self.store for request in missing)
            kept = f"{came} of {len(missing)} replies came and are kept"
            raise NegutilError(f"{settings.name}: {failures[0]}; {kept}: fix that and run again.")

    def _ask(self, client: httpx.Client, servers: Pool, request: _Request, stop: threading.Event) -> None:
        """Ask for one reply until it comes, and keep it; raises NegutilError if it does not.

        Images go as base64 data URLs.
        """
        settings, sampling, picture = self.settings, request.sampling, request.chat.picture
        messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in request.chat.turns]
        if picture is not None:
            url = f"data:{_media_type(picture)};base64,{base64.b64encode(picture.read_bytes()).decode()}"
            text = {"type": "text", "text": messages[-1]["content"]}
            messages[-1]["content"] = [{"type": "image_url", "image_url": {"url": url}}, text]
        body = {"model": settings.model, "messages": messages, "temperature": sampling.temperature}
        body |= {"top_p": sampling.top_p, "max_tokens": sampling.tokens}
        body |= {"stop": list(sampling.stop)} if sampling.stop else {}
        body |= {} if settings.seed is None else {"seed": settings.seed + request.draw}
        body |= dict(settings.extra)
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_AskAgainError),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(settings.attempts), tenacity.stop_when_event_set(stop)),
            wait=_waiting(settings),
            sleep=tenacity.sleep_using_event(stop),
            reraise=True,
        )

        def attempt() -> Reply:
            with servers.take() as server:
                try:
                    reply = _attempt(client, server.url, body, settings)
                except _AskAgainError as problem:
                    problem.elsewhere = servers.failed(server) and len(servers.servers) > 1
                    raise
                servers.answered(server)
                return reply

        try:
            self.store.add(request.key, attempts(attempt))
        except _AskAgainError as problem:
            told = f"item {request.item} got no reply in {settings.attempts} attempts ({problem})"
            raise NegutilError(told) from None


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
        """An endpoint for one attempt, waited for while all that are up are busy: the next in turn that is not full."""
        with self._free:
            while True:
                now = time.monotonic()
                up = [each for each in self.servers if each.rests_until <= now]
                up = up or [min(self.servers, key=lambda each: each.rests_until)]
                turn = self.servers[self._next :] + self.servers[: self._next]
                chosen = next((each for each in turn if each in up and each.under_way < self._concurrency), None)
                if chosen is not None:
                    break
                self._free.wait(timeout=1.0)
            self._next = (self.servers.index(chosen) + 1) % len(self.servers)
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


@dataclass(frozen=True, slots=True)
class _Request:
    """One question: its number in the batch, its key in the store, and which draw of equal questions it is."""

    item: int
    key: str
    chat: Chat
    sampling: Sampling
    draw: int


def _waiting(settings: Endpoint) -> Callable[[tenacity.RetryCallState], float]:
    """Seconds before the next attempt: what the server asks for, and on top a random time that grows twofold."""
    jitter = tenacity.wait_random_exponential(multiplier=settings.first_wait, max=settings.longest_wait)

    def wait(state: tenacity.RetryCallState) -> float:
        problem = state.outcome.exception() if state.outcome else None
        if not isinstance(problem, _AskAgainError):
            return jitter(state)
        return 0.0 if problem.elsewhere else problem.wait + jitter(state)

    return wait


def _requests(chats: Sequence[Chat], sampling: Sampling, settings: Endpoint, counts: Counter[str]) -> list[_Request]:
    """The questions with their keys: sha256 of model, conversation, image and all settings that shape the reply.

    ``counts`` holds how often each question came before, and is brought up to date. Raises NegutilError for an image
    that cannot be read or has a format that endpoints do not take.
    """
    shown = sorted({chat.picture for chat in chats if chat.picture is not None})
    for picture in shown:
        _media_type(picture)
    pictures = {picture: files.sha256(picture) for picture in shown}
    shape = [settings.model, asdict(sampling), settings.seed, dict(settings.extra)]
    requests = []
    for item, chat in enumerate(chats):
        picture_sha256 = pictures[chat.picture] if chat.picture else None
        question = files.text_sha256(json.dumps([*shape, chat.turns, picture_sha256], sort_keys=True))
        draw = counts[question] if sampling.temperature > 0 else 0
        counts[question] += 1
        requests.append(_Request(item, files.text_sha256(f"{question}/{draw}"), chat, sampling, draw))
    return requests


def _media_type(picture: Path) -> str:
    kind = mimetypes.guess_type(picture.name)[0]
    if kind not in PICTURES:
        raise NegutilError(f"{picture} is not an image that endpoints accept: give a JPEG, PNG, WebP or GIF file.")
    return kind


def _key(settings: Endpoint) -> str:
    """The API key, read again each time and kept nowhere; "" where none is needed."""
    name = settings.key_variable
    key = os.environ.get(name, "").strip() if name else ""
    if name and not (key and key.isascii() and key.isprintable()):
        raise NegutilError(f"The environment variable {name} has no API key: set it, or leave key_variable empty.")
    return key


def _attempt(client: httpx.Client, url: str, body: Mapping[str, Any], settings: Endpoint) -> Reply:
    """One attempt; raises _AskAgainError if another may help, and NegutilError where none will."""
    try:
        response = client.post(f"{url}/chat/completions", json=body)
    except httpx.RequestError as problem:
        raise _AskAgainError(type(problem).__name__) from None
    if not response.is_success:
        text, key = " ".join(response.text.split()), _key(settings)
        # The beginning of what the server says, on one line and without the key.
        told = f"HTTP {response.status_code} {(text.replace(key, '***') if key else text)[:200]}".strip()
        if response.status_code not in AGAIN and response.status_code < 500:
            raise NegutilError(told)
        wait = download.retry_after(response.headers.get("Retry-After", ""))
        if wait > settings.longest_wait:
            raise NegutilError(f"{told}: the server requests a pause of {wait:.0f} s, more than longest_wait")
        raise _AskAgainError(told, wait)
    try:
        content = response.json()
        choice, used = content["choices"][0], content.get("usage") or {}
        text, finish = choice["message"]["content"], choice.get("finish_reason")
        sent, replied = (int(used.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _AskAgainError("the reply is no chat completion") from None
    if not isinstance(text, str | None):
        raise _AskAgainError("the reply has no text")
    # A refusal, or a reply that was all thought and no text, comes as null: it is a reply, and an empty one.
    return Reply(text or "", sent, replied, str(finish or ""))
