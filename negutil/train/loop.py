"""The training loop of everything that learns here, with a loss, a sampler and a schedule as its arguments.

Batches follow from a seed and the step alone. A checkpoint holds whatever else the next step depends on, as tensors and
plain values, so a run that was stopped ends exactly as if it had not been.
"""

import contextlib
import io
import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from negutil import files, progress
from negutil.errors import NegutilError
from negutil.train.distributed import World

Batch = TypeVar("Batch")
Schedule = Callable[[int], Mapping[str, Any]]
"""Settings of the optimiser's groups at a step, such as ``{"lr": 0.001}``."""

CHECKPOINT = "checkpoint.pt"


class Stopped(NegutilError):
    """A training was interrupted and has saved its progress."""


def cosine(lr: float, steps: int, warmup: int = 0, floor: float = 0.0) -> Schedule:
    """Return a schedule: linear warm-up over ``warmup`` steps, then a cosine down to the share ``floor`` of ``lr``.

    With a floor of 1 the rate stays constant after the warm-up.
    """

    def settings(step: int) -> dict[str, float]:
        if step < warmup:
            return {"lr": lr * (step + 1) / warmup}
        share = (step - warmup) / max(1, steps - warmup)
        return {"lr": lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share)))}

    return settings


class Loop(Generic[Batch]):
    """Modules, optimiser and position of a training; :meth:`step` trains on the next batch.

    ``loss`` makes a number with gradients of a batch, ``sampler`` draws the batch of a step, ``schedule`` sets the
    optimiser; gradients are clipped at ``clip_norm`` (0: not). ``modules`` are what a checkpoint holds by name. A
    subclass keeps a ``curve`` of plain values in :meth:`note`, and says in :meth:`is_due` when a checkpoint is written.
    """

    label = "training, step"
    title = "The loss"

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        optimiser: torch.optim.Optimizer,
        *,
        loss: Callable[[Batch], torch.Tensor],
        sampler: Callable[[int], Batch],
        schedule: Schedule,
        steps: int,
        clip_norm: float = 0.0,
    ) -> None:
        self.modules = dict(modules)
        self.schedule, self.steps, self.clip_norm = schedule, steps, clip_norm
        self._loss, self._sampler = loss, sampler
        self.done, self.seconds = 0, 0.0
        self.curve: list[Any] = []
        self.best: dict[str, Any] = {}
        self.words = ""  # beside the progress bar
        self.learn_by(optimiser)

    def learn_by(self, optimiser: torch.optim.Optimizer) -> None:
        """Train what ``optimiser`` changes from now on."""
        self.optimiser = optimiser
        known = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
        everything = (parameter for module in self.modules.values() for parameter in module.parameters())
        self._learning = [parameter for parameter in everything if id(parameter) in known]
        self.device = str(self._learning[0].device)

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def step(self) -> float:
        """Train on the next batch and return its loss; raises NegutilError if that is no longer finite."""
        start = time.perf_counter()
        for group in self.optimiser.param_groups:
            group.update(self.schedule(self.done))
        loss = self._loss(self._sampler(self.done))
        value = loss.item()
        if not math.isfinite(value):
            raise NegutilError(f"{self.title} is {value} at step {self.done}; lower `lr` and start again.")
        if loss.requires_grad:  # with a constant lambda the Frame of the glasses has nothing to learn
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if self.clip_norm:
                torch.nn.utils.clip_grad_norm_(self._learning, self.clip_norm)
            self.optimiser.step()
            self.adjust()
        self.done += 1
        self.seconds += time.perf_counter() - start
        self.note(value)
        return value

    def start(self) -> None:
        """Note what there is to note before the first step."""

    def adjust(self) -> None:
        """Change weights after a step of the optimiser: bounds, or a mean of weights."""

    def note(self, loss: float) -> None:
        """Note the step that was just done, with its ``loss``, in the curve."""

    def can_stop(self) -> bool:
        """Whether a checkpoint written now holds all that the next step depends on."""
        return True

    def is_due(self) -> bool:
        """Whether a checkpoint is written after the step that was just done."""
        return self.done == self.steps

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds: tensors and plain values."""
        kept = {name: getattr(self, name) for name in ("done", "seconds", "curve", "best")}
        modules = {name: module.state_dict() for name, module in self.modules.items()}
        return kept | {"modules": modules, "optimiser": self.optimiser.state_dict()}

    def restore(self, content: dict[str, Any]) -> None:
        """Resume from the ``content`` of a checkpoint."""
        for name, module in self.modules.items():
            module.load_state_dict(content["modules"][name])
        self.optimiser.load_state_dict(content["optimiser"])
        for name in ("done", "seconds", "curve", "best"):
            setattr(self, name, content[name])


def train(
    loop: Loop[Any],
    folder: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    *,
    stop_after: int | None = None,
    members: World | None = None,
) -> None:
    """Train until all steps are done, from the checkpoint in ``folder`` where there is one (None: without any).

    ``identity`` is what the result follows from, as plain values. Ctrl-C (or a polite kill) finishes the step, saves
    and returns; ``stop_after`` does so after that many steps in all. Raises NegutilError if a checkpoint is damaged
    or has another identity, where the loss is not finite, and where a file cannot be written.
    """
    members = members or World()
    content = read_checkpoint(folder) if folder else {}
    if content:
        if content["identity"] != identity:
            was = difference(content["identity"], dict(identity or {}))
            raise NegutilError(f"{folder} was made with {was}; choose another folder, or delete its {CHECKPOINT}.")
        loop.restore(content)

    def save() -> None:
        if folder and members.writes:
            write_checkpoint(folder, loop.state() | {"identity": identity})

    with _stop_signals() as stopped:
        if not loop.done and not loop.curve:
            loop.start()
        look: dict[str, Any] = {"total": loop.steps, "initial": loop.done, "disable": not members.writes}
        with progress.bar(loop.label, unit="step", **look) as bar:
            while loop.done < min(loop.steps, stop_after or loop.steps):
                if loop.can_stop() and members.any(bool(stopped), loop.device):
                    break
                loop.step()
                bar.set_postfix_str(loop.words, refresh=False)
                bar.update()
                if loop.is_due():
                    save()
    if loop.done < loop.steps and not loop.is_due():  # stopped since the last one
        save()


def plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``identity`` as plain JSON values, which can be compared with those in a file."""
    values = {key: asdict(value) if is_dataclass(value) else value for key, value in identity.items()}  # type: ignore[arg-type]
    identity = json.loads(json.dumps(values))
    return dict(identity)


