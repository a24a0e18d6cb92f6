from __future__ import annotations

import hashlib
import random
import re
import subprocess
import sys

import numpy as np
import pytest

from miniworld import clips, scenes, truth
from negutil.captions import english

CUE = re.compile(r"\b(no|not|without|never|none|neither|nor|nothing|nobody)\b|n't", re.I)
CLIPS = [clips.sample(random.Random(f"clips/test/0/{i}")) for i in range(200)]
DIGEST = "import random,hashlib;from miniworld import clips as c;"
DIGEST += "print(hashlib.sha256(c.draw(c.sample(random.Random('clips/test/0/3'))).tobytes()).hexdigest())"


def test_a_seed_gives_the_same_bytes_in_this_and_in_a_fresh_process() -> None:
    here = hashlib.sha256(clips.draw(CLIPS[3]).tobytes()).hexdigest()
    fresh = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == here


def test_a_clip_is_drawn_frame_by_frame() -> None:
    for clip in CLIPS[:10]:
        pictures = clips.draw(clip)
        assert pictures.shape == (clip.length, 64, 64, 3)
        assert pictures.dtype == np.uint8
        assert np.array_equal(pictures[-1], scenes.draw(clip.frames[-1]))


def test_a_length_can_be_asked_for() -> None:
    assert clips.sample(random.Random(1), length=10).length == 10


def test_nouns_occur_once_and_every_kind_of_event_occurs() -> None:
    kinds = {kind for clip in CLIPS for kind in clip.kinds.values()}
    assert kinds == set(clips.EVENTS)
    for clip in CLIPS:
        assert len(clip.kinds) == len(clip.events)


@pytest.mark.parametrize("clip", CLIPS[:60], ids=range(60))
def test_events_say_what_the_frames_show(clip: clips.Clip) -> None:
    for event in clip.events:
        noun = event.thing.noun
        boxes = [[thing.box for thing in frame.things if thing.noun == noun] for frame in clip.frames]
        shown = [bool(found) for found in boxes]
        path = [found[0][0] for found in boxes if found]
        expected = {
            "stays": all(shown) and len(set(path)) == 1,
            "moves left": all(shown) and path[-1] <= path[0] - clips.SHORTEST_WAY,
            "moves right": all(shown) and path[-1] >= path[0] + clips.SHORTEST_WAY,
            "comes": not shown[0] and shown[-1],
            "goes": shown[0] and not shown[-1],
        }
        assert expected[event.kind]


def test_things_stay_in_the_picture_and_visible() -> None:
    for clip in CLIPS[:60]:
        for frame in clip.frames:
            seen = zip(truth.instances(frame), truth.masks(frame), strict=True)
            own = [mask for one, mask in seen if not one.relation]
            for thing, mask in zip(frame.things, own, strict=True):
                for x, y, width, height in (thing.box, *(extra.box for extra in thing.extras)):
                    assert min(x, y) >= 0
                    assert max(x + width, y + height) <= scenes.SIZE
                assert mask.sum() >= 10


def test_the_nouns_of_a_clip_are_those_of_its_frames() -> None:
    for clip in CLIPS[:40]:
        assert clip.nouns == {noun for frame in clip.frames for noun in frame.nouns}


def test_captions_are_affirmative_and_name_only_what_is_seen() -> None:
    moves = 0
    for number, clip in enumerate(CLIPS):
        caption = clips.describe(clip, random.Random(number))
        assert not CUE.search(caption), caption
        assert "{" not in caption
        assert set(english.mentions(caption)) <= truth.sayable(clip.nouns)
        moves += "to the left" in caption
        assert "to the left" not in caption or "moves left" in clip.kinds.values()
    assert moves > 10
