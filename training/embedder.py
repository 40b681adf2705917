"""Training the embedder: losses over the branches, one-cycle AdamW, an average of the weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from models.network import LKAReID, TrainingOutput
from models.preprocessing import InputSpec, decode
from training.augmentation import Augmentation, AugmentationConfig
from training.dataset import VehicleImage
from training.losses import batch_hard_triplet, contrastive
from training.sampler import PKSampler


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses.

    Attributes:
        cross_entropy: weight of the mean over the branches that have it.
        triplet: weight of the mean over the branches that have it.
        margin: of the triplet loss; None for the soft margin.
        label_smoothing: of the cross-entropy.
        descriptor: weight of a contrastive loss on the descriptor's cosine similarities; 0 for none.
        strips: the same on the mean cosine similarity of corresponding strips.
        temperature: of both.
    """

    cross_entropy: float = 0.6
    triplet: float = 1.0
    margin: float | None = None
    label_smoothing: float = 0.1
    descriptor: float = 1.0
    strips: float = 1.0
    temperature: float = 0.07


@dataclass(frozen=True)
class EmbedderConfig:
    """How an embedder is trained.

    Attributes:
        epochs: passes over the vehicles.
        vehicles: P of the batch.
        pictures: K of the batch.
        by_type: batches of one vehicle type where possible.
        learning_rate: peak of the one-cycle schedule, for the pretrained part.
        new_rate: factor on it for parts without pretrained weights.
        weight_decay: of AdamW.
        warm_up: fraction of the steps before the peak.
        average: decay of the exponential average of the weights, per step; 0 for none.
        bf16: mixed precision in bfloat16.
        seed: of everything that is drawn.
    """

    epochs: int = 16
    vehicles: int = 27
    pictures: int = 2
    by_type: bool = False
    learning_rate: float = 3.5e-4
    new_rate: float = 1.0
    weight_decay: float = 5e-4
    warm_up: float = 0.2
    average: float = 0.0
    bf16: bool = True
    seed: int = 0
    losses: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)


@dataclass(frozen=True)
class Progress:
    """What is known after a step: epoch and step count from 1, losses by name."""

    epoch: int
    step: int
    steps: int
    losses: dict[str, float]


def embedder_loss(
    network: LKAReID, output: TrainingOutput, labels: Tensor, config: LossConfig
) -> dict[str, Tensor]:
    """The weighted losses by name; their sum is what is minimised."""
    entropies, triplets = [], []
    for branch, pooled, logits in zip(network.config.branches, output.pooled, output.logits, strict=True):
        if branch.loss != "triplet":
            assert_logits = _present(logits)
            entropies.append(
                F.cross_entropy(assert_logits.float(), labels, label_smoothing=config.label_smoothing)
            )
        if branch.loss != "cross_entropy":
            triplets.append(batch_hard_triplet(pooled.float(), labels, config.margin))
    losses = {}
    if entropies:
        losses["cross_entropy"] = config.cross_entropy * torch.stack(entropies).mean()
    if triplets:
        losses["triplet"] = config.triplet * torch.stack(triplets).mean()
    if config.descriptor:
        descriptor = F.normalize(torch.cat([n.float() for n in output.normalised], dim=1), dim=1)
        losses["descriptor"] = config.descriptor * contrastive(
            descriptor @ descriptor.T, labels, config.temperature
        )
    if config.strips and output.strips is not None:
        strips = output.strips.float().flatten(1)
        similarities = strips @ strips.T / output.strips.shape[1]
        losses["strips"] = config.strips * contrastive(similarities, labels, config.temperature)
    return losses


def _present(logits: Tensor | None) -> Tensor:
    if logits is None:
        raise ValueError("a cross-entropy branch needs a network made with identities")
    return logits


class Batches:
    """Batches of augmented images, prepared one ahead in a thread."""

    def __init__(
        self, images: list[VehicleImage], sampler: PKSampler, augmentation: Augmentation, seed: int
    ) -> None:
        self.sampler = sampler
        self.augmentation = augmentation
        self.seed = seed
        self.vehicles = sorted({image.vehicle_id for image in images})
        number = {vehicle: i for i, vehicle in enumerate(self.vehicles)}
        self._labels = [number[image.vehicle_id] for image in images]
        self._images: list[Image.Image] = [decode(image.path.read_bytes()) for image in images]

    def epoch(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images `[B, 3, H, W]` and labels `[B]`; the same for the same seed and epoch number."""
        source = random.Random(f"{self.seed}/augmentation/{number}")  # noqa: S311
        batches = list(self.sampler.epoch(number))
        with ThreadPoolExecutor(1) as thread:
            ahead = thread.submit(self._batch, batches[0], source)
            for following in [*batches[1:], None]:
                ready = ahead.result()
                if following is not None:
                    ahead = thread.submit(self._batch, following, source)
                yield ready

    def _batch(self, indices: list[int], source: random.Random) -> tuple[Tensor, Tensor]:
        pictures = np.stack([self.augmentation(self._images[i], source) for i in indices])
        return torch.from_numpy(pictures), torch.tensor([self._labels[i] for i in indices])


def _groups(network: LKAReID, config: EmbedderConfig) -> list[dict[str, object]]:
    """Parameter groups: pretrained or new, with weight decay or (norms, biases) without."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        new = name.startswith(("heads.", "strip_head."))
        if name.startswith("branches.") and ".conv2." in name:
            new = network.config.branches[int(name.split(".")[1])].mixer != "conv"
        groups.setdefault((new, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.learning_rate * (config.new_rate if new else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (new, decays), parameters in groups.items()
    ]


def train_embedder(
    network: LKAReID,
    images: list[VehicleImage],
    config: EmbedderConfig,
    report: Callable[[Progress], None] = lambda _: None,
) -> LKAReID:
    """Train `network` in place on `images` and return what is to be used: it or its weights' average.

    Raises:
        FloatingPointError: the loss is not finite; the message names the epoch and the step.
    """
    height, width = network.config.image_size
    spec = InputSpec(height=height, width=width)
    sampler = PKSampler(images, config.vehicles, config.pictures, config.seed, by_type=config.by_type)
    batches = Batches(images, sampler, Augmentation(spec, config.augmentation), config.seed)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = _groups(network, config)
    optimiser = torch.optim.AdamW(groups)
    steps = len(sampler) * config.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [float(str(g["lr"])) for g in groups], total_steps=steps, pct_start=config.warm_up
    )
    averaged = None
    if config.average:
        averaged = torch.optim.swa_utils.AveragedModel(
            network,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(config.average),
            use_buffers=True,
        )
    step = 0
    for epoch in range(1, config.epochs + 1):
        network.train()
        for pictures, labels in batches.epoch(epoch):
            step += 1
            with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
                output = network.learn(pictures.contiguous(memory_format=torch.channels_last))
            losses = embedder_loss(network, output, labels, config.losses)
            total = torch.stack(list(losses.values())).sum()
            if not torch.isfinite(total):
                raise FloatingPointError(
                    f"the loss is {total.item()} in epoch {epoch}, step {step} of {steps}"
                )
            optimiser.zero_grad(set_to_none=True)
            total.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            optimiser.step()
            schedule.step()
            if averaged is not None:
                averaged.update_parameters(network)
            report(Progress(epoch, step, steps, {name: float(v.detach()) for name, v in losses.items()}))
    result = network if averaged is None else averaged.module
    if not isinstance(result, LKAReID):
        raise TypeError("the averaged module is no LKAReID")
    return result.eval()
