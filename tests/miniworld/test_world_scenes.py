"""Scenes: what is drawn is what is said to be there, and a seed gives the same bytes everywhere."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from miniworld import alttext, drawing, scenes, truth
from miniworld.scenes import SIZE, Extra, Scene, Thing
from negutil.captions import english
from negutil.errors import NegutilError

seeds = st.integers(0, 2**32)
calm = settings(deadline=None)


def _scene(seed: int, **wanted: object) -> Scene:
    return scenes.sample(random.Random(seed), **wanted)  # type: ignore[arg-type]


@calm
@given(seeds)
def test_scenes_are_made_of_the_vocabulary(seed: int) -> None:
    scene = _scene(seed)
    assert scene.place in english.PLACES
    assert 0 <= scene.variant < drawing.VARIANTS
    assert 1 <= len(scene.things) <= 5
    assert scene.nouns <= set(english.NOUNS)
    assert {colour for _, colour in scene.named()} <= set(english.COLOURS)
    assert all((thing.action is not None) == (thing.noun == "person") for thing in scene.things)


@calm
@given(seeds)
def test_boxes_are_inside_the_picture(seed: int) -> None:
    for instance in truth.instances(_scene(seed)):
        x, y, width, height = instance.box
        assert x >= 0 and y >= 0 and width >= 3 and height >= 3
        assert x + width <= SIZE and y + height <= SIZE


@calm
@given(seeds)
def test_masks_are_inside_boxes_and_never_share_a_pixel(seed: int) -> None:
    scene = _scene(seed)
    masks = truth.masks(scene)
    assert masks.sum(axis=0).max() <= 1
    for instance, mask, whole in zip(truth.instances(scene), masks, truth.whole_areas(scene), strict=True):
        x, y, width, height = instance.box
        assert 0 < mask.sum() <= whole
        assert mask.sum() == mask[y : y + height, x : x + width].sum()


@calm
@given(seeds)
def test_polygons_fill_exactly_the_mask(seed: int) -> None:
    for mask in truth.masks(_scene(seed)):
        flat = [[number for point in loop for number in point] for loop in truth.polygons(mask)]
        drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, SIZE, SIZE)))
        assert np.array_equal(drawn.astype(bool), mask)


@calm
@given(seeds)
def test_polygons_of_any_mask_with_holes(seed: int) -> None:
    mask = np.random.default_rng(seed).random((12, 17)) < 0.7
    mask[4, 4] = True
    flat = [[number for point in loop for number in point] for loop in truth.polygons(mask)]
    drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, 12, 17)))
    # Corners that touch only diagonally may be joined or not; that is at most a pixel of 204 here and there.
    assert (drawn.astype(bool) != mask).mean() <= 0.05


@calm
@given(seeds)
def test_pixels_outside_every_box_are_the_place(seed: int) -> None:
    scene = _scene(seed)
    picture = scenes.draw(scene)
    outside = np.ones((SIZE, SIZE), dtype=bool)
    for one in truth.instances(scene):
        x, y, width, height = one.box
        outside[y : y + height, x : x + width] = False
    assert picture.shape == (SIZE, SIZE, 3) and picture.dtype == np.uint8
    assert np.array_equal(picture[outside], drawing.background(scene.place, scene.variant)[outside])


@calm
@given(seeds)
def test_every_thing_changes_most_of_its_pixels(seed: int) -> None:
    scene = _scene(seed)
    changed = (scenes.draw(scene) != drawing.background(scene.place, scene.variant)).any(axis=2)
    assert all(changed[mask].mean() > 0.5 for mask in truth.masks(scene))


@calm
@given(seeds, st.integers(0, 10))
def test_without_takes_a_noun_away_and_nothing_else(seed: int, pick: int) -> None:
    scene = _scene(seed)
    nouns = sorted(scene.nouns)
    noun = nouns[pick % len(nouns)]
    bare = scenes.without(scene, noun)
    assert noun not in bare.nouns
    assert (bare.place, bare.variant) == (scene.place, scene.variant)
    kept = {(thing.noun, thing.box) for thing in bare.things}
    assert kept == {(thing.noun, thing.box) for thing in scene.things if thing.noun != noun}
    assert not np.array_equal(scenes.draw(bare), scenes.draw(scene))


@calm
@given(seeds)
def test_what_is_absent_is_not_there(seed: int) -> None:
    scene = _scene(seed)
    assert scene.nouns.isdisjoint(truth.absent(scene))
    assert alttext.plausible_absent(scene, random.Random(seed)) not in scene.nouns
    assert "person" not in truth.absent(scene) or not truth.people(scene)


@calm
@given(seeds)
def test_json_keeps_everything(seed: int) -> None:
    scene = _scene(seed)
    assert truth.from_json(json.loads(json.dumps(truth.to_json(scene)))) == scene


def test_json_that_is_no_scene_is_refused() -> None:
    whole = truth.to_json(_scene(1))
    wrong: list[Any] = [{}, [], None, {**whole, "place": "attic"}, {**whole, "things": [{"noun": "cat"}]}]
    for bad in wrong:
        with pytest.raises(NegutilError):
            truth.from_json(bad)
    unknown = {**whole, "things": [{**whole["things"][0], "noun": "unicorn"}]}
    with pytest.raises(NegutilError, match="unknown"):
        truth.from_json(unknown)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_wanted_number_of_things_is_the_usual_one(count: int) -> None:
    found = [len(_scene(seed, n_things=count).things) for seed in range(60)]
    assert max(found) == count
    assert sum(found) / 60 > 0.85 * count


def test_what_goes_together_comes_together() -> None:
    sampled = [_scene(seed) for seed in range(1500)]
    cars = [scene for scene in sampled if "car" in scene.nouns]
    with_bus = sum("bus" in scene.nouns for scene in cars) / len(cars)
    assert with_bus > 3 * sum("bus" in scene.nouns for scene in sampled) / len(sampled)
    streets = [scene for scene in sampled if scene.place == "street"]
    assert sum("car" in scene.nouns for scene in streets) / len(streets) > 3 * len(cars) / len(sampled) / 2


def test_the_world_is_as_large_as_designed() -> None:
    assert len(english.NOUNS) >= 60 and len(set(english.NOUNS)) == len(english.NOUNS)
    assert len(english.COLOURS) >= 8 and len(english.PLACES) >= 8
    assert set(english.NOUNS) >= english.HELD_OUT_NOUNS
    assert set(english.COLOURS) >= english.HELD_OUT_COLOURS


def test_a_hidden_thing_shows_only_what_is_in_front() -> None:
    behind, front = Thing("car", "red", "large", (10, 10, 0, 0)), Thing("house", "blue", "large", (10, 10, 0, 0))
    scene = Scene("street", 0, tuple(_sized(thing) for thing in (behind, front)))
    masks = truth.masks(scene)
    assert masks[1].sum() == truth.whole_areas(scene)[1]
    assert masks[0].sum() < truth.whole_areas(scene)[0]


def _sized(thing: Thing) -> Thing:

    height, width = drawing.sprite(thing.icon, scenes.SIDES[thing.size], thing.colour).clear.shape[:2]
    return replace(thing, box=(thing.box[0], thing.box[1], width, height))


def test_a_hat_is_an_instance_of_its_own() -> None:
    worn = Extra("hat", "blue", "wearing", (20, 5, 12, 9))
    person = _sized(Thing("person", "red", "medium", (18, 10, 0, 0), "standing"))
    scene = Scene("beach", 0, (Thing(person.noun, person.colour, person.size, person.box, person.action, (worn,)),))
    first, second = truth.instances(scene)
    assert (first.noun, first.extras) == ("person", ("hat",))
    assert (second.noun, second.relation, second.thing) == ("hat", "wearing", 0)


_DIGEST = """
import hashlib, random
from miniworld import alttext, scenes
digest = hashlib.sha256()
for index in range(40):
    rng = random.Random(f"same/{index}")
    scene = scenes.sample(rng)
    digest.update(scenes.draw(scene).tobytes() + alttext.web_text(scene, rng).encode())
print(digest.hexdigest())
"""


def test_a_fresh_process_draws_the_same_bytes() -> None:
    digest = hashlib.sha256()
    for index in range(40):
        rng = random.Random(f"same/{index}")
        scene = scenes.sample(rng)
        digest.update(scenes.draw(scene).tobytes() + alttext.web_text(scene, rng).encode())
    fresh = subprocess.run([sys.executable, "-c", _DIGEST], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == digest.hexdigest()
