"""The code that a result depends on, and the provenance of a result: commit, versions, machine, command and times.

What a cached result depends on are the syntax trees of every module of the project that its function can reach.  A
module reaches what it imports, at its top or inside a function, and what those import.  Docstrings, comments and layout
are no part of a syntax tree here, so that a better sentence makes nothing again.
"""

import ast
import functools
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from negutil import __version__, paths

PROJECT = ("negutil", "miniworld")
WITHOUT_VALUES = frozenset(
    {"negutil", "negutil.errors", "negutil.progress", "negutil.paths", "negutil.cache", "negutil.code"}
)
"""Modules that say, show or find something, and compute nothing that is cached."""

PACKAGES = ("numpy", "torch", "torchvision", "open_clip_torch", "pandas", "scipy", "scikit-learn", "polars")
"""Packages whose versions are part of the provenance."""


def fingerprint(*modules: str, libraries: Iterable[str] = ()) -> str:
    """Hex sha256 of all that ``modules`` (dotted names, such as ``__name__``) reach, and of ``libraries``' versions."""
    digest = hashlib.sha256()
    for name in sorted(reached(*modules) - WITHOUT_VALUES):
        digest.update(f"{name} {tree_sha256(source(name))}\n".encode())
    for name in sorted(libraries):
        digest.update(f"{name}=={metadata.version(name)}\n".encode())
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
    """The file of a module of the project; raises ModuleNotFoundError if there is none."""
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
            node.body = [  # type: ignore[attr-defined]
                each
                for each in body  # without docstrings, and texts below constants that say what they are
                if not (isinstance(each, ast.Expr) and isinstance(getattr(each.value, "value", None), str))
            ] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@functools.cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is a module and no package: the name is of a class or a function
        return False


# --------------------------------------------------------------------------------------------------------------------
# Where a result came from


def command() -> str:
    """The command that started this process, as the command line and ``run_all.sh`` note it."""
    return os.environ.get("NEGUTIL_COMMAND") or Path(sys.argv[0]).name


def provenance(**details: Any) -> dict[str, Any]:
    """Facts about this run, and ``details`` that only the caller knows (``seconds``: by default this process' age)."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    started = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
    return {
        "version": __version__,
        **checkout(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": next(
            (line.partition(": ")[2] for line in info.splitlines() if "model name" in line), platform.processor()
        ),
        "threads": os.cpu_count(),
        **_torch_settings(),
        "device": os.environ.get("NEGUTIL_DEVICE") or "cpu",
        "dtype": os.environ.get("NEGUTIL_DTYPE") or "float32",
        "command": command(),
        "started": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds(), 1),
        **details,
    }


@functools.lru_cache(maxsize=1)
def checkout() -> dict[str, Any]:
    """The commit, and whether the clone differed from it when the run began.

    A run writes results into the clone before it ends, so the process that starts it passes on what it found, in
    NEGUTIL_CHECKOUT.
    """
    if known := os.environ.get("NEGUTIL_CHECKOUT"):
        return dict(json.loads(known))
    return {"commit": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*words: str) -> str:
    """Output of a git command in the checkout; empty for a wheel and where there is no git or no repository."""
    if not paths.IS_CHECKOUT or shutil.which("git") is None:
        return ""
    return subprocess.run(["git", *words], cwd=paths.ROOT, check=False, capture_output=True, text=True).stdout.strip()


def _torch_settings() -> dict[str, Any]:
    """Threads, GPU and TF32, where torch is in use already: importing it only for this would take seconds."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"torch_threads": torch.get_num_threads(), "gpu": gpu, "tf32": torch.backends.cuda.matmul.allow_tf32}
