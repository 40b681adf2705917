"""Batches of changed images, prepared ahead by a thread or by processes; the numbers are the same."""

from __future__ import annotations

import atexit
import random
import signal
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.inputspec import InputSpec
from training.config.embedder import TrainingConfig
from training.datasets.image import DatasetError, VehicleImage
from training.distributed import Process
from training.loading.ahead import made_ahead
from training.loading.augmentation import Augmentation, Changes
from training.loading.images import read_image, readers
from training.loading.sampler import PKSampler
from training.readback import sent
from training.signals import SIGNALS

Drawn = tuple[int, Changes]


@dataclass(frozen=True)
class Batch:
    """What one step of one process learns from.

    Attributes:
        images: `[B, 3, H, W]`, normalised.
        labels: `[B]` identities.
        viewpoints: `[B]`, or None without side information.
        positions: `[B]`, of the images among the training images.
    """

    images: Tensor
    labels: Tensor
    viewpoints: Tensor | None
    positions: list[int]

    def to(self, device: torch.device, memory_format: torch.memory_format) -> Batch:
        """The same on another device."""
        return replace(
            self,
            images=sent(self.images, device).contiguous(memory_format=memory_format),
            labels=sent(self.labels, device),
            viewpoints=None if self.viewpoints is None else sent(self.viewpoints, device),
        )


class Batches:
    """Batches of augmented images.

    Those of the next epoch are prepared while the last ones of an epoch are learned from.

    Args:
        images: the training images.
        sampler: of the whole batches; each process takes its share of the vehicles of each.
        augmentation: of the images.
        seed: of the augmentation.
        epochs: after which nothing is prepared ahead.
        viewpoints: of the images, for side information.
        workers: processes that prepare; 0 for a thread that is one batch ahead.
        cache: decode everything now and keep it.
        process: this one.

    Raises:
        DatasetError: P cannot be shared among the processes, or an image cannot be read (cache).
    """

    def __init__(
        self,
        images: list[VehicleImage],
        sampler: PKSampler,
        augmentation: Augmentation,
        seed: int,
        *,
        epochs: int = 0,
        viewpoints: Sequence[int] | None = None,
        workers: int = 0,
        cache: bool = False,
        process: Process | None = None,
    ) -> None:
        self.sampler = sampler
        process = process or Process()
        if sampler.vehicles % process.world_size:
            raise DatasetError(
                f"batch.vehicles = {sampler.vehicles} cannot be shared by {process.world_size} processes"
            )
        self.vehicles = sorted({image.vehicle_id for image in images})
        number = {vehicle: i for i, vehicle in enumerate(self.vehicles)}
        self.labels = torch.tensor([number[image.vehicle_id] for image in images])
        self._viewpoints = torch.tensor(viewpoints) if viewpoints is not None else None
        self._epochs = epochs
        self._images = _Images(images, augmentation, cache=cache)
        self._plan = _Plan(sampler, augmentation, seed, process)
        self._running: Iterator[Tensor] = iter(())
        self._next: tuple[int, int] | None = None
        self._loader: DataLoader[Any] | None = None
        if workers:
            self._loader = DataLoader(
                self._images,
                batch_sampler=self._plan,
                num_workers=workers,
                collate_fn=_stack,
                worker_init_fn=_leave_signals_to_the_parent,
                persistent_workers=True,
                pin_memory=process.device.type == "cuda",
                # Else it would draw from the training's own generator, once more in a run that is resumed.
                generator=torch.Generator(),
            )
            atexit.register(_end_processes, weakref.ref(self._loader))

    @classmethod
    def of(
        cls,
        images: list[VehicleImage],
        config: TrainingConfig,
        image_size: tuple[int, int],
        *,
        viewpoints: Sequence[int] | None = None,
        process: Process | None = None,
    ) -> Batches:
        """As a configuration says.

        Args:
            images: the training images.
            config: of the training.
            image_size: (height, width) in px.
            viewpoints: of the images, for side information.
            process: this one.

        Raises:
            DatasetError: too few vehicles, or P cannot be shared among the processes.
        """
        height, width = image_size
        spec = InputSpec(height=height, width=width, mean=config.input.mean, std=config.input.std)
        batch = config.batch
        return cls(
            images,
            PKSampler(
                images,
                batch.vehicles,
                batch.images,
                config.seed,
                by_type=batch.by_type,
                by_group=batch.by_group,
                epoch=batch.epoch,
            ),
            Augmentation(spec, config.augmentation),
            config.seed,
            epochs=config.schedule.epochs,
            viewpoints=viewpoints,
            workers=config.run.workers,
            cache=config.run.cache,
            process=process,
        )

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.sampler)

    def epoch(self, number: int, done: int = 0, *, alone: bool = False) -> Iterator[Batch]:
        """The batches of an epoch, the same for the same seed and number.

        Args:
            number: of the epoch.
            done: leave out this many batches, which a run that was broken off has seen.
            alone: prepare nothing of the next epoch.

        Raises:
            DatasetError: an image cannot be read; the message names it.
        """
        if self._next != (number, done):
            self._plan.begin(number, done, number if alone else max(number, self._epochs))
            prepared = made_ahead(self._plan, self._images.batch) if self._loader is None else self._loader
            self._running = iter(prepared)
        for batch in range(done + 1, len(self) + 1):
            self._next = None
            images = next(self._running)
            positions = [position for position, _ in self._plan.asked.popleft()]
            if batch < len(self):
                self._next = (number, batch)
            elif number < self._plan.last:
                self._next = (number + 1, 0)
            viewpoints = self._viewpoints[positions] if self._viewpoints is not None else None
            yield Batch(images, self.labels[positions], viewpoints, positions)


