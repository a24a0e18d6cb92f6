from __future__ import annotations

from pathlib import Path

import model_files
import pytest
import torch
from datasets import Dataset

from miniworld import truth
from miniworld.benchmarks import derived
from miniworld.writers import ccneg as writer
from negutil.captions import english
from negutil.config import Splits
from negutil.data import ccneg as file
from negutil.errors import NegutilError
from negutil.models import loader
from negutil.tasks import Report, ccneg, pairwise

COUNT = 30
(TASK,) = ccneg.TASKS


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ccneg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "POOL", 5)
        writer.write(folder, Splits(4, 0, COUNT), 0)
    return folder


@pytest.fixture(scope="module")
def turned_round(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reversed")
    facts = derived.write_ccneg_reversed(folder, source, COUNT)
    assert facts["of"] == COUNT
    return folder


def original(source: Path) -> Dataset:
    return file.load(source / ccneg.FILE, source, split="evaluation", n_evaluation=COUNT)


def changed(turned_round: Path) -> Dataset:
    return file.load(turned_round / ccneg.FILE, turned_round, n_evaluation=1)


def test_pictures_turned_round_lack_exactly_what_is_denied(source: Path, turned_round: Path) -> None:
    scenes = {entry.file_name: entry.scene for entry in truth.read(source)}
    before = {row["file_name"]: row for row in original(source)}
    after = changed(turned_round)
    assert 0.5 * COUNT < len(after) <= COUNT
    for row in after:
        own = before[row["file_name"]]
        assert (row["caption"], row["negated_caption"]) == (own["caption"], own["negated_caption"])
        assert row["negated_object"] in scenes[row["file_name"]].nouns
        assert row["negated_object"] in english.mentions(row["caption"])
        assert row["negated_object"] in english.mentions(row["negated_caption"])
        assert row["image"].tobytes() != own["image"].tobytes()


def test_texts_alone_get_one_kind_of_picture_and_never_both(source: Path, turned_round: Path) -> None:
    rules = TASK.rules(ccneg.Items(original(source), changed(turned_round)))
    assert rules[pairwise.ALWAYS_AFFIRMATIVE][ccneg.TITLE]["right"].all()
    assert not rules[pairwise.ALWAYS_AFFIRMATIVE][ccneg.REVERSED]["right"].any()
    for name in pairwise.RULES:
        together = rules[name][ccneg.BOTH]
        assert not together["right"].any()
        assert len(together) == len(rules[name][ccneg.REVERSED])
    assert set(rules[pairwise.BAG_OF_WORDS]) == {ccneg.TITLE, ccneg.REVERSED}


def test_both_needs_both(source: Path, turned_round: Path) -> None:
    rows = TASK.rules(ccneg.Items(original(source)))["longer"][ccneg.TITLE]
    first, second = rows.assign(right=[True] * COUNT), rows.assign(right=[True, False] * (COUNT // 2))
    assert ccneg.both(first, second)["right"].tolist() == [True, False] * (COUNT // 2)
    with pytest.raises(NegutilError, match="No item of CC-Neg has images of both kinds"):
        ccneg.both(rows, rows.assign(item="other"))
    assert turned_round.is_dir()


def test_commas_are_taken_out_of_the_negated_caption_only() -> None:
    rows = Dataset.from_dict({"caption": ["a, b"], "negated_caption": ["a, but no b"]})
    assert ccneg.pairs(rows) == [("a, b", "a but no b")]
    assert ccneg.pairs(rows, truth_reversed=True) == [("a but no b", "a, b")]


def test_a_model_on_both_kinds(source: Path, turned_round: Path, tmp_path: Path) -> None:
    model = loader.load_entry(model_files.write(tmp_path))
    frames = TASK.evaluate(model, ccneg.Items(original(source), changed(turned_round)))
    plain, reverse, together = (frames[title] for title in (ccneg.TITLE, ccneg.REVERSED, ccneg.BOTH))
    assert (plain["right"] == (plain["true"] > plain["false"])).all()
    assert ccneg.evaluate(model, original(source)).equals(plain)
    right = set(plain["item"][plain["right"]]) & set(reverse["item"][reverse["right"]])
    assert set(together["item"][together["right"]]) == right
    (record,) = TASK.records({ccneg.BOTH: together}, Report("e", "m", 50))
    assert (record.task, record.metric, record.n) == ("CC-Neg, both images", "pairwise accuracy", len(reverse))
    assert record.value == pytest.approx(len(right) / len(reverse))


def test_nothing_to_turn_round_is_a_sentence(source: Path, tmp_path: Path) -> None:
    content = torch.load(source / ccneg.FILE, weights_only=True)
    for annotation in content["annotations"]:
        annotation["json"]["caption"] = "a picture"
    torch.save(content, tmp_path / ccneg.FILE)
    (tmp_path / truth.FILE).write_bytes((source / truth.FILE).read_bytes())
    with pytest.raises(NegutilError, match="no caption names what is denied"):
        derived.write_ccneg_reversed(tmp_path / "out", tmp_path, COUNT)
