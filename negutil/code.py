"""What a cached result depends on in the project's own code: the syntax trees of every module that it can reach.

A module reaches what it imports, at its top or inside a function, and what those import.  Docstrings, comments and
layout are no part of a syntax tree here, so that a better sentence makes nothing again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from pathlib import Path

PROJECT = ("negutil", "miniworld")
WITHOUT_VALUES = frozenset({"negutil", "negutil.errors", "negutil.progress", "negutil.paths", "negutil.cache"})
"""Modules that say, show or find something, and compute nothing that is cached."""


def fingerprint(*modules: str, libraries: Iterable[str] = ()) -> str:
    """Hex sha256 of all that ``modules`` (dotted names, such as ``__name__``) reach, and of ``libraries``' versions."""
    digest = hashlib.sha256()
    for name in sorted(reached(*modules) - WITHOUT_VALUES):
        digest.update(f"{name} {tree_sha256(source(name))}\n".encode())
    for name in sorted(libraries):
        digest.update(f"{name}=={importlib.metadata.version(name)}\n".encode())
    return digest.hexdigest()


def reached(*modules: str) -> set[str]:
    """The names of all modules of the project that ``modules`` import, directly or not, with themselves."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imports(source(name))
    return found


def source(module: str) -> Path:
    """The file of a module of the project; raises ModuleNotFoundError where there is none."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module named {module!r}", name=module)
    return Path(spec.origin)


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """The modules of the project that a file imports, in whatever function, with the packages that they lie in."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= dict.fromkeys([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    return tuple(name for name in found if name.partition(".")[0] in PROJECT and _is_module(name))


@functools.cache
def tree_sha256(path: Path) -> str:
    """Hex sha256 of a file's syntax tree, which has no comments and no layout, and here no docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body:
            # A docstring, or a text below a constant that says what it is.
            node.body = [each for each in body if not _is_text(each)] or [ast.Pass()]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@functools.cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module and no package: the name is of a class or a function
        return False
