"""``negutil finetune --captions``: somebody's own captions, an annotator of their choice, and a model that leaves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import chat_server
import model_files
import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from chat_server import Act
from data_files import complaint, picture, write_text
from typer.testing import CliRunner, Result

from negutil import config
from negutil.captions import caption_sets, english, phrasing
from negutil.commands import cli
from negutil.config import Profile
from negutil.data import source
from negutil.models import hub, loader, registry
from negutil.models.loader import LoadedModel
from negutil.train import own, recipes
from negutil.train.own import Own

SAID = (
    "A brown dog runs after a ball.",
    "A man rides a bicycle down the road.",
    "Two women sit on a bench with a dog.",
    "A cat sleeps in a boat.",
    "A boy with a ball stands beside a car.",
    "A horse and a dog in a field.",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty images in two folders with the same names, a caption each, and one image that is not there."""
    lines = ["image,caption"]
    for number in range(40):
        name = f"{'ab'[number % 2]}/{number // 2}.png"
        picture(tmp_path / name, (6 * number, 30, 200 - 5 * number), (64, 64))
        lines.append(f"{name},{SAID[number % len(SAID)]}")
    write_text(tmp_path / "mine.csv", *lines)
    write_text(tmp_path / "lost.csv", *lines, "gone.png,A dog and a cat.")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEGUTIL_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """The tiny model, which the registry then knows."""
    (tmp_path / "weights").mkdir()
    entry = model_files.write(tmp_path / "weights")
    known = registry.find
    monkeypatch.setattr(registry, "find", lambda name, *rest: entry if name == "tiny" else known(name, *rest))
    return loader.load_entry(entry)


@pytest.fixture(scope="module")
def settings() -> Profile:
    return config.load("quick")


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.app, ["finetune", *words, "--profile", "quick", "--batch", "8"])


def negated(captions: list[str]) -> int:
    return sum(phrasing.of(caption).cue != "" for caption in captions)


@pytest.mark.parametrize(
    ("recipe", "least"),
    [("plain", 40), ("p1", 20), ("negationclip", 20), ("rand-p1", 20), ("negcap", 40), ("negfull", 20)],
)
def test_the_rules_make_every_set_of_captions_alone(
    recipe: str, least: int, folder: Path, model: LoadedModel, settings: Profile
) -> None:
    made = own.single(settings, model, recipes.find(recipe), 0, Own(folder / "mine.csv"), batch=8)
    examples = made.job.examples
    assert (made.captions, made.left_out) == (40, 0)
    assert made.examples == len(examples) >= least
    assert examples.images.shape[0] == 40
    if recipe == "plain":
        assert (negated(examples.captions), examples.captions) == (0, [SAID[row % 6] for row in range(40)])
        assert examples.rows.tolist() == list(range(40))
    else:
        assert negated(examples.captions) > len(examples) // 2
    for caption, original, row in zip(examples.captions, examples.originals or [], examples.rows, strict=False):
        assert original == SAID[row % 6], "each caption is with the image that it was written of"
        assert caption != original
    if recipe == "negfull":
        assert examples.options and {len(options) for options in examples.options} == {4}


@pytest.mark.parametrize("recipe", ["con-clip", "negclip", "clip-bnl"])
def test_the_rules_make_the_sets_of_other_papers(
    recipe: str, folder: Path, model: LoadedModel, settings: Profile
) -> None:
    made = own.single(settings, model, recipes.find(recipe), 0, Own(folder / "mine.csv"), batch=8).job
    found = made.examples
    assert made.config.method == recipe and len(found) >= 20
    assert found.captions == [SAID[row % 6] for row in found.rows]
    for caption, negative in zip(found.captions, found.negatives or [], strict=True):
        if recipe == "negclip":
            words = [sorted(re.findall(r"\b(?!an?\b)\w+", text.lower())) for text in (caption, negative)]
            assert words[0] == words[1] and caption != negative
        else:
            assert phrasing.of(negative).cue and ("," not in negative or recipe == "clip-bnl")
            assert not re.search(r"\b(?:no|not|without)\b.*\bwom[ae]n\b", negative), "held out"
    assert (found.distractors is None) == (recipe == "clip-bnl")
    if found.distractors is not None:
        assert not (found.distractors == found.rows).any()


@pytest.mark.parametrize("recipe", ["con-clip", "negclip", "clip-bnl", "p2"])
def test_the_command_trains_by_every_loss(recipe: str, questions: Path, folder: Path, model: LoadedModel) -> None:
    more = ("--questions", "questions.csv") if recipe == "p2" else ()
    done = run(f"tiny+{recipe}/seed0", "--captions", "mine.csv", *more, "--epochs", "1", "--json")
    assert done.exit_code == 0, done.output
    assert pd.read_csv(Path(json.loads(done.stdout)["folder"]) / "curve.csv")["loss"].notna().any()


ASKED = ("Is the dog white?", "Is there a horse?", "Is the man wearing a hat?", "Is there a dog?")


