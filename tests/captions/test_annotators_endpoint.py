"""The endpoint client against a real server that answers, stalls, fails and breaks: nothing lost, nothing doubled."""

from __future__ import annotations

import base64
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tenacity
from chat_server import Act, ChatServer, completion, echo, serve
from PIL import Image

from negutil.captions import annotators, endpoint_annotator
from negutil.captions.endpoint_annotator import GIVE_UP, Endpoint, EndpointModel
from negutil.captions.prompts import Chat, Sampling
from negutil.errors import NegutilError

GREEDY = Sampling(tokens=16)
DRAWN = Sampling(temperature=0.8, tokens=16, stop=("\n\n",))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with serve() as running:
        yield running


def model(server: ChatServer, **settings: object) -> EndpointModel:
    values: dict = {"timeout": 5.0, "first_wait": 0.01, "longest_wait": 2.0, **settings}
    return EndpointModel(Endpoint(server.url, "tiny", **values))


def chats(count: int) -> list[Chat]:
    return [Chat((("system", "short"), ("user", f"question {index}"))) for index in range(count)]


def expected(count: int) -> list[str]:
    return [f"re: question {index}" for index in range(count)]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_replies_come_in_order_however_late_each_is_and_never_too_many_at_a_time() -> None:
    rng = random.Random("late")
    waits = {f"question {index}": rng.random() / 20 for index in range(30)}
    with serve(lambda asked, attempt: Act(body=completion(f"re: {asked}"), wait=waits[asked])) as server:
        assert model(server, concurrency=4).replies(chats(30), GREEDY) == expected(30)
    assert 1 < server.busiest <= 4
    assert len(server.bodies) == 30


TROUBLES = (
    Act(429, headers={"Retry-After": "0"}),
    Act(500, b"oops"),
    Act(503),
    Act(200, b'{"choices": [{"mess'),
    Act(200, b"[]"),
    Act(200, b'{"choices": []}'),
    Act(200, b'{"choices": [{"message": {"content": 7}}]}'),
    Act(200, completion("half")[:40], promise=100),
    Act(0),
    Act(200, completion("late"), wait=1.0),
)


def test_whatever_goes_wrong_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    def behave(asked: str, attempt: int) -> Act:
        number = int(asked.split()[1])
        return TROUBLES[(number + attempt) % len(TROUBLES)] if attempt < number % 3 else echo(asked, attempt)

    with serve(behave) as server:
        resume = tmp_path / "kept.jsonl"
        found = model(server, concurrency=8, timeout=0.5, resume=resume).replies(chats(40), GREEDY)
    assert found == expected(40)
    kept = lines(resume)
    assert sorted(line["text"] for line in kept) == sorted(expected(40))
    assert len({line["key"] for line in kept}) == 40
    assert all(server.attempts[f"question {index}"] == index % 3 + 1 for index in range(40))


def test_a_retry_after_is_honoured() -> None:
    def behave(asked: str, attempt: int) -> Act:
        return Act(429, headers={"Retry-After": "0.6"}) if attempt == 0 else echo(asked, attempt)

    with serve(behave) as server:
        assert model(server).replies(chats(1), GREEDY) == expected(1)
    (_, first), (_, second) = server.times
    assert second - first >= 0.6


def test_a_server_that_wants_a_long_rest_ends_the_run_at_once() -> None:
    with serve(lambda asked, attempt: Act(429, headers={"Retry-After": "3600"})) as server:
        started = time.monotonic()
        with pytest.raises(NegutilError, match=r"requests a pause of 3600 s, more than longest_wait"):
            model(server).replies(chats(1), GREEDY)
        assert time.monotonic() - started < 2
    assert len(server.bodies) == 1


def test_waits_grow_and_vary() -> None:
    wait = endpoint_annotator._waiting(Endpoint("http://x", "m", first_wait=1.0, longest_wait=50.0))
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    longest = []
    for attempt in range(1, 6):
        state.attempt_number = attempt
        drawn = [wait(state) for _ in range(300)]
        assert len(set(drawn)) > 250
        longest.append(max(drawn))
    assert all(2 ** (power - 1) < most <= 2**power for power, most in enumerate(longest))


def test_a_run_goes_on_where_it_was(server: ChatServer, tmp_path: Path) -> None:
    resume = tmp_path / "deep" / "kept.jsonl"
    model(server, resume=resume).replies(chats(5), GREEDY)
    again = model(server, resume=resume)
    assert again.replies(chats(8), GREEDY) == expected(8)
    assert len(server.bodies) == 8
    assert len(lines(resume)) == 8


def test_a_last_line_that_was_cut_short_is_asked_again(server: ChatServer, tmp_path: Path) -> None:
    resume = tmp_path / "kept.jsonl"
    model(server, resume=resume, concurrency=1).replies(chats(4), GREEDY)
    content = resume.read_bytes()
    resume.write_bytes(content[:-7])
    assert model(server, resume=resume).replies(chats(4), GREEDY) == expected(4)
    assert len(server.bodies) == 5
    assert [line["text"] for line in lines(resume)] == expected(4)


