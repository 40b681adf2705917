"""Between the host and a device that computes beside it: numbers there and back, without waiting for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from training.progress import Progress

B = TypeVar("B")


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; a GPU is not waited for, which takes pinned memory."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class Readback:
    """Numbers on their way to the host: making it does not wait for the device, reading it does.

    Args:
        values: `[N]`; nobody writes to them any more.
    """

    def __init__(self, values: Tensor) -> None:
        self._values = values.detach().to("cpu", non_blocking=True)
        self._arrived: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._arrived = torch.cuda.current_stream(values.device).record_event()

    def read(self) -> list[float]:
        """The numbers, once they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        numbers: list[float] = self._values.tolist()
        return numbers


@dataclass(frozen=True)
class UnreadStep(Generic[B]):
    """A step whose losses have not been read.

    Attributes:
        batch: that it was made on.
        place: of the step.
        names: of the losses.
        numbers: the mean loss of all processes, whether this one's is finite, whether one is to stop, and
            the losses.
        progress: after the step, without losses.
    """

    batch: B
    place: str
    names: list[str]
    numbers: Readback
    progress: Progress