@pytest.fixture
def questions(folder: Path) -> Path:
    """Four questions about each of twenty images; the last is answered with "yes"."""
    names = [f"{'ab'[number % 2]}/{number // 2}.png" for number in range(20)]
    lines = [f"{name},{text},{'Yes' if text == ASKED[-1] else 'No.'}" for name in names for text in ASKED]
    write_text(folder / "unanswered.csv", "image,question", *(line.rpartition(",")[0] for line in lines))
    return write_text(folder / "questions.csv", "image,question,answer", *lines)


def test_p2_is_made_of_questions(folder: Path, questions: Path, model: LoadedModel, settings: Profile) -> None:
    given = Own(folder / "mine.csv", questions=questions)
    p2, both = (own.single(settings, model, recipes.find(name), 0, given, batch=8) for name in ("p2", "negationclip"))
    found = p2.job.examples
    assert p2.examples == 60 and sorted(set(found.rows)) == list(range(20))
    assert found.originals == [SAID[row % 6] for row in found.rows]
    said = [text for text in found.captions if "white" in text]
    assert len(said) == 20 and all(phrasing.of(text).cue and "dog" in text for text in said)
    p1 = own.single(settings, model, recipes.find("negationclip"), 0, Own(folder / "mine.csv"), batch=8)
    assert both.examples == p1.examples + 60


def test_a_vision_model_answers_questions(folder: Path, questions: Path, model: LoadedModel, settings: Profile) -> None:
    with chat_server.serve(
        lambda asked, _: Act(body=chat_server.completion("No" if "horse" in asked else "Yes"))
    ) as eyes:
        table = f'vision = {{ kind = "endpoint", url = "{eyes.url}", model = "some", prompts = "negationclip" }}'
        who = write_text(folder / "who.toml", 'language = { kind = "rules" }', table)
        given = Own(folder / "mine.csv", annotator=str(who), questions=folder / "unanswered.csv")
        first, again = (own.single(settings, model, recipes.find("p2"), 0, given, batch=8) for _ in range(2))
        assert len(eyes.bodies) == 80, "answers are kept"
    assert first.examples == 20 and again.job.examples.sha256 == first.job.examples.sha256
    assert all("horse" in caption for caption in first.job.examples.captions)


def test_features_are_those_of_the_images(folder: Path, model: LoadedModel, settings: Profile) -> None:
    made = own.single(settings, model, recipes.find("p1"), 0, Own(folder / "mine.csv"), batch=8)
    plain = own.single(settings, model, recipes.find("plain"), 0, Own(folder / "mine.csv"), batch=8)
    np.testing.assert_array_equal(made.job.examples.images, plain.job.examples.images)


def test_a_share_of_the_captions_gets_as_many_steps_as_all(folder: Path, model: LoadedModel, settings: Profile) -> None:
    whole, tenth = (
        own.single(settings, model, recipes.find(name), 0, Own(folder / "mine.csv"), batch=4, epochs=2)
        for name in ("plain", "plain-share0.1")
    )
    assert (whole.examples, whole.job.config.epochs, tenth.examples, tenth.job.config.epochs) == (40, 2, 4, 20)


def test_an_endpoint_adds_the_negations(folder: Path, model: LoadedModel, settings: Profile) -> None:
    """Its model proposes a kite and words the sentence; the images' captions decide that there is none."""

    def behave(asked: str, _: int) -> Act:
        proposes = "kite" not in asked
        return Act(body=chat_server.completion('["kite"]' if proposes else "There is no kite in this picture"))

    with chat_server.serve(behave) as server:
        table = f'language = {{ kind = "endpoint", url = "{server.url}", model = "some", prompts = "negationclip" }}'
        file = write_text(folder / "who.toml", table)
        made = own.single(
            settings, model, recipes.find("p1"), 0, Own(folder / "mine.csv", annotator=str(file)), batch=8
        )
        asked = len(server.bodies)
        again = own.single(
            settings, model, recipes.find("p1"), 0, Own(folder / "mine.csv", annotator=str(file)), batch=8
        )
        assert len(server.bodies) == asked > 0, "answers are kept"
    assert set(made.job.examples.captions) == {"There is no kite in this picture"}
    assert made.examples == 40
    assert again.job.examples.sha256 == made.job.examples.sha256
    told = complaint(
        own.single, settings, model, recipes.find("rand-p1"), 0, Own(folder / "mine.csv", annotator=str(file))
    )
    assert "[random_language]" in told


def test_what_an_endpoint_finds_and_words_is_kept(folder: Path, model: LoadedModel, settings: Profile) -> None:
    def behave(asked: str, _: int) -> Act:
        return Act(body=chat_server.completion("A ball, but no dog" if "This image" in asked else '["dog", "ball"]'))

    with chat_server.serve(behave) as server:
        table = f'language = {{ kind = "endpoint", url = "{server.url}", model = "some", prompts = "negationclip" }}'
        given = Own(folder / "mine.csv", annotator=str(write_text(folder / "who.toml", table)))
        first = own.single(settings, model, recipes.find("con-clip"), 0, given, batch=8)
        asked = len(server.bodies)
        again = own.single(settings, model, recipes.find("con-clip"), 0, given, batch=8)
        assert len(server.bodies) == asked > len(SAID), "answers are kept"
    assert set(first.job.examples.negatives or []) == {"A ball but no dog"}
    assert again.job.examples.sha256 == first.job.examples.sha256


