"""Fine-tuning over several processes, as torchrun starts them, with the contrastive batch of all of them together.

Every process draws the same batch (it follows from seed and step), encodes its share of the texts and receives the
features of the others; image features are cached rows, which each has. So the loss is that of one process with the
whole batch, and its gradient flows back through the gathering to the process that encoded the text.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.nn.functional import all_gather
from torch.nn.parallel import DistributedDataParallel

Encode = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class World:
    """This process is number ``rank`` of ``size``; number 0 writes the files."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def any(self, flag: bool, device: str) -> bool:
        """Whether ``flag`` is set in any of the processes; all have to ask."""
        if self.size == 1:
            return flag
        count = torch.tensor(float(flag), device=device)
        dist.all_reduce(count)
        return bool(count.item() > 0)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()


def world() -> World:
    """Return the processes that this one works with: itself alone outside :func:`processes`."""
    return World(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else World()


@contextlib.contextmanager
def processes() -> Iterator[World]:
    """Join the processes that torchrun started, by NCCL where each has a GPU, else by gloo; alone without torchrun."""
    if "WORLD_SIZE" not in os.environ:
        yield World()
        return
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if has_gpu else "gloo")
    try:
        yield world()
    finally:
        dist.destroy_process_group()


def encoder(tower: torch.nn.Module, members: World) -> Encode:
    """Return what encodes texts [T, L] of the whole batch as features [T, D]: ``tower``, shared out among ``members``.

    DistributedDataParallel averages the gradients; as every process has the loss of the whole batch, and the gathering
    adds up what each of them sends back, the average is the gradient of one process with the whole batch.
    """
    if members.size == 1:
        return tower
    wrapped = DistributedDataParallel(tower)

    def encode(tokens: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            features: torch.Tensor = tower(tokens)
            return features
        # Every ``size``-th text from ``rank`` on; the last text fills up, so that all shares are equally long.
        filled = torch.cat([tokens, tokens[-1:].expand(-len(tokens) % members.size, -1)])
        share = wrapped(filled[members.rank :: members.size])
        return torch.stack(all_gather(share), dim=1).flatten(0, 1)[: len(tokens)]

    return encode
