"""The rules that every committed notebook keeps: a chapter to read, produced by run_all.sh, with stable outputs."""

from __future__ import annotations

import ast
import builtins
import json
import re
import symtable
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import nbformat
import pytest
from nbformat import NotebookNode

from negutil import paths
from negutil.report import chapters
from negutil.run import notebooks

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
LARGEST = 4_000_000
LONGEST, MEDIAN = 30, 8
METHODS = ("01", "02", "03", "04", "05", "06", "07", "08", "09")
"""Notebooks of the experiments: they show how their numbers are made."""

TAUGHT = ("00", *METHODS, "10")
"""Notebooks that end with exercises."""

EXERCISES = "## Exercises\n"
KINDS = ("Run", "On paper", "Predict")
ANSWER = re.compile(r"^<details><summary>Answer</summary>\n\n(\S.*?)\n\n</details>$", re.MULTILINE | re.DOTALL)
"""A closed answer. Without the blank lines, the Markdown in it is shown as it is written."""


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def lines(cell: NotebookNode) -> int:
    return len([line for line in cell.source.splitlines() if line.strip()])


def numbered(number: str) -> NotebookNode:
    (path,) = [path for path in NOTEBOOKS if path.stem.startswith(number)]
    return nbformat.read(path, as_version=4)


def exercises(number: str) -> list[str]:
    """The exercises of a notebook with their headings, without what is said before the first."""
    _, *parts = re.split(r"^### ", numbered(number).cells[-1].source, flags=re.MULTILINE)
    return parts


def defined(source: str) -> set[str]:
    """The names that a cell binds for the cells after it."""
    names = symtable.symtable(source, "cell", "exec").get_symbols()
    return {name.get_name() for name in names if name.is_assigned() or name.is_imported()}


def unknown(source: str, known: Iterable[str]) -> set[str]:
    """The names that ``source`` reads and that are neither ``known`` nor builtin nor its own."""
    read, scopes = set(), [top := symtable.symtable(source, "answer", "exec")]
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        names = [name for name in scope.get_symbols() if name.is_referenced()]
        read |= {name.get_name() for name in names if scope is top or name.is_global()}
    return read - defined(source) - set(known) - set(dir(builtins))


def test_there_are_notebooks_and_their_names_are_numbered() -> None:
    assert NOTEBOOKS
    assert [path.stem for path in NOTEBOOKS] == [chapter.path.stem for chapter in chapters.find()]
    numbers = [path.stem[:2] for path in NOTEBOOKS]
    assert len(set(numbers)) == len(numbers)


def test_it_starts_with_its_title_and_ends_with_takeaways(notebook: NotebookNode) -> None:
    """Only exercises come after the takeaways."""
    first, last = notebook.cells[0], [cell for cell in notebook.cells if not cell.source.startswith(EXERCISES)][-1]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert last.cell_type == "markdown"
    assert re.match(r"#+ .*takeaways", last.source, re.IGNORECASE)


def test_code_cells_are_short(notebook: NotebookNode) -> None:
    lengths = [lines(cell) for cell in code(notebook)]
    assert median(lengths) <= MEDIAN
    assert max(lengths) <= LONGEST


def test_prose_stands_before_each_code_cell(notebook: NotebookNode) -> None:
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown", f"no prose before: {cell.source[:80]}"
            assert before.source.strip()


@pytest.mark.parametrize("number", METHODS)
def test_it_shows_the_method(number: str) -> None:
    """A displayed equation, and a worked example that checks itself against the package."""
    notebook = numbered(number)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert any(re.search(r"\$\$.+?\$\$", text, re.DOTALL) for text in prose)
    statements = [node for cell in code(notebook) for node in ast.walk(ast.parse(cell.source))]
    assert any(isinstance(node, ast.Assert) for node in statements)


def test_parameters_are_a_profile_and_a_seed_as_plain_literals(notebook: NotebookNode) -> None:
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    statements = ast.parse(cell.source).body
    assert all(isinstance(statement, ast.Assign) for statement in statements)
    values = {statement.targets[0].id: ast.literal_eval(statement.value) for statement in statements}
    assert values["profile"] == ""
    assert type(values["seed"]) is int


