"""Several endpoints at once: they share the questions, and when one dies the others answer what it left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from chat_server import Act, ChatServer, completion, echo, serve

from negutil.captions import annotators
from negutil.captions.endpoint_annotator import Endpoint, EndpointModel, Pool
from negutil.captions.prompts import Chat, Sampling
from negutil.errors import NegutilError

GREEDY = Sampling(tokens=16)
Behaviour = Callable[[str, int], Act]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def model(*servers: ChatServer, **settings: object) -> EndpointModel:
    values: dict = {"timeout": 5.0, "first_wait": 0.01, "longest_wait": 0.2, "rest": 0.2, **settings}
    return EndpointModel(Endpoint([server.url for server in servers], "tiny", **values))


def chats(count: int) -> list[Chat]:
    return [Chat((("user", f"question {index}"),)) for index in range(count)]


def expected(count: int) -> list[str]:
    return [f"re: question {index}" for index in range(count)]


def slowly(asked: str, attempt: int) -> Act:
    return Act(body=completion(f"re: {asked}"), wait=0.02)


def test_endpoints_share_the_questions_and_none_gets_too_many_at_a_time() -> None:
    with serve(slowly) as first, serve(slowly) as second, serve(slowly) as third:
        found = model(first, second, third, concurrency=2).replies(chats(60), GREEDY)
    assert found == expected(60)
    servers = (first, second, third)
    assert sum(len(server.bodies) for server in servers) == 60
    assert all(len(server.bodies) >= 10 for server in servers)
    assert all(1 <= server.busiest <= 2 for server in servers)


def test_one_that_dies_midway_loses_nothing(tmp_path: Path) -> None:
    dying = ExitStack()
    reached = threading.Event()

    def dies(asked: str, attempt: int) -> Act:
        if len(mortal.bodies) >= 8:
            reached.set()
            time.sleep(0.2)  # until nobody listens any more; the question under way is lost with the server
            return Act(0)
        return slowly(asked, attempt)

    def bury() -> None:
        reached.wait(30)
        dying.close()

    resume = tmp_path / "kept.jsonl"
    with serve(slowly) as immortal:
        mortal = dying.enter_context(serve(dies))
        undertaker = threading.Thread(target=bury)
        undertaker.start()
        asking = model(mortal, immortal, concurrency=4, resume=resume)
        assert asking.replies(chats(80), GREEDY) == expected(80)
        undertaker.join()
        assert reached.is_set()
        assert sum(mortal.answered.values()) + sum(immortal.answered.values()) == 80
        assert sum(immortal.answered.values()) > 60
        with serve() as spare:
            assert model(spare, resume=resume).replies(chats(80), GREEDY) == expected(80)
    assert not spare.bodies
    assert len(resume.read_text().splitlines()) == 80


def test_one_that_recovers_gets_questions_again() -> None:
    def weak(asked: str, attempt: int) -> Act:
        return Act(503) if len(first.bodies) <= 4 else slowly(asked, attempt)

    with serve(weak) as first, serve(slowly) as second:
        asking = model(first, second, concurrency=2, rest=0.05)
        assert asking.replies(chats(80), GREEDY) == expected(80)
    assert sum(first.answered.values()) > 5


def test_when_all_are_down_the_sentence_names_them_and_what_came_is_kept(tmp_path: Path) -> None:
    def stops(asked: str, attempt: int) -> Act:
        return Act(500, b"out of memory") if int(asked.split()[1]) >= 5 else echo(asked, attempt)

    resume = tmp_path / "kept.jsonl"
    with serve(stops) as first, serve(stops) as second:
        asking = model(first, second, attempts=3, rest=0.01, resume=resume)
        with pytest.raises(NegutilError, match=r"HTTP 500 out of memory.*of 20 replies came and are kept") as caught:
            asking.replies(chats(20), GREEDY)
    assert first.url in str(caught.value) and second.url in str(caught.value)
    kept = len(resume.read_text().splitlines())
    assert kept >= 5
    with serve() as third:
        assert model(third, resume=resume).replies(chats(20), GREEDY) == expected(20)
    assert len(third.bodies) == 20 - kept


def test_turns_go_round_skip_the_resting_and_come_back() -> None:
    pool = Pool(["a", "b", "c"], concurrency=1, rest=60.0)
    with pool.take() as first, pool.take() as second, pool.take() as third:
        assert [first.url, second.url, third.url] == ["a", "b", "c"]
    assert pool.failed(first) is True
    for url in ("b", "c", "b"):
        with pool.take() as server:
            assert server.url == url
    assert pool.failed(second) is True
    assert pool.failed(third) is False
    with pool.take() as server:
        assert server.url == "a"  # nobody is up: the one that has rested longest is tried
        pool.answered(server)
    with pool.take() as server:
        assert server.url == "a"


def test_a_list_of_addresses_comes_from_settings() -> None:
    with serve() as first, serve() as second:
        urls = [first.url + "/", second.url]
        built = annotators.build({"kind": "endpoint", "url": urls, "model": "tiny"})
        assert len(built.paraphrase(["a dog", "a cat", "a cow", "a hen"])) == 4
        assert first.bodies and second.bodies


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ([], "starts with http"),
        (["http://a/v1", "localhost"], "'localhost'"),
        (["http://a/", "http://a"], "repeat one"),
    ],
)
def test_wrong_addresses_are_named(url: list[str], problem: str) -> None:
    with pytest.raises(NegutilError, match=problem):
        Endpoint(url, "tiny")
