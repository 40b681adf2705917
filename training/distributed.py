"""One process, or several that `torchrun` has started: its rank, and what they exchange."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist


class ProcessError(Exception):
    """Processes or devices that are not there; the message says what is."""


@dataclass(frozen=True)
class Process:
    """This process among those that train together.

    Attributes:
        device: where it computes.
        rank: from 0; process 0 reports and writes.
        world_size: number of processes.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this one reports and writes."""
        return self.rank == 0

    def all_gather(self, tensor: Tensor) -> Tensor:
        """`[B, ...]` of each process -> `[world_size * B, ...]` in order of rank; gradients flow back."""
        if self.world_size == 1:
            return tensor
        gathered: Tensor = _AllGather.apply(tensor, self.rank, self.world_size)  # type: ignore[no-untyped-call]
        return gathered

    def all_reduce_mean(self, values: Tensor) -> Tensor:
        """The mean over the processes, without a gradient."""
        if self.world_size == 1:
            return values
        values = values.detach().clone()
        dist.all_reduce(values)
        return values / self.world_size

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the mean of all gradients.

        One call after the backward pass, not DistributedDataParallel: which parameters have a gradient
        changes with the freeze, and the necks of triplet branches have none at all.
        """
        if self.world_size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.world_size
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def barrier(self) -> None:
        """Until every process has come here."""
        if self.world_size > 1:
            dist.barrier()


class _AllGather(torch.autograd.Function):
    """All-gather whose gradient is the sum of all processes' gradients of a part.

    Each process has its own copy of the same loss; averaging the parameters' gradients over the
    processes afterwards gives exactly the gradient of one process with the whole batch.
    """

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, rank: int, world_size: int) -> Tensor:
        ctx.rank, ctx.length = rank, len(tensor)
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        whole = gradients[0].contiguous().clone()
        dist.all_reduce(whole)
        return whole[ctx.rank * ctx.length : (ctx.rank + 1) * ctx.length], None, None


def emulates_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by way of float32 there, which takes about three times as long as that."""
    if device.type != "cpu":
        return False
    known = torch.cpu.get_capabilities()
    return known.get("architecture") == "x86_64" and not (known["avx512_bf16"] or known["amx_bf16"])


def choose_device(name: str, index: int = 0) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` stands for.

    Raises:
        ProcessError: cuda was chosen and there is none; nothing falls back in silence.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ProcessError("run.device is cuda, but torch sees no CUDA device; set it to auto or cpu")
    return torch.device("cuda", index)


@contextmanager
def joined(device: str) -> Iterator[Process]:
    """This process, joined with the others if `torchrun` has started it.

    Raises:
        ProcessError: the device is not there.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", "0")))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if count == 1:
        yield Process(chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Process(chosen, dist.get_rank(), count)
    finally:
        dist.destroy_process_group()
