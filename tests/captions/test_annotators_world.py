"""The mini world as annotator: right by construction, and wrong exactly as often and in the way it is told to be."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from miniworld import grammar, scenes, truth
from miniworld.annotator import UNSURE, ErrorRates, World, WorldAnnotator, _misread, things
from miniworld.truth import Known
from negutil.captions import annotators, english, prompts, statements
from negutil.captions.english import HELD_OUT_NOUNS, NOUNS
from negutil.captions.statements import Statement
from negutil.errors import NegutilError

COUNT = 300


def pictures() -> list[Known]:
    made = [scenes.sample(random.Random(f"annotator test {index}")) for index in range(COUNT)]
    return [Known(f"val2017/{index:012d}.jpg", "val", index, scene) for index, scene in enumerate(made)]


KNOWN = pictures()
THINGS = {known.file_name: truth.sayable(known.scene.nouns) for known in KNOWN}
CAPTIONS = [grammar.naming_caption(known.scene, random.Random(index)) for index, known in enumerate(KNOWN)]
PATHS = [Path("/data/coco") / known.file_name for known in KNOWN]
ABSENT = [random.Random(index).choice(truth.absent(known.scene)) for index, known in enumerate(KNOWN)]
PRESENT = [random.Random(index).choice(sorted(THINGS[known.file_name])) for index, known in enumerate(KNOWN)]
HYBRIDS = [statements.template(Statement((there,), (gone,))) for there, gone in zip(PRESENT, ABSENT, strict=True)]


def world(seed: int = 0, **errors: float) -> WorldAnnotator:
    return WorldAnnotator(THINGS, World(seed=seed, errors=ErrorRates(**errors)))


def near(count: int, rate: float) -> bool:
    """Whether a count of COUNT is within four standard deviations of its expectation."""
    return abs(count - COUNT * rate) <= 4 * (COUNT * rate * (1 - rate)) ** 0.5


def test_without_errors_all_is_right() -> None:
    annotator = world()
    for caption, named in zip(CAPTIONS, annotator.extract(CAPTIONS), strict=True):
        assert set(named) == set(english.mentions(caption))
    for caption, proposed in zip(CAPTIONS, annotator.propose(CAPTIONS, 3), strict=True):
        assert len(set(proposed)) == 3 and not set(proposed) & set(english.mentions(caption))
    assert annotator.shows(PATHS, ABSENT) == [False] * COUNT
    assert annotator.shows(PATHS, PRESENT) == [True] * COUNT
    for caption, noun, said in zip(CAPTIONS, ABSENT, annotator.negate(CAPTIONS, ABSENT), strict=True):
        assert set(english.mentions(said)) == {*english.mentions(caption), noun}
    assert not annotator.injected
    assert annotator.asked["shows"] == 2 * COUNT


def test_negations_are_read_back_from_the_forms_that_worded_them() -> None:
    said = world().paraphrase(HYBRIDS)
    assert len(set(said)) > COUNT / 2
    for text, there, gone in zip(said, PRESENT, ABSENT, strict=True):
        assert set(english.mentions(text)) == {there, gone}


def test_proposals_follow_from_the_caption_and_not_from_the_picture() -> None:
    (near_cat,) = world().propose(["a cat"], 2)
    assert set(near_cat) == {"dog", "fish"}
    assert "person" not in world().propose(["a woman"], len(NOUNS))[0]
    allowed = tuple(noun for noun in NOUNS if noun not in HELD_OUT_NOUNS)
    narrow = WorldAnnotator(settings=World(nouns=allowed))
    assert not {noun for found in narrow.propose(CAPTIONS, 5) for noun in found} & HELD_OUT_NOUNS
    shown = world().shows(PATHS, [found[0] for found in world().propose(CAPTIONS, 1)])
    assert 0 < sum(map(bool, shown)) < COUNT


def test_proposals_at_random_ignore_the_caption() -> None:
    at_random = WorldAnnotator(settings=World(plausible=False))
    firsts = [found[0] for found in at_random.propose(CAPTIONS, 1)]
    assert len(set(firsts)) > 0.9 * len(NOUNS)


def test_synonyms_and_plurals_are_understood() -> None:
    things = {"a.jpg": {"couch", "person", "woman"}}
    found = WorldAnnotator(things).shows([Path("a.jpg")] * 4, ["sofa", "people", "women", "dog"])
    assert found == [True, True, True, False]


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_errors_come_at_the_declared_rate_and_are_counted(rate: float) -> None:
    right, wrong = world(), world(extract=rate, propose=rate, negate=rate, paraphrase=rate, shows=rate)
    runs = {
        "extract": lambda annotator: annotator.extract(CAPTIONS),
        "propose": lambda annotator: annotator.propose(CAPTIONS, 3),
        "negate": lambda annotator: annotator.negate(CAPTIONS, ABSENT),
        "paraphrase": lambda annotator: annotator.paraphrase(HYBRIDS),
        "shows": lambda annotator: annotator.shows(PATHS, ABSENT),
    }
    for operation, run in runs.items():
        differing = sum(a != b for a, b in zip(run(right), run(wrong), strict=True))
        assert differing == wrong.injected[operation], operation
        assert near(differing, rate), operation


def test_each_error_is_of_its_kind() -> None:
    wrong = world(extract=1, propose=1, negate=1)
    for caption, found in zip(CAPTIONS, wrong.extract(CAPTIONS), strict=True):
        assert len(set(found) ^ set(english.mentions(caption))) == 1
    for caption, found in zip(CAPTIONS, wrong.propose(CAPTIONS, 2), strict=True):
        assert len(set(found) & set(english.mentions(caption))) == 1
    lost = 0
    for noun, text in zip(ABSENT, wrong.negate(CAPTIONS, ABSENT), strict=True):
        is_lost = text.endswith(f", and there is {statements.with_article(noun)}.")
        assert is_lost or (noun not in english.mentions(text) and _negated(text))
        lost += is_lost
    assert near(lost, 0.5)


def _negated(text: str) -> bool:
    return (
        re.search(r"\b(?:not?|without|absent|free of|lacks?|nowhere|missing)\b|n't\b", text, re.IGNORECASE) is not None
    )


def test_a_paraphrase_loses_its_negation_or_swaps_what_is_there_and_what_is_not() -> None:
    wanted = Statement(("dog", "hat"), ("cat",), negation_first=True)
    misread = [_misread(wanted, random.Random(index)) for index in range(50)]
    assert set(misread) == {
        Statement(("dog", "hat", "cat")),
        Statement(("cat", "hat"), ("dog",), negation_first=True),
    }
    assert _misread(Statement(absent=("cat",)), random.Random(0)) == Statement(("cat",))
    said = world(paraphrase=1).paraphrase(HYBRIDS)
    assert near(sum(map(_negated, said)), 0.5)


def test_what_has_no_negation_cannot_lose_it() -> None:
    wrong = world(paraphrase=1, propose=1)
    wrong.paraphrase([statements.template(Statement(("dog", "cat")))])
    wrong.propose(["nothing that it knows"], 2)
    assert wrong.asked["paraphrase"] == 1
    assert not wrong.injected


def test_an_item_depends_on_the_seed_and_itself_alone() -> None:
    rates: dict[str, Any] = {"extract": 0.3, "negate": 0.3, "shows": 0.3}
    first, backwards, other = world(**rates), world(**rates), world(seed=1, **rates)
    said = first.negate(CAPTIONS, ABSENT)
    assert backwards.negate(CAPTIONS[::-1], ABSENT[::-1])[::-1] == said
    assert other.negate(CAPTIONS, ABSENT) != said
    seen = first.shows(PATHS, ABSENT)
    elsewhere = [Path("/elsewhere") / known.file_name for known in KNOWN]
    assert backwards.shows(elsewhere[::-1], ABSENT[::-1])[::-1] == seen
    assert other.shows(PATHS, ABSENT) != seen


def test_equal_file_names_in_different_folders_stay_apart() -> None:
    annotator = WorldAnnotator({"a/1.jpg": {"dog"}, "b/1.jpg": {"cat"}})
    assert annotator.shows([Path("/x/a/1.jpg"), Path("/x/b/1.jpg")], ["dog", "dog"]) == [True, False]
    with pytest.raises(NegutilError, match=r"1\.jpg: the mini world has no truth about this image"):
        annotator.shows([Path("/x/c/1.jpg")], ["dog"])


def test_questions_are_answered_by_the_truth() -> None:
    annotator = WorldAnnotator({"a.jpg": {"dog", "couch"}})
    path = Path("a.jpg")
    options = [
        statements.template(Statement((), ("dog",))),
        statements.template(Statement(("cat",))),
        statements.template(Statement(("couch",), ("cat",))),
        "A dog, if you ask me.",
    ]
    hard = statements.template(Statement(absent=("cat",), caption="a dog on a sofa."))
    asked = [prompts.choice_question(options), *map(prompts.claim_question, [*options[:3], hard, options[3]]), "Why?"]
    assert annotator.answer([path] * 7, asked) == ["C", "no", "no", "yes", "yes", UNSURE, UNSURE]
    wrong = WorldAnnotator({"a.jpg": {"dog"}}, World(errors=ErrorRates(answer=1)))
    assert wrong.answer([path] * 2, [asked[1], "Why?"]) == ["yes", UNSURE]
    assert wrong.injected["answer"] == 1


def test_only_templates_can_be_paraphrased() -> None:
    with pytest.raises(NegutilError, match="cannot paraphrase 'a dog'"):
        world().paraphrase(["a dog"])


def test_settings_make_an_annotator() -> None:
    settings = {"kind": "world", "seed": 3, "errors": {"shows": 1.0}, "nouns": ["dog"], "held_out_share": 0.0}
    built = annotators.build(settings, {"a.jpg": ["dog"]})
    assert built.shows([Path("a.jpg")], ["dog"]) == [False]
    assert built.propose(["a cat"], 5) == [["dog"]]


def test_truth_on_disk_tells_what_is_in_a_picture(tmp_path: Path) -> None:
    truth.write(tmp_path, ((known.file_name, known.split, known.image_id, known.scene) for known in KNOWN[:5]))
    annotator = WorldAnnotator(things(tmp_path, KNOWN[0].split))
    assert annotator.shows([tmp_path / known.file_name for known in KNOWN[:5]], PRESENT[:5]) == [True] * 5
