"""Downloads against a real server that cuts, stalls, redirects, ignores ranges, lies and refuses."""

from __future__ import annotations

import functools
import hashlib
import os
import random
import threading
from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from file_server import Act, FileServer, serve

from negutil.data import download
from negutil.data.download import Settings, Wanted
from negutil.errors import NegutilError

FAST = Settings(connect=2.0, stall=0.4, attempts=3, first_wait=0.01, longest_wait=1.0, reserve=0)
CONTENT = random.Random(0).randbytes(300_000)
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()
PATH = "/data.bin"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve() as served:
        served.files[PATH] = CONTENT
        served.tags[PATH] = '"one"'
        yield served


def get(server: FileServer, folder: Path, path: str = PATH, **facts: object) -> Path:
    return download.fetch(Wanted(server.url + path, **facts), folder / "data.bin", FAST)  # type: ignore[arg-type]


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_whole_and_nothing_else_is_left(server: FileServer, tmp_path: Path) -> None:
    got = get(server, tmp_path / "new" / "folder", sha256=SHA256, md5=MD5, bytes=len(CONTENT))
    assert got.read_bytes() == CONTENT
    assert left(got.parent) == {"data.bin"}


def test_what_was_cut_goes_on_from_there(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(cut=100_000), Act(cut=50_000)]
    assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, "bytes=100000-", "bytes=150000-"]
    assert server.requests[1][1]["If-Range"] == '"one"'


def test_a_later_call_goes_on_with_what_an_earlier_one_left(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(cut=100_000), *[Act(cut=0)] * 3]
    with pytest.raises(NegutilError, match=r"3 times in a row: the finished part is kept"):
        get(server, tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:100_000]
    assert not (tmp_path / "data.bin").exists()
    assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges(PATH)[-1] == "bytes=100000-"


def test_a_stalled_server_is_left_and_asked_for_the_rest(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(cut=200_000, stall=1.5)]
    assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT
    assert server.ranges(PATH) == [None, "bytes=200000-"]
    assert server.times[1] - server.times[0] < 1.4


def test_a_server_without_ranges_starts_over(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(cut=100_000), Act(ranges=False)]
    assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT


def test_a_server_without_ranges_that_always_cuts_is_given_up(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(cut=100_000, ranges=False)] * 10
    with pytest.raises(NegutilError, match="3 times in a row"):
        get(server, tmp_path)
    assert len(server.requests) == 4


def test_another_file_under_the_address_is_not_mixed_with_the_first(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(cut=100_000), *[Act(cut=0)] * 3]
    with pytest.raises(NegutilError):
        get(server, tmp_path)
    server.files[PATH], server.tags[PATH] = b"x" * 200_000, '"two"'
    assert get(server, tmp_path).read_bytes() == b"x" * 200_000


def test_what_was_begun_from_another_address_is_not_used(server: FileServer, tmp_path: Path) -> None:
    server.files["/other.bin"] = b"y" * 300_000
    server.acts["/other.bin"] = [Act(cut=100_000), *[Act(cut=0)] * 3]
    with pytest.raises(NegutilError):
        get(server, tmp_path, "/other.bin")
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_part_that_was_whole_already_is_taken(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(cut=100_000), *[Act(cut=0)] * 3]
    with pytest.raises(NegutilError):
        get(server, tmp_path)
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert get(server, tmp_path, sha256=SHA256).read_bytes() == CONTENT


def test_redirects_are_followed_and_rounds_are_not(server: FileServer, tmp_path: Path) -> None:
    server.acts["/moved"] = [Act(status=302, headers={"Location": PATH}, body=b"")]
    assert get(server, tmp_path, "/moved").read_bytes() == CONTENT
    server.acts["/round"] = [Act(status=302, headers={"Location": "/round"}, body=b"")] * 20
    with pytest.raises(NegutilError, match="leads nowhere"):
        get(server, tmp_path / "other", "/round")


def test_a_wrong_checksum_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    server.files[PATH] = CONTENT[:-1] + b"?"
    for facts in ({"sha256": SHA256}, {"md5": MD5}):
        with pytest.raises(NegutilError, match=r"has (sha256|md5) \w+ instead of \w+, so it was deleted"):
            get(server, tmp_path, **facts)
        assert left(tmp_path) <= {".data.bin.lock"}