def test_it_was_run_from_top_to_bottom(notebook: NotebookNode) -> None:
    counts = [cell.execution_count for cell in code(notebook) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


def test_outputs_have_no_errors_warnings_bars_or_widgets(notebook: NotebookNode) -> None:
    for cell in code(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source[:80]
            assert output.get("name") != "stderr", f"{cell.source[:80]}: {output.get('text')}"
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {}), cell.source[:80]


def test_every_figure_is_shown_as_a_picture(notebook: NotebookNode) -> None:
    for cell in code(notebook):
        for data in (output.get("data", {}) for output in cell.outputs):
            assert "image/png" in data or "<Figure" not in data.get("text/plain", ""), cell.source[:80]


def test_outputs_name_no_address_and_no_local_folder(notebook: NotebookNode) -> None:
    for cell in code(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            text = "".join([output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")])
            assert not re.search(r"\bat 0x[0-9a-f]+", text), cell.source[:80]
            assert str(paths.ROOT) not in text, cell.source[:80]
            assert str(Path.home()) not in text, cell.source[:80]


def test_it_is_as_run_all_leaves_it(path: Path, notebook: NotebookNode) -> None:
    cleaned = notebooks.clean(nbformat.read(path, as_version=4))
    assert json.dumps(cleaned, sort_keys=True) == json.dumps(notebook, sort_keys=True)
    assert "papermill" not in json.dumps([cell.metadata for cell in notebook.cells])


def test_it_is_not_too_large(path: Path) -> None:
    assert path.stat().st_size <= LARGEST


def test_something_in_it_is_compared(notebook: NotebookNode) -> None:
    marked = [
        cell
        for cell in code(notebook)
        if "nbval-check-output" in cell.metadata.get("tags", []) or "NBVAL_CHECK_OUTPUT" in cell.source
    ]
    assert marked, "mark a cell whose output depends neither on the profile nor on the machine"
    assert all(cell.outputs for cell in marked)


@pytest.mark.parametrize("number", TAUGHT)
def test_it_ends_with_three_exercises_and_closed_answers(number: str) -> None:
    notebook = numbered(number)
    assert [cell.source.startswith(EXERCISES) for cell in notebook.cells].index(True) == len(notebook.cells) - 1
    parts = exercises(number)
    assert [part.split(": ")[0] for part in parts] == [f"{place}. {kind}" for place, kind in enumerate(KINDS, 1)]
    for part in parts:
        (answer,) = ANSWER.findall(part)
        assert part.count("details>") == 2
        assert part.rstrip().endswith("</details>")
        question = part.split("<details>")[0]
        assert len(question.split()) > 20, "say what to do"
        assert len(answer.split()) > 40, "say why"


@pytest.mark.parametrize("number", TAUGHT)
def test_the_code_of_its_answers_uses_names_of_the_notebook(number: str) -> None:
    known = set().union(*(defined(cell.source) for cell in code(numbered(number))))
    answers = [re.findall(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL) for part in exercises(number)]
    assert answers[0], "the first exercise is to be run"
    for source in (block for blocks in answers for block in blocks):
        compile(source, f"answer in notebook {number}", "exec")
        assert not unknown(source, known)


def test_unknown_names_are_found_in_every_scope() -> None:
    source = "import re\ndef f(x):\n    y = x + missing\n    return [y + z for z in there if len(re.sub(gone, '', z))]"
    assert unknown(source, {"there"}) == {"missing", "gone"}
    assert defined(source) == {"re", "f"}


@pytest.mark.parametrize("number", TAUGHT)
def test_numbers_in_takeaways_and_answers_are_shown_above_them(number: str) -> None:
    """Each number with three digits after the point; an exercise on paper has numbers of its own."""
    notebook, thousandth = numbered(number), r"(?<![\w.])\d*(\.\d{3})(?!\d)"
    takeaways, *_ = [cell.source for cell in notebook.cells if re.match(r"#+ .*takeaways", cell.source, re.IGNORECASE)]
    run, _, predict = exercises(number)
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    shown = " ".join(output.get("text", "") + str(output.get("data", {}).get("text/html", "")) for output in outputs)
    assert set(re.findall(thousandth, takeaways + run + predict)) <= set(re.findall(thousandth, shown))
