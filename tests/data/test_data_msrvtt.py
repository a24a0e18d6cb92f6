from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from data_files import complaint, part_of, truncate, write_json

from negutil import data
from negutil.data import msrvtt

CONTENT: dict[str, Any] = {
    "info": {"year": "2016"},
    "videos": [
        {"id": 0, "video_id": "video0", "category": 9, "start time": 137.72, "end time": 149, "split": "train"},
        {"id": 1, "video_id": "video1", "category": 3, "split": "test"},
    ],
    "sentences": [
        {"sen_id": 5, "video_id": "video1", "caption": "a dog runs"},
        {"sen_id": 6, "video_id": "video0", "caption": "a car drives"},
        {"sen_id": 7, "video_id": "video1", "caption": "a dog is running"},
    ],
}


def clip(path: Path, n_frames: int = 20, codec: str = "mpeg4") -> Path:
    """A grey clip whose frame i has the brightness 10 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(n_frames):
            picture = np.full((48, 64, 3), 10 * index, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("video0", "video1"):
        clip(tmp_path / "all" / f"{name}.mp4")
    return write_json(tmp_path / "MSRVTT_data.json", CONTENT), tmp_path / "all"


def test_round_trip(files: tuple[Path, Path]) -> None:
    rows = msrvtt.load(*files)
    assert rows["video_id"][:] == ["video0", "video1"]
    assert rows["captions"][:] == [["a car drives"], ["a dog runs", "a dog is running"]]
    assert rows["sen_ids"][:] == [[6], [5, 7]]
    assert rows["start"][:] == [137.72, None]
    assert Path(rows["video"][1]) == files[1] / "video1.mp4"
    assert msrvtt.load(*files, split="test")["video_id"][:] == ["video1"]
    assert "video" not in msrvtt.load(files[0]).column_names
    assert "test, train" in complaint(msrvtt.load, files[0], split="validate")


@pytest.mark.parametrize(("n", "expected"), [(4, [2, 6, 12, 16]), (1, [10])])
def test_frames_come_from_the_middle_of_equal_parts(tmp_path: Path, n: int, expected: list[int]) -> None:
    pictures = msrvtt.frames(clip(tmp_path / "a.mp4"), n)
    assert pictures.shape == (n, 48, 64, 3)
    assert pictures.dtype == np.uint8
    np.testing.assert_allclose(pictures.mean(axis=(1, 2, 3)) / 10, expected, atol=0.3)


def test_frames_are_those_of_the_published_code() -> None:
    assert msrvtt.positions(100, 4) == [12, 36, 62, 86]


def test_frames_of_a_short_clip_repeat(tmp_path: Path) -> None:
    pictures = msrvtt.frames(clip(tmp_path / "a.mp4", n_frames=2), 4)
    np.testing.assert_allclose(pictures.mean(axis=(1, 2, 3)) / 10, [0, 0, 0, 0], atol=0.3)


def test_frames_where_the_container_does_not_state_their_number(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv")
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 0
    np.testing.assert_allclose(msrvtt.frames(path).mean(axis=(1, 2, 3)) / 10, [2, 6, 12, 16], atol=0.3)


def test_a_clip_that_does_not_decode_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"this is no video" * 40)
    assert "does not decode" in complaint(msrvtt.frames, path)
    path.write_bytes(b"")
    assert "empty" in complaint(msrvtt.frames, path)
    assert "no such file" in complaint(msrvtt.frames, tmp_path / "b.mp4")
    assert "a.mp4" in complaint(msrvtt.frames, truncate(clip(path)))
    assert "at least one" in complaint(msrvtt.frames, clip(path), 0)


def test_a_clip_that_breaks_off_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "a.mp4")
    monkeypatch.setattr(msrvtt, "_length", lambda path: 40)
    assert "frame 34 of 40" in complaint(msrvtt.frames, path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content["sentences"][0].update(video_id="video9"), "unknown video_id"),
        (lambda content: content["sentences"].pop(1), "no sentence is about it"),
        (lambda content: content["sentences"][0].update(sen_id=6), "repeats the sen_id"),
        (lambda content: content["videos"][1].update(video_id="video0"), "repeats the video_id"),
        (lambda content: content["videos"][1].pop("split"), 'no "split"'),
        (lambda content: content["sentences"][0].update(caption=None), "str is needed"),
        (lambda content: content.pop("sentences"), 'no "sentences"'),
        (lambda content: content.update(videos=[]), "no entries"),
    ],
)
def test_bad_files(files: tuple[Path, Path], change: Any, told: str) -> None:
    content = copy.deepcopy(CONTENT)
    change(content)
    write_json(files[0], content)
    assert told in complaint(msrvtt.load, *files)


def test_missing_clips_and_truncated_json(files: tuple[Path, Path]) -> None:
    (files[1] / "video0.mp4").unlink()
    assert "'video0.mp4'" in complaint(msrvtt.load, *files)
    assert data.report(part_of(msrvtt.load, *files)).missing_pictures == 1
    assert "breaks off" in complaint(msrvtt.load, truncate(files[0]))
