"""Language and vision models behind any OpenAI-compatible endpoint (vLLM and the like).

Many questions at a time up to a bound, with time-outs, and retries that wait longer and longer (at random, and at least
as long as the server asks). Several servers of one model share the questions, and those of one that dies go to the
others (``endpoint_pool``). Replies are kept as they come (``reply_store``), whoever gave them: a run that stops, for
whatever reason, goes on where it was. NegBench used such a server (docs/protocols.md#generation).
"""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import tenacity

from negutil import files, progress
from negutil.captions import annotators
from negutil.captions.endpoint_pool import Pool
from negutil.captions.endpoint_settings import Endpoint
from negutil.captions.prompts import Chat, Sampling
from negutil.captions.reply_store import Reply, ReplyStore
from negutil.errors import NegutilError

AGAIN = frozenset({408, 409, 425, 429})
"""Status codes below 500 that a later attempt may not meet."""

GIVE_UP = 3
"""Items without a reply after which nothing more is asked: the endpoint is down, not the item odd."""

PICTURES = ("image/jpeg", "image/png", "image/webp", "image/gif")


class _AskAgainError(Exception):
    """An attempt failed in a way that may pass; ``wait`` is how many seconds the server wants to be left alone.

    ``elsewhere`` says that another server is up, so that there is nothing to wait for.
    """

    def __init__(self, problem: str, wait: float = 0.0) -> None:
        super().__init__(problem)
        self.wait = wait
        self.elsewhere = False


