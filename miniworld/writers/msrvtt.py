"""Clips as MSR-VTT: ``MSRVTT_data.json`` and H.264 files in ``videos/all/`` (docs/protocols.md#video).

Stands for MSR-VTT in NegBench's video retrieval and multiple choice.
"""

import io
import random
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from miniworld import clips
from miniworld.writers import _shared
from negutil.captions.english import PLACES
from negutil.config import Splits

SPLIT_NAMES = {"train": "train", "val": "validate", "test": "test"}
SENTENCES = 20
"""Captions of each clip, as in MSR-VTT."""

RATE = 8
"""Frames a second."""

PIXELS = "yuv444p"
"""Colour at full resolution: the usual 4:2:0 would smear things of a few pixels into one another."""

# A fixed quantiser without look-ahead and without assembly: x264's rate control gives other bytes on some calls for
# images as small as these, because its vector code reads beyond their edges.
_PARAMETERS = "threads=1:no-mbtree=1:rc-lookahead=0:b-adapt=0:scenecut=0:no-asm=1"
_X264 = {"preset": "veryfast", "qp": "10", "x264-params": _PARAMETERS}


def write(folder: Path, sizes: Splits, seed: int) -> dict[str, Any]:
    """Fill ``folder`` with the clips video0.mp4, video1.mp4, ... and their sentences; returns clips by split."""
    pictures = folder / "videos" / "all"
    pictures.mkdir(parents=True)
    videos: list[dict[str, Any]] = []
    sentences: list[dict[str, Any]] = []
    for split, index, clip, frames in _shared.draw_all("msrvtt", sizes, seed, clips.sample, clips.draw):
        name, category = f"video{len(videos)}", list(PLACES).index(clip.place)
        about = {"video_id": name, "id": len(videos), "category": category, "split": SPLIT_NAMES[split]}
        videos.append({**about, "url": "", "start time": 0.0, "end time": clip.length / RATE})
        (pictures / f"{name}.mp4").write_bytes(encode(frames))
        rng = random.Random(f"msrvtt/{split}/{seed}/{index}/sentences")
        for _ in range(SENTENCES):
            caption = clips.describe(clip, rng)
            sentences.append({"caption": caption, "video_id": name, "sen_id": len(sentences)})
    content = {"info": {"description": "MSR-VTT format"}, "videos": videos, "sentences": sentences}
    _shared.write_json(folder / "MSRVTT_data.json", content)
    return {SPLIT_NAMES[split]: count for split, count in _shared.size_of(sizes).items()}


def encode(frames: np.ndarray) -> bytes:
    """An MP4 file of uint8 frames [T, height, width, 3] at RATE frames a second; equal frames give equal bytes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options=_X264)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = PIXELS
        stream.codec_context.thread_count = 1
        # Converting here and not in the encoder: its own conversion is threaded and not the same on every call.
        colours = VideoReformatter()
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(colours.reformat(picture, format=PIXELS, threads=1)))
        container.mux(stream.encode())
    return buffer.getvalue()
