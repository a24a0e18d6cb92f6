"""MSR-VTT: a folder of clips and MSRVTT_data.json (or *_videodatainfo.json) (docs/protocols.md#video).

Clips stay on disk as paths and are decoded by `frames`.
"""

import itertools
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from datasets import Dataset

from negutil.data import _reading
from negutil.data._reading import NUMBER

FEATURES = _reading.features(
    "video, video_id, file_name, split, captions: [str], sen_ids: [int], category: int, start: float, end: float"
)
_SENTENCE = {"video_id": str, "sen_id": int, "caption": str}


def load(file: Path | str, videos: Path | str | None = None, split: str | None = None) -> Dataset:
    """Clips of one split ("train", "validate", "test"), or of all, with their sentences.

    Columns: video (path of the clip; only with `videos`), video_id ("video9770"), file_name, split, captions, sen_ids,
    category (number), start and end (seconds in the source video; None if unstated). Raises NegutilError for
    damaged JSON, duplicate ids, sentences about unknown clips, clips without a sentence, and clips not on disk.
    """
    content = _reading.read_json(file)
    where = f'{file}, "videos"'
    optional: dict[str, _reading.Kinds] = {"category": int, "start time": NUMBER, "end time": NUMBER}
    wanted = {"video_id": str, "split": str}
    clips = _reading.json_columns(file, wanted, optional, key="videos", different="video_id", content=content)
    read = _reading.json_columns(file, _SENTENCE, key="sentences", different="sen_id", content=content)
    _reading.known(read["video_id"], clips["video_id"], "video_id", f'{file}, "sentences"')
    _reading.known(clips["video_id"], read["video_id"], "video_id (no sentence is about it)", where)
    captions: dict[str, list[tuple[int, str]]] = {clip: [] for clip in clips["video_id"]}
    for clip, number, text in zip(*(read[name] for name in _SENTENCE), strict=True):
        captions[clip].append((number, text))
    kept = _reading.of_split(clips, split, where)
    columns: dict[str, list[Any]] = {
        **{name: kept[name] for name in ("video_id", "split", "category")},
        "start": kept["start time"],
        "end": kept["end time"],
        "file_name": [f"{name}.mp4" for name in kept["video_id"]],
        "captions": [[text for _, text in captions[name]] for name in kept["video_id"]],
        "sen_ids": [[number for number, _ in captions[name]] for name in kept["video_id"]],
    }
    if videos is not None:
        columns["video"] = _reading.find_files(columns["file_name"], videos, file)
    return _reading.build(f"{file} ({split or 'every split'})", FEATURES, columns)


def frames(path: Path | str, n: int = 4) -> np.ndarray:
    """`n` frames of a clip, one from the middle of each of `n` equal parts: uint8 [n, height, width, 3], RGB.

    These are NegBench's frames (docs/protocols.md#video). A clip that cannot be decoded, or breaks off before its last
    wanted frame, raises NegutilError; NegBench's code continues with black frames. A clip with fewer than `n` frames
    repeats some.
    """
    path = _reading.require_file(path, "fetch the clip again")
    if n < 1:
        _reading.fail(f"n = {n}", "at least one frame is needed", "ask for 1 or more")
    decoded: dict[int, np.ndarray] = {}
    to_rgb = VideoReformatter()  # one for all frames: making it takes longer than using it
    try:
        length = _length(path)
        wanted = positions(length, n)
        with av.open(str(path)) as container:
            for index, frame in enumerate(container.decode(container.streams.video[0])):
                if index in wanted:
                    decoded[index] = to_rgb.reformat(frame, format="rgb24").to_ndarray()
                if len(decoded) == len(set(wanted)):
                    break
    except (av.FFmpegError, IndexError) as error:
        _reading.fail(path, f"the clip does not decode ({error})", "fetch it again", error)
    if not set(wanted) <= set(decoded):
        problem = f"the clip breaks off: frame {max(set(wanted) - set(decoded))} of {length} does not decode"
        _reading.fail(path, problem, "fetch it again")
    return np.stack([decoded[index] for index in wanted])


def positions(length: int, n: int) -> list[int]:
    """Which `n` frames of `length` NegBench takes: the middles of equal parts, rounded as in its frame_sampler.py."""
    edges = np.linspace(0, length - 1, n + 1).astype(int).tolist()
    return [round((left + right) / 2) for left, right in itertools.pairwise(edges)]


def _length(path: Path) -> int:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        # Some containers (WebM, raw streams) do not state a number of frames: count by decoding.
        return int(stream.frames) or sum(1 for _ in container.decode(stream))
