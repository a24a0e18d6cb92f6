"""The cache: what goes in comes out, a wrong entry is refused, and no interruption leaves half an entry."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negutil.cache import Cache, settings_sha256
from negutil.errors import NegutilError

FIELDS = {"kind": "images", "code_version": 1, "weights": "ab" * 32, "dtype": "float32"}
ARRAYS: dict[str, np.ndarray] = {"features": np.arange(12, dtype=np.float32).reshape(3, 4), "ids": np.arange(3)}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "arrays")


def stored(cache: Cache) -> str:
    key = cache.key(**FIELDS)
    cache.store(key, ARRAYS, FIELDS)
    return key


def payload(cache: Cache) -> Path:
    (path,) = cache.root.glob("??/*.safetensors")
    return path


def test_settings_of_a_library_have_one_digest_whatever_their_order_and_private_entries() -> None:
    own = {"steps": 2, "betas": [0.1, 0.2], "lambda_min_clipped": float("-inf"), "size": {"height": 4, "width": 5}}
    turned = {**dict(reversed(own.items())), "_use_default_values": ["steps"], "_name_or_path": "/somewhere"}
    assert settings_sha256(turned) == settings_sha256(own)
    assert settings_sha256({**own, "steps": 3}) != settings_sha256(own)


def test_round_trip(cache: Cache) -> None:
    found = cache.load(stored(cache))
    assert found is not None
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_what_is_not_there_is_none(cache: Cache) -> None:
    assert cache.load(cache.key(**FIELDS)) is None


def test_the_sidecar_tells_what_it_is(cache: Cache) -> None:
    sidecar = cache.sidecar(stored(cache))
    assert sidecar["fields"] == FIELDS
    assert sidecar["bytes"] == payload(cache).stat().st_size
    assert {"time", "host", "seconds", "sha256"} <= set(sidecar)


def test_default_root_is_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "elsewhere"))
    assert Cache().root == tmp_path / "elsewhere" / "arrays"


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.booleans()), max_size=4))
@settings(max_examples=50)
def test_keys_depend_on_every_field_and_not_on_order(more: dict[str, object]) -> None:
    cache = Cache(Path("unused"))
    fields = {**FIELDS, **more}
    key = cache.key(**fields)
    assert key == cache.key(**dict(reversed(fields.items())))
    assert key != cache.key(**{**fields, "one more": 1})
    for name in more:
        assert key != cache.key(**{**fields, name: [fields[name]]})


@pytest.mark.parametrize("missing", ["kind", "code_version"])
def test_fields_must_name_kind_and_code_version(cache: Cache, missing: str) -> None:
    with pytest.raises(NegutilError, match=missing):
        cache.key(**{name: value for name, value in FIELDS.items() if name != missing})


def test_fields_must_be_plain_values(cache: Cache) -> None:
    with pytest.raises(NegutilError, match="plain JSON"):
        cache.key(**FIELDS, path=Path("x"))


def test_key_and_fields_must_agree(cache: Cache) -> None:
    with pytest.raises(NegutilError, match="not made from these fields"):
        cache.store(cache.key(**FIELDS), ARRAYS, {**FIELDS, "dtype": "float16"})


def test_a_changed_payload_is_refused(cache: Cache) -> None:
    key = stored(cache)
    data = bytearray(payload(cache).read_bytes())
    data[-1] ^= 1
    payload(cache).write_bytes(data)
    with pytest.raises(NegutilError, match=r"sha256 in its sidecar.*delete it") as caught:
        cache.load(key)
    assert str(payload(cache)) in str(caught.value)


def test_a_cut_payload_is_refused(cache: Cache) -> None:
    key = stored(cache)
    payload(cache).write_bytes(payload(cache).read_bytes()[:-5])
    with pytest.raises(NegutilError, match="sha256"):
        cache.get_or_compute(FIELDS, lambda: pytest.fail(f"{key} was computed again"))


def test_a_sidecar_for_other_fields_is_refused(cache: Cache) -> None:
    key = stored(cache)
    path = cache.sidecar_path(key)
    sidecar = json.loads(path.read_text())
    sidecar["fields"]["dtype"] = "float16"
    path.write_text(json.dumps(sidecar))
    with pytest.raises(NegutilError, match="other settings"):
        cache.load(key)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fields": {}}'])
def test_a_broken_sidecar_is_refused(cache: Cache, text: str) -> None:
    key = stored(cache)
    cache.sidecar_path(key).write_text(text)
    with pytest.raises(NegutilError, match="so it is refused"):
        cache.load(key)


def test_a_missing_payload_is_computed_again(cache: Cache) -> None:
    key = stored(cache)
    payload(cache).unlink()
    assert cache.load(key) is None
    np.testing.assert_array_equal(cache.get_or_compute(FIELDS, lambda: ARRAYS)["ids"], ARRAYS["ids"])
    assert cache.load(key) is not None


def test_computed_once(cache: Cache) -> None:
    calls = []

    def compute() -> dict[str, np.ndarray]:
        calls.append(1)
        return ARRAYS

    for _ in range(3):
        np.testing.assert_array_equal(cache.get_or_compute(FIELDS, compute)["features"], ARRAYS["features"])
    assert len(calls) == 1


def test_a_failed_computation_leaves_nothing(cache: Cache) -> None:
    with pytest.raises(ZeroDivisionError):
        cache.get_or_compute(FIELDS, lambda: {"x": np.array(1 // 0)})
    assert cache.entries() == []
    assert cache.load(cache.key(**FIELDS)) is None


def test_clear_removes_everything_and_says_how_much(cache: Cache) -> None:
    stored(cache)
    size = payload(cache).stat().st_size
    assert cache.clear() >= size
    assert cache.entries() == []
    assert list(cache.root.glob("??")) == []


WRITER = """
import sys, numpy as np
from pathlib import Path
from negutil.cache import Cache
cache = Cache(Path(sys.argv[1]))
fields = {"kind": "images", "code_version": 1, "size": 1}
arrays = {"x": np.ones(int(sys.argv[2]), dtype=np.float32)}
key = cache.key(**fields)
print("ready", flush=True)
while True:
    cache.store(key, arrays, fields)