def test_a_line_of_another_kind_is_named(server: ChatServer, tmp_path: Path) -> None:
    resume = tmp_path / "kept.jsonl"
    resume.write_text('{"caption": "a dog"}\n')
    with pytest.raises(NegutilError, match=r"kept\.jsonl: line 1 is not a saved reply"):
        model(server, resume=resume).replies(chats(1), GREEDY)


CHILD = """
import sys
from negutil.captions.endpoint_annotator import Endpoint, EndpointModel
from negutil.captions.prompts import Chat, Sampling
url, resume = sys.argv[1:]
chats = [Chat((("system", "short"), ("user", f"question {index}"))) for index in range(40)]
EndpointModel(Endpoint(url, "tiny", concurrency=2, resume=resume)).replies(chats, Sampling(tokens=16))
"""


def test_a_killed_run_is_taken_up_by_the_next(tmp_path: Path) -> None:
    resume = tmp_path / "kept.jsonl"
    with serve(lambda asked, attempt: Act(body=completion(f"re: {asked}"), wait=0.05)) as server:
        child = subprocess.Popen([sys.executable, "-c", CHILD, server.url, str(resume)])
        try:
            deadline = time.monotonic() + 60
            while sum(server.answered.values()) < 6 and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        kept = resume.read_bytes().count(b"\n")
        assert 0 < kept < 40
        asked_before = len(server.bodies)
        assert model(server, resume=resume).replies(chats(40), GREEDY) == expected(40)
        assert len(server.bodies) - asked_before == 40 - kept
    assert len(lines(resume)) == 40


def test_a_second_run_on_the_same_file_is_refused(server: ChatServer, tmp_path: Path) -> None:
    resume = tmp_path / "kept.jsonl"
    first, second = model(server, resume=resume), model(server, resume=resume)
    with first.store, pytest.raises(NegutilError, match=r"kept\.jsonl is in use by another run"):
        second.replies(chats(1), GREEDY)
    assert second.replies(chats(1), GREEDY) == expected(1)


def test_one_hopeless_item_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    bad = {"question 3"}
    with serve(lambda asked, attempt: Act(500) if asked in bad else echo(asked, attempt)) as server:
        resume = tmp_path / "kept.jsonl"
        with pytest.raises(NegutilError, match=r"item 3 got no reply in 2 attempts \(HTTP 500\); 9 of 10 replies came"):
            model(server, attempts=2, resume=resume).replies(chats(10), GREEDY)
        assert len(lines(resume)) == 9
        bad.clear()
        before = len(server.bodies)
        assert model(server, resume=resume).replies(chats(10), GREEDY) == expected(10)
        assert len(server.bodies) == before + 1


def test_a_server_that_is_down_is_not_asked_for_everything() -> None:
    told = r"got no reply in 2 attempts \(HTTP 502\); 0 of 200 replies came"
    with serve(lambda asked, attempt: Act(502)) as server, pytest.raises(NegutilError, match=told):
        model(server, attempts=2, concurrency=2).replies(chats(200), GREEDY)
    assert GIVE_UP * 2 <= len(server.bodies) <= 30


def test_nobody_listening_is_said() -> None:
    with serve() as server:
        pass
    with pytest.raises(NegutilError, match=r"got no reply in 2 attempts \(ConnectError\)"):
        model(server, attempts=2).replies(chats(1), GREEDY)


def test_the_key_is_sent_and_never_said_or_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    secret = "sk-very-secret-0123456789"
    monkeypatch.setenv("A_KEY", f"{secret}\n")
    monkeypatch.setenv("NEGUTIL_NO_PROGRESS", "0")
    good = {"open": False}

    def behave(asked: str, attempt: int) -> Act:
        return echo(asked, attempt) if good["open"] else Act(401, f"Incorrect key: {secret}".encode())

    with serve(behave) as server:
        asking = model(server, key_variable="A_KEY", resume=tmp_path / "kept.jsonl")
        with pytest.raises(NegutilError, match=r"HTTP 401 Incorrect key: \*\*\*") as caught:
            asking.replies(chats(1), GREEDY)
        assert len(server.bodies) == 1
        good["open"] = True
        asking.replies(chats(1), GREEDY)
    assert all(headers["Authorization"] == f"Bearer {secret}" for headers in server.headers)
    told = capfd.readouterr()
    everything = [str(caught.value), repr(asking.settings), repr(vars(asking)), told.out, told.err]
    everything += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(secret in text for text in everything)


