"""Things that captions name, and questions about Flickr8k's photographs made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_files import complaint, write_text
from typer.testing import CliRunner

from negutil.captions import named_objects, negbench
from negutil.commands.cli import app
from negutil.data import flickr8k
from negutil.data import negbench as negbench_data


@pytest.mark.parametrize(
    ("captions", "named", "hinted"),
    [
        (["Two puppies play .", "A dog bites a dog ."], ("dog",), ()),
        (["A cyclist passes a Taxi ."], ("car",), ("baby", "bicycle", "boy", "girl", "man", "motorcycle", "woman")),
        (["An animal on a couch"], ("couch",), ("bird", "cat", "cow", "dog", "horse")),
        (["Kittens and a bull"], ("cat", "cow"), ()),
        (["A man and his dog .", "A girl and a dog .", "A man sits ."], ("dog", "man"), ("girl",)),
        (["A woman .", "A girl .", "A woman .", "A girl ."], ("girl",), ("woman",)),
        (["A woman and a girl .", "A girl .", "A woman .", "Girls ."], ("girl", "woman"), ()),
        (["A doghouse and a carpet ."], (), ()),
    ],
)
def test_words_name_things_or_hint_at_them(
    captions: list[str], named: tuple[str, ...], hinted: tuple[str, ...]
) -> None:
    assert named_objects.find(captions) == (named, hinted)


def test_a_word_cannot_name_two_things(tmp_path: Path) -> None:
    file = tmp_path / "objects.toml"
    write_text(file, "[animal.nouns]", 'dog = "pet"', 'cat = "pet"')
    assert "'pet' names both dog and cat" in complaint(named_objects.find, ["a pet"], file)


def test_no_question_denies_what_a_caption_names_or_may_mean(shared_data: Path, tmp_path: Path) -> None:
    real = shared_data / "flickr8k"
    done = CliRunner().invoke(app, ["negbench", "build", str(real), str(tmp_path)])
    assert done.exit_code == 0, done.output
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"mcq_template.csv", "retrieval.csv", "retrieval_negated_template.csv"}
    rows = flickr8k.load(real, "test", pictures=False)
    captions = dict(zip(rows["file_name"], rows["captions"], strict=True))
    retrieval = negbench_data.load(tmp_path / "retrieval_negated_template.csv")
    assert retrieval["file_name"][:] == list(captions)
    plain = negbench_data.load(tmp_path / "retrieval.csv")
    assert [len(own) for own in plain["captions"]] == [5] * 1000
    assert not any(" ." in text for own in plain["captions"] for text in own)
    items = {item.file_name: item for item in negbench.from_flickr8k(rows)}
    checked = 0
    for name, absent in zip(retrieval["file_name"], retrieval["negative_objects"], strict=True):
        words = " ".join(captions[name]).lower().replace("-", " ").split()
        assert absent
        for noun in absent:
            assert noun not in items[name].objects
            assert noun not in items[name].implied
            assert not {noun, f"{noun}s", f"{noun}es"} & set(words)
            checked += 1
    assert checked == 3000
    questions = negbench_data.load(tmp_path / "mcq_template.csv")
    with_objects = [item for item in items.values() if item.objects]
    assert len(questions) == len(with_objects) > 600
    assert min(list(questions["template"]).count(kind) for kind in negbench_data.TEMPLATES) > 150
