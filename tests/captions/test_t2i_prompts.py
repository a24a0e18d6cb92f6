from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import pytest

from miniworld.benchmarks import t2i_prompts as maker
from negutil import config
from negutil.captions import picture_facts, t2i_prompts
from negutil.data import t2i_prompts as published
from negutil.errors import NegutilError


def test_the_file_is_what_the_code_makes() -> None:
    assert (maker.build(config.load("mini")) / t2i_prompts.FILE).read_text(encoding="utf-8") == maker.text()


def test_there_are_enough_different_prompts_of_every_kind() -> None:
    rows = t2i_prompts.load(config.load("mini"))
    assert len(rows) >= 107
    assert len(set(rows["prompt"][:])) == len(rows)
    kinds = Counter(t2i_prompts.kind(question) for question in rows["negation_question"][:])
    assert set(kinds) == set(t2i_prompts.KINDS) - {t2i_prompts.OTHER_KIND}
    assert min(kinds.values()) >= 10


def test_the_judge_knows_both_questions_and_they_differ() -> None:
    for row in t2i_prompts.load(config.load("mini")):
        wanted, denied = (picture_facts.fact_of(row[name]) for name in ("subject_question", "negation_question"))
        assert wanted != denied


def test_every_prompt_comes_apart_into_subject_and_what_is_denied() -> None:
    for row in t2i_prompts.load(config.load("mini")):
        kept, denied = t2i_prompts.parts(row["prompt"])
        assert not {"no", "not", "without", "any"} & set(kept.split())
        assert row["prompt"].split()[-1] in (denied.split()[-1], kept.split()[-1])
        assert denied


@pytest.mark.parametrize(
    ("prompt", "kept", "denied"),
    [
        ("a not white umbrella", "an umbrella", "white"),
        ("a man not wearing a hat", "a man", "hat"),
        ("a beach without any umbrellas", "a beach", "umbrellas"),
        ("a lake with no boats", "a lake", "boats"),
        ("a dog not running", "a dog", "running"),
        ("a person in the snow who is not skating", "a person in the snow", "skating"),
        ("a fish that is not pink", "a fish", "pink"),
        ("a person without a shadow", "a person", "shadow"),
    ],
)
def test_parts(prompt: str, kept: str, denied: str) -> None:
    assert t2i_prompts.parts(prompt) == (kept, denied)


def test_an_affirmative_prompt_has_no_parts() -> None:
    with pytest.raises(NegutilError, match="'a dog' denies nothing"):
        t2i_prompts.parts("a dog")


def test_the_published_prompts_come_apart_too(shared_data: Path) -> None:
    rows = published.load(shared_data / "t2i_prompts" / "prompts_with_questions.json")
    kinds = Counter(t2i_prompts.kind(question) for question in rows["negation_question"][:])
    assert kinds == {"object": 56, "part": 16, "action": 14, "worn or held": 12, "other": 7, "attribute": 2}
    for prompt in rows["prompt"][:]:
        kept, denied = t2i_prompts.parts(prompt)
        assert not {"no", "not", "without"} & {*kept.split(), *denied.split()}


def test_the_paper_profile_reads_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEGUTIL_DATA", str(tmp_path))
    file = tmp_path / t2i_prompts.FOLDER / t2i_prompts.FILE
    settings = dataclasses.replace(config.load("paper"))
    with pytest.raises(NegutilError, match="prompts_with_questions"):
        t2i_prompts.load(settings)
    file.parent.mkdir()
    row = {"Prompt": "a dog not running", "Question1": "Is this a dog?", "Question2": "Is the dog running?"}
    file.write_text(json.dumps([row]), encoding="utf-8")
    assert t2i_prompts.load(settings)["prompt"][:] == ["a dog not running"]
