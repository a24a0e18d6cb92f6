"""Where a result came from: commit, versions, machine, command and times, as one flat JSON-able dictionary."""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from negutil import __version__, paths

PACKAGES = ("numpy", "torch", "torchvision", "open_clip_torch", "pandas", "scipy", "scikit-learn", "polars")


def collect(**details: Any) -> dict[str, Any]:
    """Facts about this run, and ``details`` that only the caller knows (``seconds``: by default this process' age)."""
    started = datetime.fromtimestamp(psutil.Process().create_time(), UTC)
    return {
        "version": __version__,
        **checkout(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "threads": os.cpu_count(),
        **_torch_settings(),
        "device": os.environ.get("NEGUTIL_DEVICE") or "cpu",
        "dtype": os.environ.get("NEGUTIL_DTYPE") or "float32",
        "command": os.environ.get("NEGUTIL_COMMAND") or Path(sys.argv[0]).name,
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
    known = os.environ.get("NEGUTIL_CHECKOUT")
    if known:
        return dict(json.loads(known))
    return {"commit": _git("rev-parse", "HEAD"), "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*words: str) -> str:
    """Output of a git command in the checkout; empty for a wheel and where there is no git or no repository."""
    if not paths.IS_CHECKOUT or shutil.which("git") is None:
        return ""
    return subprocess.run(["git", *words], cwd=paths.ROOT, check=False, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    """The processor's name: from /proc/cpuinfo where there is one, else as the platform calls it."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return next((line.partition(": ")[2] for line in info.splitlines() if "model name" in line), platform.processor())


def _torch_settings() -> dict[str, Any]:
    """Threads, GPU and TF32, where torch is in use already: importing it only to ask would take seconds."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"torch_threads": torch.get_num_threads(), "gpu": gpu, "tf32": torch.backends.cuda.matmul.allow_tf32}
