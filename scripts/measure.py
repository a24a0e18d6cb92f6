"""Print the size and the structure of the code: lines per folder, lengths of functions, circles and imports upwards.

``python scripts/measure.py`` from anywhere; with ``--check`` it exits with 1 where a circle of imports or an import
upwards is found, or more than MOST of what is counted. Only syntax trees are read: nothing of the project is imported.
"""

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("negutil", "miniworld")
ROOMS = (
    *("config", "data", "models", "fetch", "captions", "tasks", "train", "compare", "plots", "bench", "report"),
    *("run", "commands", "__main__"),
)
"""Rooms of negutil from the ground up: a module imports from its own room and from those before it.

Other modules that lie flat in negutil/ belong to the ground.
"""

REACHING, ASKING = "modules of negutil that reach miniworld", "places in negutil that ask whether data are published"
MOST = {REACHING: 1, ASKING: 3}
"""Modules that import miniworld or name one of its modules, and uses of Profile.published."""

Imports = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Every module of the packages, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(known: dict[str, Path]) -> Imports:
    """What each module imports of the packages, in functions too, apart from what is for type checkers alone."""
    return {
        name: set(_imported(ast.parse(path.read_text(encoding="utf-8")), known)) - {name}
        for name, path in known.items()
    }


def _imported(tree: ast.AST, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in known or node.module in known:
                    yield whole if whole in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        else:
            yield from _imported(node, known)


def circle(edges: Imports) -> list[str]:
    """The modules of one circle of imports; empty where there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as problem:
        return list(problem.args[1])
    return []


def room(module: str) -> int:
    """The place of a module's room in ROOMS; -1 for the ground."""
    part = module.split(".")[1] if "." in module else ""
    return ROOMS.index(part) if part in ROOMS else -1


def upwards(edges: Imports) -> list[tuple[str, str]]:
    """Pairs of modules of negutil of which the first imports the second, in a room above its own."""
    return sorted(
        (name, other)
        for name, others in edges.items()
        for other in others
        if name.startswith("negutil") and other.startswith("negutil") and room(other) > room(name)
    )


def counted(known: dict[str, Path], edges: Imports) -> dict[str, int]:
    """How many there are of what MOST limits."""
    reaching, asking = set(), 0
    for name, path in known.items():
        if name.startswith("negutil"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            if any(text.startswith("miniworld.") for text in (*edges[name], *texts)):
                reaching.add(name)
            asked = (ast.unparse(n.value) for n in nodes if isinstance(n, ast.Attribute) and n.attr == "published")
            asking += sum(of.endswith("settings") or of.startswith("config.load") for of in asked)
    return {REACHING: len(reaching), ASKING: asking}


def lengths(known: dict[str, Path]) -> list[int]:
    """How many lines each function has, decorators and docstring included."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in known.values())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (node.end_lineno or 0) - node.lineno + 1 for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)
    ]


def main() -> int:
    """Print everything; returns the exit status."""
    known = modules()
    lines: Counter[str] = Counter()
    for name, path in known.items():
        lines[".".join(name.split(".")[:2]) if path.parent.parent != ROOT else name.split(".")[0]] += _lines(path)
    for folder, count in sorted(lines.items()):
        print(f"{folder:24}{count:8,}")
    for package in PACKAGES:
        total = sum(map(_lines, (ROOT / package).rglob("*.py")))
        print(f"{package + ' in all':24}{total:8,}")
    sizes = sorted(lengths(known))
    print(
        f"functions: {len(sizes):,}, median {statistics.median(sizes):.0f} lines, "
        f"p90 {sizes[int(0.9 * len(sizes))]}, longest {sizes[-1]}"
    )
    print(f"modules flat in negutil/: {len(list((ROOT / 'negutil').glob('*.py')))}")
    edges = imports(known)
    found, up = circle(edges), upwards(edges)
    print(f"circle of imports: {' -> '.join(found) or 'none'}")
    counts = counted(known, edges)
    for what, count in counts.items():
        print(f"{what}: {count}")
    print(f"imports upwards: {len(up)}")
    for pair in up:
        print("   ", " -> ".join(pair))
    return int(
        "--check" in sys.argv[1:] and bool(found or up or any(counts[what] > most for what, most in MOST.items()))
    )


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    sys.exit(main())