class _Images(Dataset[NDArray[np.float32]]):
    """Prepared images by position and changes."""

    def __init__(self, images: list[VehicleImage], augmentation: Augmentation, *, cache: bool) -> None:
        self.augmentation = augmentation
        self._listed = images
        self._decoded: list[Image.Image] | None = None
        if cache:
            with readers() as pool:
                self._decoded = list(pool.map(read_image, images))

    def __getitem__(self, drawn: Drawn) -> NDArray[np.float32]:
        position, changes = drawn
        image = self._decoded[position] if self._decoded is not None else read_image(self._listed[position])
        return self.augmentation.apply(image, changes)

    def batch(self, drawn: list[Drawn]) -> Tensor:
        """`[B, 3, H, W]`."""
        return _stack([self[item] for item in drawn])


class _Plan:
    """What is to be prepared: this process's part of the batches, with the changes of each image.

    Attributes:
        asked: batches that were taken from here and are not learned from yet.
        last: epoch, at whose end it ends.
    """

    def __init__(self, sampler: PKSampler, augmentation: Augmentation, seed: int, process: Process) -> None:
        self.asked: deque[list[Drawn]] = deque()
        self.last = 0
        self._sampler = sampler
        self._draw = augmentation.draw
        self._seed = seed
        self._process = process
        self._place = (1, 0)

    def begin(self, number: int, done: int, last: int) -> None:
        """Go on from an epoch's first batch after `done`, to the end of the last epoch."""
        self._place, self.last = (number, done), last

    def __iter__(self) -> Iterator[list[Drawn]]:
        number, done = self._place
        asked = self.asked = deque()
        for epoch in range(number, self.last + 1):
            for batch in self._epoch(epoch)[done:]:
                asked.append(batch)
                yield batch
            done = 0

    def _epoch(self, number: int) -> list[list[Drawn]]:
        source = random.Random(f"{self._seed}/augmentation/{number}")  # noqa: S311
        whole = [[(i, self._draw(source)) for i in batch] for batch in self._sampler.epoch(number)]
        size = self._sampler.vehicles * self._sampler.per_vehicle // self._process.world_size
        start = self._process.rank * size
        return [batch[start : start + size] for batch in whole]


def _stack(images: list[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(images))


def _end_processes(loader: weakref.ref[DataLoader[Any]]) -> None:
    """At the end of the program: what is still there then would be sent SIGTERM, and waited for."""
    running: Any = getattr(loader(), "_iterator", None)
    if running is not None:
        running._shutdown_workers()


def _leave_signals_to_the_parent(_: int) -> None:
    # Terminals and schedulers signal the whole group; the parent ends its processes when it is done.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