def difference(was: dict[str, Any], now: dict[str, Any]) -> str:
    """Return in words what ``was`` otherwise in an identity, settings in "config" one by one."""
    before, after = ({**each, **each.get("config", {})} for each in (was, now))
    changed = [f"{key} = {value}" for key, value in before.items() if key != "config" and after.get(key) != value]
    return ", ".join(changed) or "other settings"


def write_checkpoint(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` as the checkpoint in ``folder``, under a temporary name first."""
    stream = io.BytesIO()
    torch.save(dict(content), stream)
    files.write_bytes(folder / CHECKPOINT, stream.getvalue())


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """Return the content of the checkpoint in ``folder`` (tensors and plain values only), or {} if there is none.

    Raises NegutilError if it is damaged.
    """
    file = folder / CHECKPOINT
    if not file.exists():
        return {}
    try:
        content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise NegutilError(f"{file} is damaged; delete it to start this training again.") from error
    return content


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
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in the list given out, so that the loop can finish its step and save.

    Outside the main thread signals cannot be caught: the list then stays empty.
    """
    received: list[int] = []
    before = {}
    with contextlib.suppress(ValueError):
        for kind in (signal.SIGINT, signal.SIGTERM):
            before[kind] = signal.signal(kind, lambda number, _frame: received.append(number))
    try:
        yield received
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
