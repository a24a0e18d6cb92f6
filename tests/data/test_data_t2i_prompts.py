from __future__ import annotations

from pathlib import Path

from data_files import complaint, truncate, write_json

from negutil.data import t2i_prompts

ROWS = [{"Prompt": "a dog not running", "Question1": "Is there a dog?", "Question2": "Is the dog running?"}]


def test_round_trip(tmp_path: Path) -> None:
    rows = t2i_prompts.load(write_json(tmp_path / "prompts.json", ROWS))
    assert rows[0] == {
        "prompt_id": 0,
        "prompt": "a dog not running",
        "subject_question": "Is there a dog?",
        "negation_question": "Is the dog running?",
    }


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    assert 'entry 1 has no "Prompt"' in complaint(t2i_prompts.load, write_json(path, [*ROWS, {}]))
    assert "str is needed" in complaint(t2i_prompts.load, write_json(path, [{**ROWS[0], "Question2": None}]))
    assert "no entries" in complaint(t2i_prompts.load, write_json(path, []))
    assert "a list is needed" in complaint(t2i_prompts.load, write_json(path, {"Prompt": "a"}))
    assert "breaks off" in complaint(t2i_prompts.load, truncate(write_json(path, ROWS)))


def test_real_file(shared_data: Path) -> None:
    rows = t2i_prompts.load(shared_data / "t2i_prompts" / "prompts_with_questions.json")
    assert len(rows) == len(set(rows["prompt_id"])) == 107
    assert all(question.endswith("?") for question in [*rows["subject_question"], *rows["negation_question"]])