class EndpointModel:
    """A chat model behind an endpoint. Raises NegutilError where the API key is wanted and not there."""

    def __init__(self, settings: Endpoint) -> None:
        self.settings = settings
        self.name = settings.model
        self.store = ReplyStore(Path(settings.resume) if settings.resume else None)
        self._asked: Counter[str] = Counter()
        _key(settings)

    def replies(self, chats: Sequence[Chat], sampling: Sampling) -> list[str]:
        """The reply to each chat, in order; those kept from before are not asked for again.

        Equal chats are separate draws, in one call or over several, unless sampling is greedy: then they are asked
        once. So a run that goes on with a resume file has to ask the same in the same order to find its replies again.
        Raises NegutilError where some item got no reply; all replies that came are kept.
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
        asked, replied = self.store.tokens()
        return (asked * self.settings.price_in + replied * self.settings.price_out) / 1e6

    def _ask_all(self, missing: Sequence[_Request], total: int) -> None:
        stop = threading.Event()
        bar = progress.bar("asking questions", total=total, initial=total - len(missing), unit="reply")
        settings = self.settings
        servers = Pool(settings.urls, settings.concurrency, settings.rest if len(settings.urls) > 1 else 0.0)
        threads = ThreadPoolExecutor(settings.concurrency * len(settings.urls))
        with _client(settings) as client, bar, threads as pool:
            asked = [pool.submit(self._ask, client, servers, request, stop) for request in missing]
            try:
                failures = self._gather(asked, bar)
            finally:
                # Reached early after an error or an interruption: nobody sleeps on, nothing new is asked.
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
        if failures:
            kept = (
                f"{sum(request.key in self.store for request in missing)} of {len(missing)} replies came and are kept"
            )
            raise NegutilError(f"{self.settings.name}: {failures[0]}; {kept}: mend that and run again.")

    def _gather(self, asked: Sequence[Future[None]], bar: Any) -> list[str]:
        """Wait for all, or until too many have failed; what the failures were."""
        failures: list[str] = []
        for future in as_completed(asked):
            problem = future.exception()
            if isinstance(problem, NegutilError):
                failures.append(str(problem))
            elif problem is not None:
                raise problem
            else:
                bar.update()
            bar.set_postfix_str(self._progress(), refresh=False)
            if len(failures) >= GIVE_UP:
                break
        return failures

    def _progress(self) -> str:
        asked, replied = self.store.tokens()
        cost = f", cost {self.cost():.2f}" if self.settings.price_in or self.settings.price_out else ""
        return f"{asked} tokens in, {replied} out{cost}"

    def _ask(self, client: httpx.Client, servers: Pool, request: _Request, stop: threading.Event) -> None:
        """Ask for one reply until it comes, and keep it; raises NegutilError where it does not."""
        settings, body = self.settings, _body(request, self.settings)
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_AskAgainError),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(settings.attempts), tenacity.stop_when_event_set(stop)),
            wait=_Wait(settings),
            sleep=tenacity.sleep_using_event(stop),
            reraise=True,
        )
        try:
            self.store.add(request.key, attempts(_attempt_somewhere, client, servers, body, settings))
        except _AskAgainError as problem:
            raise NegutilError(
                f"item {request.item} got no reply in {settings.attempts} attempts ({problem})"
            ) from None


def from_settings(options: Mapping[str, Any]) -> EndpointModel:
    """A model behind an endpoint from the fields of ``Endpoint``; raises NegutilError for wrong ones."""
    return EndpointModel(annotators.checked(Endpoint, options, "annotator endpoint"))


@dataclass(frozen=True, slots=True)
class _Request:
    """One question: its number in the batch, its key in the store, and which draw of equal questions it is."""

    item: int
    key: str
    chat: Chat
    sampling: Sampling
    draw: int


class _Wait(tenacity.wait.wait_base):
    """Seconds before the next attempt: what the server asks for, and on top a random time that grows twofold."""

    def __init__(self, settings: Endpoint) -> None:
        self._jitter = tenacity.wait_random_exponential(multiplier=settings.first_wait, max=settings.longest_wait)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        problem = retry_state.outcome.exception() if retry_state.outcome else None
        if not isinstance(problem, _AskAgainError):
            return self._jitter(retry_state)
        return 0.0 if problem.elsewhere else problem.wait + self._jitter(retry_state)


def _requests(chats: Sequence[Chat], sampling: Sampling, settings: Endpoint, asked: Counter[str]) -> list[_Request]:
    """The questions with their keys: sha256 of model, conversation, picture and all settings that shape the reply.

    ``asked`` counts how often each question came before, and is brought up to date. Raises NegutilError for a picture
    that cannot be read or has a format that endpoints do not take.
    """
    pictures = {chat.picture: _fingerprint(chat.picture) for chat in chats if chat.picture is not None}
    shape = [settings.model, asdict(sampling), settings.seed, dict(settings.extra)]
    requests = []
    for item, chat in enumerate(chats):
        picture = pictures[chat.picture] if chat.picture else None
        question = _sha256(json.dumps([*shape, chat.turns, picture], sort_keys=True))
        draw = asked[question] if sampling.temperature > 0 else 0
        asked[question] += 1
        requests.append(_Request(item, _sha256(f"{question}/{draw}"), chat, sampling, draw))
    return requests


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _fingerprint(picture: Path) -> str:
    _media_type(picture)
    return files.sha256(picture)


def _media_type(picture: Path) -> str:
    kind = mimetypes.guess_type(picture.name)[0]
    if kind not in PICTURES:
        raise NegutilError(f"{picture} is no picture that endpoints take: give a JPEG, PNG, WebP or GIF file.")
    return kind


def _body(request: _Request, settings: Endpoint) -> dict[str, Any]:
    """The body of the request, pictures as base64 data URLs."""
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in request.chat.turns]
    picture = request.chat.picture
    if picture is not None:
        encoded = base64.b64encode(picture.read_bytes()).decode()
        url = f"data:{_media_type(picture)};base64,{encoded}"
        text = {"type": "text", "text": messages[-1]["content"]}
        messages[-1]["content"] = [{"type": "image_url", "image_url": {"url": url}}, text]
    sampling = request.sampling
    body = {"model": settings.model, "messages": messages, "temperature": sampling.temperature}
    body |= {"top_p": sampling.top_p, "max_tokens": sampling.tokens}
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if settings.seed is not None:
        body["seed"] = settings.seed + request.draw
    return body | dict(settings.extra)


def _client(settings: Endpoint) -> httpx.Client:
    key = _key(settings)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=settings.concurrency * len(settings.urls))
    return httpx.Client(headers=headers, timeout=settings.timeout, limits=limits)


def _key(settings: Endpoint) -> str:
    """The API key, read anew each time and kept nowhere; "" where none is needed."""
    name = settings.key_variable
    key = os.environ.get(name, "").strip() if name else ""
    if name and not (key and key.isascii() and key.isprintable()):
        raise NegutilError(f"The environment variable {name} holds no API key: set it, or leave key_variable empty.")
    return key


def _attempt_somewhere(client: httpx.Client, servers: Pool, body: Mapping[str, Any], settings: Endpoint) -> Reply:
    """One attempt at the endpoint whose turn it is; raises as ``_attempt`` does."""
    with servers.take() as server:
        try:
            reply = _attempt(client, server.url, body, settings)
        except _AskAgainError as problem:
            problem.elsewhere = servers.failed(server) and len(servers.servers) > 1
            raise
        servers.answered(server)
        return reply


def _attempt(client: httpx.Client, url: str, body: Mapping[str, Any], settings: Endpoint) -> Reply:
    """One attempt; raises _AskAgainError where another may help, and NegutilError where none will."""
    try:
        response = client.post(f"{url}/chat/completions", json=body)
    except httpx.RequestError as problem:
        raise _AskAgainError(type(problem).__name__) from None
    if response.is_success:
        return _reply(response)
    told = f"HTTP {response.status_code} {_said(response, _key(settings))}".strip()
    if response.status_code not in AGAIN and response.status_code < 500:
        raise NegutilError(told)
    wait = _retry_after(response.headers.get("Retry-After", ""))
    if wait > settings.longest_wait:
        raise NegutilError(f"{told}: the server wants {wait:.0f} s of rest, more than longest_wait")
    raise _AskAgainError(told, wait)


def _reply(response: httpx.Response) -> Reply:
    """The reply in a response; raises _AskAgainError where it is broken. Tokens that are not told count as 0."""
    try:
        content = response.json()
        choice, used = content["choices"][0], content.get("usage") or {}
        text, finish = choice["message"]["content"], choice.get("finish_reason")
        asked, replied = (int(used.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _AskAgainError("the reply is no chat completion") from None
    if not isinstance(text, str | None):
        raise _AskAgainError("the reply has no text")
    # A refusal, or a reply that was all thought and no text, comes as null: it is a reply, and an empty one.
    return Reply(text or "", asked, replied, str(finish or ""))


def _said(response: httpx.Response, key: str) -> str:
    """The beginning of what a server says about an error, on one line and without the key."""
    text = " ".join(response.text.split())
    return (text.replace(key, "***") if key else text)[:200]


def _retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 where it cannot be read."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
