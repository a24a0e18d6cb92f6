"""References to docs/protocols.md lead somewhere, none cites a document that does not ship, and links in docs/ work."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import nbformat
import pytest

from negutil import paths

DOCS = paths.ROOT / "docs"
PAGE = DOCS / "protocols.md"
SUFFIXES = {".cff", ".ipynb", ".j2", ".md", ".py", ".sh", ".toml", ".yml"}
NOT_READ = {"build", "data", "dist", "figures", "results", "weights"}
"""Folders of the root that hold no sources; what code wrote into results/ follows from the sources."""

REFERENCE = re.compile(r"docs/protocols\.md#([\w-]+)")
OLD = re.compile(
    r"""\bprotocols?,?[\s\#]+(?:sections?\s+|§\s*)?\d  # "protocol 0.3", "protocols, section 5", also over a line's end
    | \bprotocol_\d
    | \b(?:in|of)\ the\ protocols\b(?!\ of)
    | \bseed\ 00\d\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def sources() -> list[Path]:
    """Every source file of the repository but this one, whose examples are of the old kind."""
    rooms = [one for one in paths.ROOT.iterdir() if not one.name.startswith(".") and one.name not in NOT_READ]
    files = [file for room in rooms for file in ([room] if room.is_file() else room.rglob("*"))]
    return sorted(file for file in files if file.suffix in SUFFIXES and file != Path(__file__).resolve())


@cache
def text(file: Path) -> str:
    """What somebody wrote in the file: of a notebook the cells, not their outputs."""
    if file.suffix != ".ipynb":
        return file.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in nbformat.read(file, as_version=4).cells)


@cache
def anchors(page: Path) -> list[str]:
    """Explicit anchors of a Markdown page, and those that GitHub makes of its headings."""
    plain = FENCED.sub("", text(page))
    headings = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return [*explicit(page), *slugs]


def explicit(page: Path) -> list[str]:
    return re.findall(r'<a id="([\w-]+)"></a>', text(page))


def test_every_reference_leads_to_an_anchor() -> None:
    found = [(file, anchor) for file in sources() for anchor in REFERENCE.findall(text(file))]
    dead = [f"{file.relative_to(paths.ROOT)}: #{anchor}" for file, anchor in found if anchor not in anchors(PAGE)]
    assert not dead
    assert len(found) > 100  # that it looks at all


def test_no_reference_is_to_a_document_that_does_not_ship() -> None:
    old = [f"{file.relative_to(paths.ROOT)}: {match[0]!r}" for file in sources() for match in OLD.finditer(text(file))]
    assert not old


@pytest.mark.parametrize(
    "cited",
    [
        "(protocol 0.3)",
        "Protocols 3 and 8",
        "protocols, section 5",
        "protocol section 5",
        "(protocol\n# 5)",
        "seed 000",
    ],
)
def test_the_old_kind_is_recognised(cited: str) -> None:
    assert OLD.search(cited)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_no_link_of_a_page_is_dead(page: Path) -> None:
    targets = [target for target in LINK.findall(FENCED.sub("", text(page))) if not re.match(r"\w+:", target)]
    assert not [target for target in targets if not leads_somewhere(page, target)]


def leads_somewhere(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    there = (page.parent / name).resolve() if name else page
    return there.exists() and (not anchor or there.suffix != ".md" or anchor in anchors(there))


@pytest.mark.parametrize(
    ("target", "leads"),
    [
        ("#ties", True),
        ("#tie", False),
        ("data.md", True),
        ("gone.md", False),
        ("data.md#negbench", True),
        ("data.md#x", False),
    ],
)
def test_a_dead_link_is_recognised(target: str, leads: bool) -> None:
    assert leads_somewhere(PAGE, target) is leads


def test_the_contents_name_every_section_once() -> None:
    contents = text(PAGE).split("## Contents")[1].split("<a id=")[0]
    listed = re.findall(r"\]\(#([\w-]+)\)", contents)
    assert sorted(listed) == sorted(explicit(PAGE))
    assert len(set(listed)) == len(listed)