"""


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.05])
def test_killed_in_mid_write_leaves_a_whole_entry_or_none(tmp_path: Path, delay: float) -> None:
    size = 2_000_000
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), str(size)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    # Wait until a write is really under way, so that the kill lands in the middle of one.
    deadline = time.monotonic() + 20
    while not list(tmp_path.glob("??/.*.part")) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(writer.pid, signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()
    cache = Cache(tmp_path)
    fields = {"kind": "images", "code_version": 1, "size": 1}
    found = cache.get_or_compute(fields, lambda: {"x": np.ones(size, dtype=np.float32)})
    assert found["x"].shape == (size,)
    assert found["x"].min() == found["x"].max() == 1.0
    cache.clear()
    assert list(tmp_path.rglob("*")) == []


RACER = """
import sys, time, numpy as np
from pathlib import Path
from negutil.cache import Cache
root, mark = Path(sys.argv[1]), Path(sys.argv[2])
def compute():
    with mark.open("a") as stream:
        stream.write("computed\\n")
    time.sleep(0.3)
    return {"x": np.random.default_rng().random(1000)}
found = Cache(root).get_or_compute({"kind": "race", "code_version": 1}, compute)
print(found["x"].sum())
"""


def test_two_processes_at_once_compute_once_and_agree(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACER, str(tmp_path / "arrays"), str(tmp_path / "mark")]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums = {racer.communicate(timeout=60)[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0]
    assert len(sums) == 1
    assert (tmp_path / "mark").read_text().splitlines() == ["computed"]


LIMITED = """
import resource, signal, sys, numpy as np
from pathlib import Path
from negutil.cache import Cache
from negutil.errors import NegutilError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Cache(Path(sys.argv[1])).get_or_compute(
        {"kind": "big", "code_version": 1}, lambda: {"x": np.ones(1_000_000)}
    )
except NegutilError as problem:
    print(problem)
"""


def test_a_write_that_the_system_refuses_is_reported_and_cleaned_up(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "could not be written (File too large)" in done.stdout
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert left == []


def test_a_full_disk_is_one_sentence(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NegutilError, match=r"No space left on device.*free some space"):
        stored(cache)
    assert [path for path in cache.root.rglob("*") if path.is_file()] == []