def test_a_missing_key_is_named_before_anything_is_asked(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(NegutilError, match=r"The environment variable A_KEY has no API key"):
        model(server, key_variable="A_KEY")
    model(server).replies(chats(1), GREEDY)
    assert "Authorization" not in server.headers[0]


def test_equal_questions_are_separate_draws_unless_greedy(server: ChatServer, tmp_path: Path) -> None:
    same = [Chat((("user", "name any object"),))] * 3
    model(server).replies(same, GREEDY)
    assert len(server.bodies) == 1
    resume = tmp_path / "kept.jsonl"
    asking = model(server, seed=5, resume=resume)
    asking.replies(same, DRAWN)
    asking.replies(same, DRAWN)
    assert sorted(body["seed"] for body in server.bodies[1:]) == [5, 6, 7, 8, 9, 10]
    model(server, seed=5, resume=resume).replies(same * 2, DRAWN)
    assert len(server.bodies) == 7


@pytest.mark.parametrize(
    "changed", [{"model": "other"}, {"seed": 1}, {"extra": {"top_k": 5}}, {"sampling": Sampling(tokens=17)}]
)
def test_replies_are_not_taken_for_those_to_other_settings(server: ChatServer, tmp_path: Path, changed: dict) -> None:
    resume = tmp_path / "kept.jsonl"
    model(server, resume=resume).replies(chats(1), GREEDY)
    sampling = changed.pop("sampling", GREEDY)
    EndpointModel(Endpoint(**{"url": server.url, "model": "tiny", "resume": resume, **changed})).replies(
        chats(1), sampling
    )
    assert len(server.bodies) == 2


def test_the_body_says_how_to_sample(server: ChatServer) -> None:
    model(server, extra={"reasoning_effort": "low"}).replies(chats(1), DRAWN)
    (body,) = server.bodies
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("tiny", 0.8, 1.0, 16)
    assert (body["stop"], body["reasoning_effort"]) == (["\n\n"], "low")
    assert body["messages"][0] == {"role": "system", "content": "short"}


def picture(path: Path, colour: str = "red") -> Path:
    Image.new("RGB", (4, 4), colour).save(path)
    return path


def test_pictures_travel_as_data_urls_and_other_bytes_are_another_question(server: ChatServer, tmp_path: Path) -> None:
    path = picture(tmp_path / "one.png")
    asking = model(server)
    asking.replies([Chat((("user", "what is it"),), path)], GREEDY)
    image, text = server.bodies[0]["messages"][0]["content"]
    kind, _, encoded = image["image_url"]["url"].partition(";base64,")
    assert kind == "data:image/png"
    assert base64.b64decode(encoded) == path.read_bytes()
    assert text == {"type": "text", "text": "what is it"}
    asking.replies([Chat((("user", "what is it"),), picture(path, "blue"))], GREEDY)
    assert len(server.bodies) == 2


def test_what_is_no_picture_is_named_before_anything_is_asked(server: ChatServer, tmp_path: Path) -> None:
    clip = tmp_path / "video0.mp4"
    clip.write_bytes(b"x")
    for wrong, problem in ((clip, "is not an image that endpoints accept"), (tmp_path / "gone.jpg", "cannot be read")):
        with pytest.raises(NegutilError, match=rf"{wrong.name} {problem}"):
            model(server).replies([*chats(2), Chat((("user", "what"),), wrong)], GREEDY)
    assert not server.bodies


def test_a_refusal_is_an_empty_reply() -> None:
    with serve(lambda asked, attempt: Act(body=completion(None))) as server:
        assert model(server).replies(chats(1), GREEDY) == [""]


def test_tokens_and_cost_are_told_those_of_earlier_runs_included(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("NEGUTIL_NO_PROGRESS", "0")
    prices = {"price_in": 100_000.0, "price_out": 200_000.0, "resume": tmp_path / "kept.jsonl"}
    model(server, **prices).replies(chats(2), GREEDY)
    asking = model(server, **prices)
    asking.replies(chats(4), GREEDY)
    assert asking.store.tokens() == (12, 8)
    assert asking.cost() == pytest.approx(12 * 0.1 + 8 * 0.2)
    assert "12 tokens in, 8 out, cost 2.80" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "localhost:8000/v1", "model": "m"}, "starts with http"),
        ({"url": "http://x", "model": "m", "concurrency": 0}, "concurrency 0"),
        ({"url": "http://x", "model": "m", "tiemout": 3}, "'tiemout' is unknown"),
        ({"url": "http://x"}, "missing"),
        ({"url": "http://x", "model": "m", "timeout": "long"}, "timeout is 'long'"),
        ({"url": "http://x", "model": "m", "prompts": "mine"}, "no prompts 'mine'"),
    ],
)
def test_wrong_settings_are_named(settings: dict, problem: str) -> None:
    with pytest.raises(NegutilError, match=problem):
        annotators.build({"kind": "endpoint", **settings})


def test_an_annotator_through_an_endpoint(tmp_path: Path) -> None:
    def behave(asked: str, attempt: int) -> Act:
        if asked.startswith("Is there"):
            return Act(body=completion("Yes." if "a dog" in asked else "I am not sure"))
        text = '["dog", "ball"]' if "a dog with a ball" in asked else "Sorry?"
        return Act(body=completion(text))

    with serve(behave) as server:
        built = annotators.build({"kind": "endpoint", "url": server.url, "model": "tiny"})
        assert built.name == "tiny"
        assert built.extract(["a dog with a ball", "hm"]) == [["dog", "ball"], []]
        path = picture(tmp_path / "one.png")
        assert built.shows([path, path], ["dog", "cat"]) == [True, None]
