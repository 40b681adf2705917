"""The embedder's trainer: one loop for every experiment, on one process or several."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.network import LKAReID
from models.trunk import Trunk
from training.checkpoints.resume import Checkpoints
from training.config.embedder import TrainingConfig
from training.datasets.image import VehicleImage
from training.distributed import Process
from training.embedder.average import WeightAverage
from training.embedder.branch_losses import branch_statistics, embedder_loss
from training.embedder.interpolation import estimate_norms, interpolate, weights_of
from training.embedder.losses import distillation
from training.embedder.memory import ClusterMemory
from training.embedder.mix_style import mix_styles
from training.embedder.optimiser import make_optimiser, make_schedule
from training.loading.loader import Batch, Batches
from training.loop import Loop
from training.progress import EpochRow, Observer, Progress, memory_gib
from training.readback import sent
from training.selection import Selections
from training.signals import StopRequest

Measure = Callable[[int, LKAReID], dict[str, float]]


class Trainer(Loop[Batch, EpochRow, LKAReID]):
    """Trains `network` in place.

    Args:
        network: with as many identities as `images` have vehicles.
        images: to learn from.
        config: how.
        process: this one; None for the only one, on the CPU.
        viewpoints: of the images, for side information; -1 for unknown.
        from_bundle: whether the network starts as a bundle's embedder; else only its trunk has weights to
            start from, of which `start_share` keeps some.
        start: descriptors `[N, d]` that the network gave the images before; needed for distillation and for
            cluster contrast.
        checkpoints: where to save after an epoch, and what to go on from; None for nowhere.
        measure: called after every epoch with its number and the network to use; what it returns is
            kept with the epoch.
        observers: receive the events.
        stop: checked after every step.
    """

    row_type = EpochRow

    def __init__(
        self,
        network: LKAReID,
        images: list[VehicleImage],
        config: TrainingConfig,
        *,
        process: Process | None = None,
        viewpoints: Sequence[int] | None = None,
        from_bundle: bool = False,
        start: NDArray[np.float32] | None = None,
        checkpoints: Checkpoints | None = None,
        measure: Measure | None = None,
        observers: Sequence[Observer] = (),
        stop: StopRequest | None = None,
    ) -> None:
        process = process or Process()
        self.config = config
        self.measure = measure
        self.network = _placed(network, config, process)
        self.loader = Batches.of(
            images, config, network.config.image_size, viewpoints=viewpoints, process=process
        )
        self._images = images
        if start is None and (config.losses.distillation or config.losses.clusters):
            raise ValueError("distillation and cluster contrast need the descriptors of the start")
        self._start = torch.from_numpy(start) if start is not None and config.losses.distillation else None
        self.averaged: WeightAverage | None = None
        modules: dict[str, nn.Module] = {"network": self.network}
        self.statistics = branch_statistics(
            network.config.branches,
            len({image.vehicle_id for image in images}),
            network.config.features,
            network.trunk.channels,
            config.losses,
        )
        for number, each in self.statistics.items():
            modules[f"statistics.{number}"] = cast(nn.Module, each).to(process.device)
        self.memory: ClusterMemory | None = None
        if config.losses.clusters and start is not None:
            wanted = config.losses
            self.memory = ClusterMemory(
                start, self.loader.labels, wanted.clusters_momentum, wanted.temperature
            ).to(process.device)
            modules["memory"] = self.memory
        if config.average:
            self.averaged = WeightAverage(self.network, config.average)
            modules["average"] = self.averaged
        self._mixed = []
        if config.augmentation.mix_style and isinstance(network.trunk, Trunk):
            self._mixed = mix_styles(network.trunk, config.augmentation.mix_style)
        self._begun: dict[str, Tensor] = {}
        if config.start_share:
            self._begun = {
                name: value
                for name, value in weights_of(network).items()
                if name.startswith("trunk.") or (from_bundle and ".classifier." not in name)
            }
        selection = config.selection
        self._selections = Selections(self.network, selection.start, selection.end, process)
        self._scaler = torch.amp.GradScaler(process.device.type, enabled=config.run.precision == "fp16")
        self.learn = torch.compile(self.network.learn) if config.run.compile else self.network.learn
        optimiser = make_optimiser(self.network, config.optimiser)
        super().__init__(
            modules,
            optimiser,
            make_schedule(optimiser, config.schedule, len(self.loader)),
            periods=config.schedule.epochs,
            length=len(self.loader),
            process=process,
            checkpoints=checkpoints,
            observers=observers,
            stop=stop,
        )

    @property
    def result(self) -> LKAReID:
        """The network, or the average of its weights.

        Raises:
            TypeError: the averaged module is no LKAReID.
        """
        module = self.network if self.averaged is None else self.averaged.module
        if not isinstance(module, LKAReID):
            raise TypeError("the averaged module is no LKAReID")
        return module

    def run(self) -> LKAReID:
        """Train to the end, then move the weights back towards the start where wanted; see `Loop.run`."""
        network = super().run()
        for each in self._mixed:
            each.remove()
        if self._begun:
            # What a later checkpoint holds is what was learned: resumed, it is moved back once, too.
            network = copy.deepcopy(network)
            interpolate(network, self._begun, self.config.start_share)
            if not self.config.schedule.freeze_norms:
                estimate_norms(
                    network, (self._moved(batch).images for batch in self.loader.epoch(1, alone=True))
                )
        return network

    def _moved(self, batch: Batch) -> Batch:
        last = self.config.run.channels_last
        return batch.to(self.process.device, torch.channels_last if last else torch.contiguous_format)

    def batches(self, period: int, done: int = 0) -> Iterator[Batch]:
        """The batches of an epoch after the first `done`."""
        return self.loader.epoch(period, done)

    def begin_period(self) -> None:
        """Learn with norms over each batch, or frozen ones; parts of the trunk may keep their weights."""
        schedule = self.config.schedule
        self.network.train()
        if schedule.freeze_norms:
            freeze_norms(self.network)
        trunk = self.network.trunk
        trunk.requires_grad_(self.period > schedule.freeze)
        if schedule.frozen_stages and isinstance(trunk, Trunk):
            stages = [trunk.get_submodule(f"layer{i + 1}") for i in range(schedule.frozen_stages)]
            for part in (trunk.conv1, trunk.bn1, *stages):
                part.requires_grad_(False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """See `embedder_loss`."""
        run, device = self.config.run, self.process.device
        self._selections.anneal(self.step, self.steps)
        moved = self._moved(batch)
        dtype = torch.float16 if run.precision == "fp16" else torch.bfloat16
        with torch.autocast(device.type, dtype, enabled=run.precision != "fp32"):
            output = self.learn(moved.images, moved.viewpoints)
        wanted = self.config.losses
        found = embedder_loss(
            self.network.config.branches,
            output,
            moved.labels,
            wanted,
            self.process,
            self.statistics,
            self.memory,
        )
        if self._start is not None:
            start = sent(self._start[batch.positions], device)
            found["distillation"] = wanted.distillation * distillation(output.normalised, start)
        return found

    def descend(self, total: Tensor) -> None:
        """Make a step by the mean of all processes' gradients; the weights stay where fp16 overflowed."""
        self.optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(total).backward()
        self.process.average_gradients(self.network.parameters())
        self._scaler.unscale_(self.optimiser)
        if self.config.optimiser.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimiser.clip)
        self._scaler.step(self.optimiser)
        self._scaler.update()
        # Also where fp16 overflowed: to learn of it the device would have to be waited for.
        self.schedule.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)

    def progress(self) -> Progress:
        """What observers learn of a step."""
        return Progress(self.step, self.steps, {}, self.period, self._batch, self.learning_rate)

    def row(self, losses: dict[str, float], steps: int, seconds: float) -> EpochRow:
        """Measure, and say what is known of the epoch."""
        measured: dict[str, float] = {}
        if self.measure is not None and self.process.first:
            measured = self.measure(self.period, self.result)
        self.process.barrier()
        figures, warnings = self._selections.take()
        for number, each in self.statistics.items():
            named = each.refresh().items()
            figures |= {f"bottleneck {name} {number + 1}": value for name, value in named}
        return EpochRow(
            epoch=self.period,
            epochs=self.periods,
            step=self.step,
            losses=losses,
            learning_rate=self.learning_rate,
            images_per_second=steps * self._batch / seconds if seconds else 0.0,
            seconds=seconds,
            memory_gib=memory_gib(self.process.device),
            measured=measured,
            figures=figures,
            warnings=warnings,
        )

    def emit(self, observer: Observer, row: EpochRow) -> None:
        """An epoch has ended."""
        observer.epoch(row)

    def place(self) -> str:
        """Epoch and step."""
        return f"epoch {self.period}, step {self.step + 1}"

    def images(self, batch: Batch) -> list[str]:
        """Paths of this process's images in a batch."""
        return [str(self._images[position].path) for position in batch.positions]

    @property
    def _batch(self) -> int:
        """Images in a step of all processes."""
        return self.loader.sampler.vehicles * self.loader.sampler.per_vehicle

    def state(self) -> dict[str, Any]:
        """The scale of fp16 losses, and what has been selected in the epoch under way."""
        return {"scaler": self._scaler.state_dict(), "selections": self._selections.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the scale of fp16 losses, and counting what is selected."""
        self._scaler.load_state_dict(state["scaler"])
        self._selections.restore(state["selections"])


def freeze_norms(network: nn.Module) -> None:
    """Let batch norms use the statistics that they have, and keep them."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _placed(network: LKAReID, config: TrainingConfig, process: Process) -> LKAReID:
    """The network on its device, in its layout, with norms over all processes' images on GPUs."""
    run = config.run
    if process.world_size > 1 and process.device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    network.to(process.device)
    if run.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if process.device.type == "cuda":
        torch.backends.cudnn.benchmark = not run.deterministic
        torch.use_deterministic_algorithms(run.deterministic, warn_only=True)
    return network
