"""Kept replies: whole lines only, whenever the writing stops."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil.captions.endpoint_annotator import Reply, ReplyStore
from negutil.errors import NegutilError

REPLIES = {f"key {index}": Reply(f"größe {index}\n\u2028", index, 2 * index, "stop") for index in range(5)}


def filled(path: Path) -> ReplyStore:
    store = ReplyStore(path)
    with store:
        for key, reply in REPLIES.items():
            store.add(key, reply)
    return store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "kept.jsonl"
    filled(path)
    return path


def test_replies_are_found_again(whole: Path) -> None:
    store = ReplyStore(whole)
    with store:
        assert len(store) == 5
        assert all(store[key] == reply for key, reply in REPLIES.items())
    assert store.tokens() == (10, 20)


@settings(max_examples=40)
@given(st.data())
def test_wherever_the_file_breaks_off_all_whole_lines_are_kept(whole: Path, data: st.DataObject) -> None:
    content = whole.read_bytes()
    at = data.draw(st.integers(0, len(content)))
    path = whole.with_name("cut.jsonl")
    path.write_bytes(content[:at])
    store = ReplyStore(path)
    with store:
        assert len(store) == content[:at].count(b"\n")
        for key, reply in REPLIES.items():
            store.add(key, reply)
    assert path.read_bytes() == content


def test_the_first_reply_stays_and_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    store = ReplyStore(path)
    with store:
        store.add("a", Reply("first", 1, 1))
        store.add("a", Reply("second", 5, 5))
    assert store["a"].text == "first" and store.tokens() == (1, 1)
    assert path.read_bytes().count(b"\n") == 1


def test_a_reply_is_on_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with ReplyStore(path) as store:
        store.add("a", Reply("said"))
        assert json.loads(path.read_text())["text"] == "said"


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    with ReplyStore(path) as store:

        def add_fifty(start: int) -> None:
            for number in range(start, start + 50):
                store.add(f"{number}", Reply("x" * 500))

        threads = [threading.Thread(target=add_fifty, args=(start,)) for start in range(0, 400, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(int(json.loads(line)["key"]) for line in path.read_text().splitlines()) == list(range(400))


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    filled(path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ReplyStore(path) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, hard))
        try:
            with pytest.raises(NegutilError, match=r"kept\.jsonl could not be written to: free some space"):
                store.add("new", Reply("said"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == before
        assert "new" not in store
        store.add("new", Reply("said"))
    assert path.read_bytes().count(b"\n") == 6


@pytest.mark.parametrize("content", ["filepath,captions\na.jpg,dog\n", '{"profile": "mini"}', "one line\n{"])
def test_a_file_of_another_kind_is_left_alone_and_not_locked(tmp_path: Path, content: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(content)
    first = ReplyStore(path)
    for store in (first, ReplyStore(path)):
        with pytest.raises(NegutilError, match=r"settings\.json: line 1 is not a saved reply"), store:
            pass
    assert path.read_text() == content


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NegutilError, match="cannot be used"), ReplyStore(tmp_path / "file" / "kept.jsonl"):
        pass
