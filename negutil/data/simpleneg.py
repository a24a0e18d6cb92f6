"""SimpleNeg's files (arXiv 2603.20554): queries with two questions each, and pairs of sentences that show negation."""

from pathlib import Path

from datasets import Dataset

from negutil.data import _reading

FEATURES = _reading.features("query, denied_question, context_question")
PAIRS = _reading.features("affirmed, negated")


def load(path: Path | str) -> Dataset:
    """The queries of simpleneg.json.

    Columns: query ("a desk with no lamp"), denied_question ("is there a lamp on the desk?"), context_question ("is
    there a desk in the image?"). Raises NegutilError for another file, naming the entry that is wrong.
    """
    entries = _reading.filled(_reading.read_json(path), path)
    for number, entry in enumerate(entries):
        is_right = isinstance(entry, list) and len(entry) == 3 and all(isinstance(text, str) and text for text in entry)
        if not is_right:
            _reading.fail(path, f"entry {number} is not [query, question, question]", "fetch simpleneg.json again")
    columns = dict(
        zip(("query", "denied_question", "context_question"), map(list, zip(*entries, strict=True)), strict=True)
    )
    return _reading.build(path, FEATURES, columns)


def pairs(path: Path | str) -> Dataset:
    """The sentences of train_data.json, each with its negation: columns affirmed, negated.

    Raises NegutilError for another file.
    """
    content = _reading.filled(_reading.read_json(path), path, dict)
    for affirmed, negated in content.items():
        if not (isinstance(negated, str) and affirmed and negated):
            _reading.fail(path, f"'{affirmed}' has no negated sentence", "fetch train_data.json again")
    return _reading.build(path, PAIRS, {"affirmed": list(content), "negated": list(content.values())})
