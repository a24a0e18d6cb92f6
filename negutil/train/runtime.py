"""What surrounds a training loop: fast kernels for small transformers on a CPU, and a stop that breaks no step."""

from __future__ import annotations

import contextlib
import functools
import signal
from collections.abc import Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextlib.contextmanager
def fast_kernels(threads: int, matmul_precision: str, device: str) -> Iterator[None]:
    """Set threads, the precision of products and the kernel of attention, and put them back afterwards.

    ``matmul_precision`` is torch's: "highest" is float32; "medium" rounds the factors (not the sums) to bfloat16 where
    the processor can, and doubles the speed of products there. On a CPU, attention over a few dozen tokens is about
    three times faster by plain matrix products than by the tiled kernel that torch takes by itself.
    """
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(matmul_precision)
    on_cpu = torch.device(device).type == "cpu"
    try:
        with sdpa_kernel(SDPBackend.MATH) if on_cpu else contextlib.nullcontext():
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


@contextlib.contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in the list given out, so that the loop can finish its step and save.

    Outside the main thread signals cannot be caught: the list then stays empty.
    """
    received: list[int] = []
    before = {}
    with contextlib.suppress(ValueError):
        for kind in (signal.SIGINT, signal.SIGTERM):
            before[kind] = signal.signal(kind, functools.partial(_note, received))
    try:
        yield received
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _note(received: list[int], kind: int, _frame: object) -> None:
    received.append(kind)
