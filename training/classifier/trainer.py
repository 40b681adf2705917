"""The classifier's trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.vit import VitClassifier
from training.checkpoints.resume import Checkpoints
from training.config.classifier import ClassifierConfig, ClassifierInputConfig
from training.datasets.classification import ClassificationData, LabelledImages
from training.datasets.image import DatasetError
from training.distributed import Process
from training.embedder.optimiser import fused_on, make_schedule
from training.loading.classification import ClassBatch, ClassBatches, prepared
from training.loop import Loop
from training.progress import EpochRow, Observer, Progress, memory_gib
from training.readback import sent
from training.signals import StopRequest

MEASURED = 500
"""Images measured at a time."""
MANY = 5
"""Top-5 says something where there are more classes than that."""


def make_optimiser(network: nn.Module, rate: float, decay: float) -> torch.optim.AdamW:
    """AdamW; norms, biases and the class token do not decay."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, rate, fused=fused_on(parameters[0].device))


def accuracy(
    network: VitClassifier, images: LabelledImages, config: ClassifierInputConfig, device: torch.device
) -> dict[str, float]:
    """Share of images whose class comes first, or among the first five, in percent."""
    found: list[Tensor] = []
    was_training = network.training
    network.eval()
    with torch.inference_mode():
        for start in range(0, len(images), MEASURED):
            batch = prepared(images.pixels[start : start + MEASURED], config).to(device)
            logits = network(batch)
            found.append(logits.topk(min(MANY, logits.shape[1])).indices.cpu())
    network.train(was_training)
    correct = torch.cat(found).numpy() == images.labels[:, None]
    shares = {"top-1": 100 * float(np.mean(correct[:, 0]))}
    if network.head.out_features > MANY:
        shares["top-5"] = 100 * float(np.mean(correct.any(axis=1)))
    return shares


class ClassifierTrainer(Loop[ClassBatch, EpochRow, VitClassifier]):
    """Trains a ViT classifier; its periods are epochs.

    Args:
        data: to learn from and to measure on.
        config: how.
        process: this one; None for the only one, on the CPU.
        checkpoints: where to save after every epoch, and what to go on from; None for nowhere.
        observers: receive the events.
        stop: checked after every step.

    Raises:
        DatasetError: the images make no batch, or the processes cannot share one.
        ValueError: an image has no whole patches.
    """

    row_type = EpochRow

    def __init__(
        self,
        data: ClassificationData,
        config: ClassifierConfig,
        *,
        process: Process | None = None,
        checkpoints: Checkpoints | None = None,
        observers: Sequence[Observer] = (),
        stop: StopRequest | None = None,
    ) -> None:
        process = process or Process()
        if len(data.train) < config.batch:
            raise DatasetError(f"{data.name}: {len(data.train)} images make no batch of {config.batch}")
        if config.batch % process.world_size:
            raise DatasetError(f"batch = {config.batch} cannot be shared by {process.world_size} processes")
        self.data, self.config = data, config
        torch.manual_seed(config.seed)
        self.network = VitClassifier(config.network.build(), data.image_size, len(data.classes))
        self.network.to(process.device)
        self.loader = ClassBatches(
            data.train, len(data.classes), config, rank=process.rank, world_size=process.world_size
        )
        rates = config.optimiser
        optimiser = make_optimiser(self.network, rates.learning_rate, rates.weight_decay)
        super().__init__(
            {"network": self.network},
            optimiser,
            make_schedule(optimiser, rates.schedule(), len(self.loader)),
            periods=rates.epochs,
            length=len(self.loader),
            process=process,
            checkpoints=checkpoints,
            observers=observers,
            stop=stop,
        )

    @property
    def result(self) -> VitClassifier:
        """The network of the last step."""
        return self.network

    def begin_period(self) -> None:
        """Learn with stochastic depth."""
        self.network.train()

    def batches(self, period: int, done: int = 0) -> Iterator[ClassBatch]:
        """The batches of an epoch after the first `done`."""
        return self.loader.epoch(period, done)

    def losses(self, batch: ClassBatch) -> dict[str, Tensor]:
        """The cross-entropy with the shares of the classes."""
        device = self.process.device
        bf16 = self.config.run.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = self.network(sent(batch.images, device))
        return {"cross_entropy": F.cross_entropy(logits.float(), sent(batch.targets, device))}

    def descend(self, total: Tensor) -> None:
        """Make a step by the mean of all processes' gradients."""
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.process.average_gradients(self.network.parameters())
        if self.config.optimiser.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimiser.clip)
        self.optimiser.step()
        self.schedule.step()

    def progress(self) -> Progress:
        """What observers learn of a step."""
        return Progress(self.step, self.steps, {}, self.period, self.config.batch, self.learning_rate)

    def row(self, losses: dict[str, float], steps: int, seconds: float) -> EpochRow:
        """Measure where it is time to, and say what is known of the epoch."""
        every = self.config.run.every
        looked = self.period == self.periods or (every and self.period % every == 0)
        measured: dict[str, float] = {}
        if looked and self.process.first:
            measured = accuracy(self.network, self.data.test, self.config.input, self.process.device)
        self.process.barrier()
        return EpochRow(
            epoch=self.period,
            epochs=self.periods,
            step=self.step,
            losses=losses,
            learning_rate=self.learning_rate,
            images_per_second=steps * self.config.batch / seconds if seconds else 0.0,
            seconds=seconds,
            memory_gib=memory_gib(self.process.device),
            measured=measured,
        )

    def emit(self, observer: Observer, row: EpochRow) -> None:
        """An epoch has ended."""
        observer.epoch(row)

    def place(self) -> str:
        """The next step."""
        return f"epoch {self.period}, step {self.step + 1}"

    def images(self, batch: ClassBatch) -> list[str]:
        """Numbers of a batch's images in the data set."""
        return [f"training image {position}" for position in batch.positions]
