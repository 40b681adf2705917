"""The loop of every training: steps in periods of equal length, events, checkpoints, graceful shutdown."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from training.checkpoints.resume import (
    Checkpoints,
    pack_optimiser,
    pack_random_state,
    under,
    unpack_optimiser,
    unpack_random_state,
)
from training.distributed import Process
from training.progress import CheckRow, EpochRow, Observer, Progress
from training.readback import Readback, UnreadStep
from training.signals import StoppedError, StopRequest

B = TypeVar("B")
Row = TypeVar("Row", EpochRow, CheckRow)
M = TypeVar("M", bound=nn.Module)


class Loop(ABC, Generic[B, Row, M]):
    """A training of a model `M` on batches `B`; each period ends with a row of its history.

    A period is an embedder's epoch, or the steps between two checks of a re-ranker.

    Args:
        modules: saved under these names.
        optimiser: over their parameters.
        schedule: of its learning rate, stepped after every step.
        periods: to make.
        length: steps in a period.
        process: this one; None for the only one, on the CPU.
        checkpoints: where to save after a period, as often as they say and after the last, and what to go on
            from; None for nowhere.
        observers: receive the events.
        stop: checked after every step.

    Attributes:
        late: read a step's losses when the next step is queued, so that a device that computes beside the
            host is not waited for. On a CPU nothing is gained by it.
    """

    row_type: type[Row]

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        optimiser: torch.optim.Optimizer,
        schedule: LRScheduler,
        *,
        periods: int,
        length: int,
        process: Process | None = None,
        checkpoints: Checkpoints | None = None,
        observers: Sequence[Observer] = (),
        stop: StopRequest | None = None,
    ) -> None:
        self.modules = modules
        self.optimiser = optimiser
        self.schedule = schedule
        self.periods = periods
        self.length = length
        self.process = process or Process()
        self.checkpoints = checkpoints
        self.observers = observers
        self.stop = stop or StopRequest()
        self.history: list[Row] = []
        self.step = 0
        self.period = 1
        self._done = 0
        self._sums: dict[str, float] = {}
        self.late = self.process.device.type != "cpu"
        self._unread: UnreadStep[B] | None = None
        self._another_stops = False

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.periods * self.length

    @property
    def learning_rate(self) -> float:
        """Of the next step, of the first group of parameters."""
        return float(self.optimiser.param_groups[0]["lr"])

    @property
    @abstractmethod
    def result(self) -> M:
        """The model to be used."""

    @abstractmethod
    def batches(self, period: int, done: int = 0) -> Iterator[B]:
        """The batches of a period after the first `done`."""

    @abstractmethod
    def losses(self, batch: B) -> dict[str, Tensor]:
        """The weighted losses by name; their sum is minimised."""

    @abstractmethod
    def progress(self) -> Progress:
        """What observers learn of the step just made; its losses are added when they are known."""

    @abstractmethod
    def row(self, losses: dict[str, float], steps: int, seconds: float) -> Row:
        """What is known of the period just ended.

        Args:
            losses: means over the period.
            steps: that this run has made of it.
            seconds: spent on those.
        """

    @abstractmethod
    def emit(self, observer: Observer, row: Row) -> None:
        """Give an observer a row."""

    @abstractmethod
    def place(self) -> str:
        """The next step, for messages."""

    @abstractmethod
    def images(self, batch: B) -> list[str]:
        """Paths of a batch's images, for messages."""

    def begin(self) -> None:
        """What a training does before its first step, and not again when it is resumed."""

    def begin_period(self) -> None:
        """What precedes the steps of a period, or those that are left of it."""

    def descend(self, total: Tensor) -> None:
        """Make a step down the gradient of the loss."""
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        self.schedule.step()

    def state(self) -> dict[str, Any]:
        """What else a checkpoint holds, as plain JSON types."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""

    def run(self) -> M:
        """Train to the end, from the checkpoint where there is one, and return what is to be used.

        Raises:
            FloatingPointError: the loss is not finite; the message names the step and the images.
            StoppedError: it was stopped, and has saved where it stands.
            ResumeError: the checkpoint is damaged, or of another training.
        """
        if self.checkpoints is not None and self.checkpoints.exist():
            self.resume()
        else:
            self.begin()
        for observer in self.observers:
            observer.started(self.steps, self.step)
        while self.period <= self.periods:
            self.begin_period()
            started, before = time.perf_counter(), self._done
            for batch in self.batches(self.period, self._done):
                self._make_step(batch)
                if self._done < self.length and (self._another_stops or self._stops_alone()):
                    self._stop()
            self._read_losses()
            # The losses are there before the step's gradients are, and the period ends with those.
            Readback(torch.zeros(1, device=self.process.device)).read()
            self._end_period(self._done - before, time.perf_counter() - started)
            if self.period <= self.periods and self._one_stops():
                self._stop()
        for observer in self.observers:
            observer.finished()
        return self.result.eval()

    def _make_step(self, batch: B) -> None:
        place = self.place()
        try:
            names, numbers = self._descend_on(batch)
        except Exception:
            # What a step that was not finite has left may be what the next one fails over.
            self._read_losses()
            raise
        self.step += 1
        self._done += 1
        self._read_losses()
        self._unread = UnreadStep(batch, place, names, numbers, self.progress())
        if not self.late:
            self._read_losses()

    def _descend_on(self, batch: B) -> tuple[list[str], Readback]:
        """Make a step; the names of its losses, and the numbers of `UnreadStep`."""
        losses: dict[str, Tensor] = self.losses(batch)
        total = torch.stack(list(losses.values())).sum()
        stop = torch.full_like(total, float(self.stop.made))
        mean = self.process.all_reduce_mean(torch.stack([total, stop, *losses.values()]).detach())
        finite = torch.isfinite(total).to(mean.dtype)
        numbers = Readback(torch.cat([finite.unsqueeze(0), mean]))
        self.descend(total)
        return list(losses), numbers

    def _read_losses(self) -> None:
        """Tell of the last step, if that has not been done."""
        made, self._unread = self._unread, None
        if made is not None:
            self._tell(made)

    def _tell(self, made: UnreadStep[B]) -> None:
        finite, total, stops, *values = made.numbers.read()
        # The mean over the processes is not finite where one of them is not: all of them stop here.
        if not math.isfinite(total):
            own = [] if finite else ["; the batch was:", *self.images(made.batch)]
            raise FloatingPointError(f"the loss is {total} in {made.place}" + "\n  ".join(own))
        self._another_stops = stops > 0 and self.process.world_size > 1
        found = dict(zip(made.names, values, strict=True))
        for name, value in found.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        progress = replace(made.progress, losses=found)
        for observer in self.observers:
            observer.step(progress)

    def _end_period(self, steps: int, seconds: float) -> None:
        row = self.row({name: total / self._done for name, total in self._sums.items()}, steps, seconds)
        self.history.append(row)
        self.period, self._done, self._sums = self.period + 1, 0, {}
        # What follows a training may fail, and must not cost its last periods.
        if self.checkpoints is not None and (self.period > self.periods or self.checkpoints.due()):
            self.save()
        for observer in self.observers:
            self.emit(observer, row)

    def _stops_alone(self) -> bool:
        """Whether this process is to stop; where there are others, all learn of it with a step's losses."""
        return self.stop.made and self.process.world_size == 1

    def _one_stops(self) -> bool:
        """Whether a process is to stop; all of them ask."""
        requested = torch.full((), float(self.stop.made), device=self.process.device)
        return bool(self.process.all_reduce_mean(requested) > 0)

    def _stop(self) -> None:
        self.save()
        # A process that ends before the first one has saved has torchrun end that one, too.
        self.process.barrier()
        raise StoppedError(f"stopped the training of {self.steps} steps after step {self.step}")

    def save(self) -> None:
        """Save where it stands, if there is a place to, and if the last step was finite.

        Raises:
            FloatingPointError: it was not.
        """
        self._read_losses()
        if self.checkpoints is None or not self.process.first:
            return
        tensors = {
            f"{part}.{name}": value
            for part, module in self.modules.items()
            for name, value in module.state_dict().items()
        }
        optimiser, groups = pack_optimiser(self.optimiser)
        values = {
            "period": self.period,
            "done": self._done,
            "sums": self._sums,
            "groups": groups,
            "schedule": self.schedule.state_dict(),
            "history": [row.to_dict() for row in self.history],
            "state": self.state(),
        }
        self.checkpoints.save(self.step, tensors | optimiser | pack_random_state(), values)

    def resume(self) -> None:
        """Go on from the checkpoint.

        Raises:
            ResumeError: there is none, it is damaged, or of another training.
        """
        if self.checkpoints is None:
            raise ValueError("a training without checkpoints has nothing to resume")
        self.step, tensors, values = self.checkpoints.load()
        for part, module in self.modules.items():
            module.load_state_dict(under(f"{part}.", tensors), strict=True)
        unpack_optimiser(self.optimiser, tensors, values["groups"])
        self.schedule.load_state_dict(values["schedule"])
        self.period, self._done, self._sums = values["period"], values["done"], values["sums"]
        self.history = [self.row_type(**row) for row in values["history"]]
        self.restore(values["state"])
        unpack_random_state(tensors)
