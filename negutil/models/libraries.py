"""transformers and diffusers, imported when they are first used: both are slow to import."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from negutil.errors import NegutilError


@functools.cache
def transformers() -> Any:
    """Return the module transformers; raises NegutilError that says how to install it where it is missing."""
    return _imported("transformers")


@functools.cache
def diffusers() -> Any:
    """Return the module diffusers; raises NegutilError that says how to install it where it is missing."""
    return _imported("diffusers")


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        raise NegutilError(f"This needs {name}: run pip install -c constraints.txt {name}.") from problem
