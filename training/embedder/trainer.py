"""The embedder's trainer: one loop for every experiment, on one process or several, saved and resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.network import LKAReID
from training.checkpoints.resume import (
    Snapshots,
    pack_chance,
    pack_optimiser,
    under,
    unpack_chance,
    unpack_optimiser,
)
from training.config.embedder import TrainingConfig
from training.datasets.image import VehicleImage
from training.distributed import Process
from training.embedder.branch_losses import embedder_loss
from training.embedder.optimiser import make_optimiser, make_schedule
from training.loading.loader import Batch, Batches
from training.progress import EpochRow, Observer, Progress, memory_gib
from training.signals import InterruptedRunError, Interruption

Measure = Callable[[int, LKAReID], dict[str, float]]


class Trainer:
    """Trains `network` in place.

    Args:
        network: with as many identities as `images` have vehicles.
        images: to learn from.
        config: how.
        process: this one; None for the only one, on the CPU.
        viewpoints: of the images, for side information; -1 for unknown.
        snapshots: where to save after every epoch; None for nowhere.
        measure: called after every epoch with its number and the network to use; what it returns is
            kept with the epoch.
        observers: told of every step and epoch.
        interruption: asked after every step.
    """

    def __init__(
        self,
        network: LKAReID,
        images: list[VehicleImage],
        config: TrainingConfig,
        *,
        process: Process | None = None,
        viewpoints: Sequence[int] | None = None,
        snapshots: Snapshots | None = None,
        measure: Measure | None = None,
        observers: Sequence[Observer] = (),
        interruption: Interruption | None = None,
    ) -> None:
        self.config = config
        self.process = process or Process()
        self.snapshots = snapshots
        self.measure = measure
        self.observers = observers
        self.interruption = interruption or Interruption()
        self.history: list[EpochRow] = []
        self.network = self._placed(network)
        self.batches = Batches.of(
            images,
            config,
            network.config.image_size,
            viewpoints=viewpoints,
            process=self.process,
        )
        self._images = images
        self.optimiser = make_optimiser(self.network, config.optimiser)
        self.schedule = make_schedule(self.optimiser, config.schedule, len(self.batches))
        self.averaged = self._averaged()
        device = self.process.device.type
        self._scaler = torch.amp.GradScaler(device, enabled=config.run.precision == "fp16")
        self._learn = torch.compile(self.network.learn) if config.run.compile else self.network.learn
        self._epoch, self._done, self._step = 1, 0, 0
        self._sums: dict[str, float] = {}

    def _placed(self, network: LKAReID) -> LKAReID:
        """The network on its device, in its layout, with norms over all processes' images on GPUs."""
        run, process = self.config.run, self.process
        if process.count > 1 and process.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        network.to(process.device)
        if run.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if process.device.type == "cuda":
            torch.backends.cudnn.benchmark = not run.deterministic
            torch.use_deterministic_algorithms(run.deterministic, warn_only=True)
        return network

    def _averaged(self) -> AveragedModel | None:
        if not self.config.average:
            return None
        average = get_ema_multi_avg_fn(self.config.average)
        return AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)

    @property
    def result(self) -> LKAReID:
        """What is to be used: the network, or the average of its weights.

        Raises:
            TypeError: the averaged module is no LKAReID.
        """
        module = self.network if self.averaged is None else self.averaged.module
        if not isinstance(module, LKAReID):
            raise TypeError("the averaged module is no LKAReID")
        return module

    def run(self) -> LKAReID:
        """Train from where it stands to the end, and return what is to be used, in evaluation mode.

        Raises:
            FloatingPointError: the loss is not finite; the message names the step and the images.
            InterruptedRunError: it was asked to stop, and has saved where it stands.
        """
        config = self.config.schedule
        steps = len(self.batches) * config.epochs
        for observer in self.observers:
            observer.started(steps, self._step)
        while self._epoch <= config.epochs:
            self.network.train()
            self.network.trunk.requires_grad_(self._epoch > config.freeze)
            started, before = time.perf_counter(), self._done
            for batch in self.batches.epoch(self._epoch, self._done):
                losses = self._make_step(batch)
                for name, value in losses.items():
                    self._sums[name] = self._sums.get(name, 0.0) + value
                self._tell(losses, steps)
                if self._done < len(self.batches):
                    self._stop_if_asked()
            self._end_epoch(time.perf_counter() - started, self._done - before)
            if self._epoch <= config.epochs:
                self._stop_if_asked()
        return self.result.eval()

    def _make_step(self, batch: Batch) -> dict[str, float]:
        run = self.config.run
        layout = torch.channels_last if run.channels_last else torch.contiguous_format
        moved = batch.to(self.process.device, layout)
        dtype = torch.float16 if run.precision == "fp16" else torch.bfloat16
        with torch.autocast(self.process.device.type, dtype, enabled=run.precision != "fp32"):
            output = self._learn(moved.pictures, moved.viewpoints)
        losses = embedder_loss(
            self.network.config.branches, output, moved.labels, self.config.losses, self.process
        )
        total = torch.stack(list(losses.values())).sum()
        values = self.process.mean(torch.stack([total, *losses.values()]).detach()).tolist()
        self._check(values[0], total, batch)
        self._descend(total)
        self._step += 1
        self._done += 1
        return dict(zip(losses, values[1:], strict=True))

    def _check(self, mean: float, total: Tensor, batch: Batch) -> None:
        # The mean over the processes is not finite where one of them is not: all of them stop here.
        if torch.isfinite(torch.tensor(mean)):
            return
        message = f"the loss is {mean} in epoch {self._epoch}, step {self._step + 1}"
        if not torch.isfinite(total):
            paths = "\n".join(f"  {self._images[position].path}" for position in batch.positions)
            message += f"; the batch was:\n{paths}"
        raise FloatingPointError(message)

    def _descend(self, total: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(total).backward()
        self.process.average_gradients(self.network.parameters())
        self._scaler.unscale_(self.optimiser)
        if self.config.optimiser.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimiser.clip)
        scale = self._scaler.get_scale()
        self._scaler.step(self.optimiser)
        self._scaler.update()
        if self._scaler.get_scale() < scale:
            return  # fp16 overflowed: no step was made
        self.schedule.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def _tell(self, losses: dict[str, float], steps: int) -> None:
        images = self.batches.sampler.vehicles * self.batches.sampler.pictures
        rate = float(self.optimiser.param_groups[0]["lr"])
        for observer in self.observers:
            observer.step(Progress(self._epoch, self._step, steps, losses, images, rate))

    def _end_epoch(self, seconds: float, steps: int) -> None:
        measured: dict[str, float] = {}
        if self.measure is not None and self.process.first:
            measured = self.measure(self._epoch, self.result)
        self.process.wait()
        images = steps * self.batches.sampler.vehicles * self.batches.sampler.pictures
        row = EpochRow(
            epoch=self._epoch,
            epochs=self.config.schedule.epochs,
            step=self._step,
            losses={name: total / self._done for name, total in self._sums.items()},
            learning_rate=float(self.optimiser.param_groups[0]["lr"]),
            images_per_second=images / seconds if seconds else 0.0,
            seconds=seconds,
            memory_gib=memory_gib(self.process.device),
            measured=measured,
        )
        self.history.append(row)
        self._epoch, self._done, self._sums = self._epoch + 1, 0, {}
        if self.snapshots is not None and self.snapshots.due():
            self.save()
        for observer in self.observers:
            observer.epoch(row)

    def _stop_if_asked(self) -> None:
        asked = torch.tensor(float(self.interruption.asked), device=self.process.device)
        if not self.process.mean(asked) > 0:
            return
        self.save()
        raise InterruptedRunError(
            f"stopped in epoch {self._epoch} of {self.config.schedule.epochs}, after step {self._step}"
        )

    def save(self) -> None:
        """Save where it stands, if there is a place to."""
        if self.snapshots is None or not self.process.first:
            return
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"average.{name}": value for name, value in self.averaged.state_dict().items()}
        optimiser, groups = pack_optimiser(self.optimiser)
        values: dict[str, Any] = {
            "epoch": self._epoch,
            "done": self._done,
            "step": self._step,
            "sums": self._sums,
            "groups": groups,
            "schedule": self.schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "history": [row.to_dict() for row in self.history],
        }
        self.snapshots.save(self._step, tensors | optimiser | pack_chance(), values)

    def resume(self) -> None:
        """Go on from what is saved.

        Raises:
            SnapshotError: nothing is, or it does not fit.
        """
        if self.snapshots is None:
            raise ValueError("a trainer without snapshots has nothing to resume")
        tensors, values = self.snapshots.load()
        self.network.load_state_dict(under("network.", tensors), strict=True)
        if self.averaged is not None:
            self.averaged.load_state_dict(under("average.", tensors), strict=True)
        unpack_optimiser(self.optimiser, tensors, values["groups"])
        self.schedule.load_state_dict(values["schedule"])
        self._scaler.load_state_dict(values["scaler"])
        self._epoch, self._done, self._step = values["epoch"], values["done"], values["step"]
        self._sums = values["sums"]
        self.history = [EpochRow(**row) for row in values["history"]]
        unpack_chance(tensors)