def test_a_file_of_another_size_is_not_even_begun(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="has 300000 bytes instead of 7"):
        get(server, tmp_path, bytes=7)
    assert not (tmp_path / "data.bin.part").exists()


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/zip"])
def test_a_web_page_in_place_of_a_file_is_seen(kind: str, server: FileServer, tmp_path: Path) -> None:
    page = b"\n<!DOCTYPE html><title>Quota exceeded</title>"
    server.acts[PATH] = [Act(headers={"Content-Type": kind}, body=page)]
    with pytest.raises(NegutilError, match="web page instead of a file"):
        get(server, tmp_path)
    assert left(tmp_path) <= {".data.bin.lock"}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "no longer exists"),
        (410, "no longer exists"),
        (403, "permission"),
        (401, "HF_TOKEN"),
        (418, "is not a file"),
    ],
)
def test_a_refusal_is_final_and_told(status: int, told: str, server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(status=status, body=b"no")] * 5
    with pytest.raises(NegutilError, match=told):
        get(server, tmp_path)
    assert len(server.requests) == 1


def test_a_server_that_is_busy_is_asked_again_when_it_says(server: FileServer, tmp_path: Path) -> None:
    busy = Act(status=429, headers={"Retry-After": "1"}, body=b"")
    server.acts[PATH] = [Act(status=503, body=b""), busy]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.times[2] - server.times[1] >= 1.0


def test_nobody_waits_for_an_hour(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(status=429, headers={"Retry-After": "3600"}, body=b"")]
    with pytest.raises(NegutilError, match="asks to wait 3600 s"):
        get(server, tmp_path)


def test_retry_after_is_a_number_or_a_date() -> None:
    from datetime import UTC, datetime, timedelta

    assert download.retry_after("7") == 7
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < download.retry_after(soon) <= 30
    assert download.retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for nonsense in ("", "whenever", "nan", "-3"):
        assert download.retry_after(nonsense) == 0


def test_too_small_a_disk_is_seen_before_anything_is_written(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(promise=10**17)]
    with pytest.raises(NegutilError, match=r"needs 100000000\.00 GB .* free some space"):
        get(server, tmp_path)
    assert not (tmp_path / "data.bin.part").exists()


def test_room_for_unpacking_counts(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match="free some space"):
        download.fetch(Wanted(server.url + PATH), tmp_path / "data.bin", FAST, room=1e12)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_told_and_the_part_stays(server: FileServer, tmp_path: Path) -> None:
    part = tmp_path / "data.bin.part"
    part.symlink_to("/dev/full")
    with pytest.raises(NegutilError, match="the disk is full; free some space and start again"):
        get(server, tmp_path)
    assert part.is_symlink()
    assert not (tmp_path / "data.bin").exists()


def test_a_server_that_is_not_there_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(NegutilError, match=r"ConnectError.*3 times in a row"):
        download.fetch(Wanted("http://127.0.0.1:9/x"), tmp_path / "x", FAST)


def test_two_at_once_do_not_mix(server: FileServer, tmp_path: Path) -> None:
    server.acts[PATH] = [Act(cut=1000, stall=0.3)]
    first = threading.Thread(target=get, args=(server, tmp_path))
    first.start()
    while not server.requests:
        pass
    with pytest.raises(NegutilError, match="another process"):
        get(server, tmp_path)
    first.join()
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


SECRET = "hf_secret_of_this_test"


def test_a_token_goes_to_its_own_host_alone_and_is_never_told(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.delenv("NEGUTIL_NO_PROGRESS")
    monkeypatch.setitem(download.TOKENS, server.url, "HF_TOKEN")
    with serve() as other:
        other.files["/stored"] = CONTENT
        server.acts["/model"] = [
            Act(status=302, headers={"Location": f"{other.url}/stored?signature=s3cr3t"}, body=b"")
        ]
        get(server, tmp_path, "/model")
        assert server.requests[0][1]["Authorization"] == f"Bearer {SECRET}"
        assert "Authorization" not in other.requests[0][1]
        get(other, tmp_path / "plain", "/stored")
        assert "Authorization" not in other.requests[1][1]
        other.acts["/stored"] = [Act(status=403, body=b"")]
        with pytest.raises(NegutilError) as caught:
            get(other, tmp_path / "refused", "/stored?signature=s3cr3t")
    told = str(caught.value) + "".join(capfd.readouterr())
    told += "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*.json"))
    assert "403" in told
    assert SECRET not in told
    assert "s3cr3t" not in told


def test_nobody_is_led_from_https_to_http() -> None:
    check = functools.partial(download._refuse_step_down, "https://example.org/a?key=s3cr3t")
    check(httpx.Request("GET", "https://example.net/a"))
    with pytest.raises(NegutilError, match=r"^https://example\.org/a leads to example\.com without https"):
        check(httpx.Request("GET", "http://example.com/a"))


def test_folders_that_cannot_be_written_are_told(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NegutilError, match="cannot be written"):
        get(server, tmp_path / "file")


def test_the_digest_is_that_of_the_standard_tools(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    assert download.digest(tmp_path / "a", "sha256") == SHA256
    assert download.digest(tmp_path / "a", "md5") == MD5
    assert (
        download.free_bytes(tmp_path / "not" / "there") <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    )