def test_the_world_annotates_its_own_images(tmp_path: Path, model: LoadedModel, settings: Profile) -> None:
    chosen = caption_sets.sources(settings, pictures=24)
    lines = [f'{each.picture},"{each.caption}"' for each in chosen]
    own_file = Own(write_text(tmp_path / "mine.csv", "image,caption", *lines), annotator="world")
    made = own.single(settings, model, recipes.find("p1"), 0, own_file, batch=8)
    things = source.world().things(source.folder(settings, "coco"))
    kept = made.job.examples
    assert 8 <= made.examples <= 24
    for caption, original, row in zip(kept.captions, kept.originals or [], kept.rows, strict=True):
        added = english.mentions(caption) - english.mentions(original)
        picture = "/".join(chosen[row].picture.parts[-2:])
        assert added and not added.keys() & things[picture]


def test_the_command_trains_and_writes_a_model(folder: Path, model: LoadedModel) -> None:
    words = ("tiny+p1/seed0", "--captions", "lost.csv", "--partial", "--out", "tower", "--transformers", "--json")
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "; 1 rows were left out because their images are missing." in done.stderr
    about = json.loads(done.stdout)
    assert pd.read_csv(Path(about["folder"]) / "curve.csv")["loss"].notna().any()
    theirs, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder / 'tower'}")
    before, after = (dict(each.named_parameters())["ln_final.weight"] for each in (model.model, theirs))
    assert not np.array_equal(before.detach().numpy(), after.detach().numpy())
    tokens = open_clip.get_tokenizer(f"local-dir:{folder / 'tower'}")(list(SAID))
    others = hub.library("transformers").CLIPModel.from_pretrained(folder / "tower").eval().get_text_features(tokens)
    wanted = theirs.eval().encode_text(tokens)
    torch.testing.assert_close(getattr(others, "pooler_output", others), wanted, atol=1e-6, rtol=0)
    assert not any("csv" in path.name or "json" in path.suffix for path in (folder / "tower" / "images").glob("*"))
    again = run("tiny+p1/seed0", "--captions", "lost.csv", "--partial", "--json")
    assert json.loads(again.stdout)["sha256"] == about["sha256"], "a finished training is not repeated"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tiny+p1/seed0", "--captions", "lost.csv"), "line 42: the image gone.png is not in"),
        (("tiny+p2/seed0", "--captions", "mine.csv"), "'p2' is made from questions about the images: give a CSV"),
        (("tiny+p1/seed0", "--captions", "mine.csv", "--questions", "lost.csv"), "'p1' takes no questions"),
        (
            ("tiny+p2/seed0", "--captions", "few.csv", "--questions", "odd.csv"),
            "odd.csv: line 2: the image b/9.png has",
        ),
        (("tiny+p2/seed0", "--captions", "few.csv", "--questions", "open.csv"), "which the rules cannot give"),
        (
            ("tiny+con-clip/seed0", "--captions", "few.csv"),
            "Captions of more than 3 images are needed that name a thing to deny",
        ),
        (
            ("tiny+negclip/seed0", "--captions", "few.csv"),
            "two words to swap, and 2 have one",
        ),
        (("tiny+negationclip-noise5/seed0", "--captions", "mine.csv"), "its annotators make errors at a known rate"),
        (("tiny+negationclip-full/seed0", "--captions", "mine.csv"), "its captions name everything in the image"),
        (
            ("tiny+negfull-raw/seed0", "--captions", "mine.csv"),
            "choose one of plain, con-clip, negclip, clip-bnl, negcap",
        ),
        (("tiny+p1/seed0", "--partial"), "go with --captions"),
        (("tiny+p1/seed0", "--captions", "mine.csv", "--annotator", "gone.toml"), "gone.toml cannot be read as TOML"),
        (("tiny+p1/seed0", "--captions", "mine.csv", "--annotator", "empty.toml"), "no table [language]"),
        (("tiny+p1/seed0", "--captions", "mine.csv", "--annotator", "wrong.toml"), "'magic'"),
        (("tiny+p1/seed0", "--captions", "nouns.csv"), "No caption names a thing of"),
        (("tiny+plain/seed0", "--captions", "nouns.csv"), "too few for batches of 8"),
    ],
)
def test_what_is_wrong_is_one_sentence(words: tuple[str, ...], told: str, folder: Path, model: LoadedModel) -> None:
    write_text(folder / "empty.toml", "")
    write_text(folder / "wrong.toml", 'language = { kind = "magic" }')
    write_text(folder / "nouns.csv", "image,caption", "a/0.png,Something blue.")
    write_text(folder / "few.csv", "image,caption", f"a/0.png,{SAID[0]}", f"b/0.png,{SAID[3]}", "a/1.png,A cat")
    write_text(folder / "odd.csv", "image,question,answer", "b/9.png,Is there a horse?,no")
    write_text(folder / "open.csv", "image,question", "a/0.png,Is there a horse?")
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.output
