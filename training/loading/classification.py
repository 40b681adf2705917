"""Batches of a classification set: cut, mirrored, changed by AutoAugment, erased, and mixed in pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from training.config.classifier import ClassifierConfig, ClassifierInputConfig
from training.datasets.classification import LabelledImages, Pixels
from training.loading.ahead import made_ahead
from training.loading.autoaugment import autoaugment

SMALLEST_ERASED = 0.02
TRIES = 10


@dataclass(frozen=True)
class ClassBatch:
    """What a step learns from.

    Attributes:
        images: `[B, 3, H, W]`, prepared.
        targets: `[B, classes]`, shares of the classes; rows sum to 1.
        positions: of the images in the data set.
    """

    images: Tensor
    targets: Tensor
    positions: list[int]


def prepared(pixels: Pixels, config: ClassifierInputConfig) -> Tensor:
    """`[B, H, W, 3]` bytes -> `[B, 3, H, W]`, what the network wants to see."""
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (config.mean, config.std))
    return (images - mean) / std


class ClassBatches:
    """The training images in batches, in another order and changed otherwise in every epoch.

    What is drawn depends on the seed, the epoch and the batch alone, so that a resumed training sees the
    same. Images that do not fill a batch are left out of an epoch.

    Args:
        images: to learn from.
        classes: number of them.
        config: of the training.
        rank: of this process, which gets its part of every batch.
        world_size: number of processes; divides the batch.
    """

    def __init__(
        self,
        images: LabelledImages,
        classes: int,
        config: ClassifierConfig,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.images, self.classes, self.config = images, classes, config
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return len(self.images) // self.config.batch

    def epoch(self, number: int, done: int = 0) -> Iterator[ClassBatch]:
        """The batches of an epoch after the first `done`, each made while the one before is learned from."""
        order = np.random.default_rng([self.config.seed, number]).permutation(len(self.images))
        size = self.config.batch

        def made(step: int) -> ClassBatch:
            source = np.random.default_rng([self.config.seed, number, step + 1])
            return self._batch(order[step * size : (step + 1) * size], source)

        return made_ahead(range(done, len(self)), made)

    def _batch(self, chosen: NDArray[np.int64], source: np.random.Generator) -> ClassBatch:
        pixels = np.stack([self._changed(self.images.pixels[i], source) for i in chosen])
        images = prepared(pixels, self.config.input)
        labels = torch.from_numpy(self.images.labels[chosen])
        for image in images:
            self._erase(image, source)
        targets = F.one_hot(labels, self.classes).float()
        images, targets = self._mixed(images, targets, source)
        smoothing = self.config.augmentation.label_smoothing
        targets = targets * (1 - smoothing) + smoothing / self.classes
        own = slice(self.rank, None, self.world_size)
        return ClassBatch(images[own], targets[own], chosen[own].tolist())

    def _changed(self, pixels: Pixels, source: np.random.Generator) -> Pixels:
        config = self.config.augmentation
        height, width = pixels.shape[:2]
        if config.pad:
            top, left = source.integers(0, 2 * config.pad + 1, 2)
            padded = np.pad(pixels, ((config.pad, config.pad), (config.pad, config.pad), (0, 0)))
            pixels = padded[top : top + height, left : left + width]
        if source.random() < config.flip:
            pixels = pixels[:, ::-1]
        if config.policy != "none":
            pixels = autoaugment(np.ascontiguousarray(pixels), config.policy, source)
        return pixels

    def _erase(self, image: Tensor, source: np.random.Generator) -> None:
        """Random Erasing (Zhong et al., 2020) in place, by the mean colour."""
        config = self.config.augmentation
        if source.random() >= config.erase:
            return
        height, width = image.shape[1:]
        for _ in range(TRIES):
            area = source.uniform(SMALLEST_ERASED, max(SMALLEST_ERASED, config.erase_area)) * height * width
            ratio = np.exp(source.uniform(np.log(config.erase_aspect), -np.log(config.erase_aspect)))
            h, w = round(float(np.sqrt(area * ratio))), round(float(np.sqrt(area / ratio)))
            if 0 < h < height and 0 < w < width:
                top, left = int(source.integers(height - h + 1)), int(source.integers(width - w + 1))
                image[:, top : top + h, left : left + w] = 0
                return

    def _mixed(self, images: Tensor, targets: Tensor, source: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mixup (Zhang et al., 2018) or CutMix (Yun et al., 2019) of each image with the one across."""
        config = self.config.augmentation
        if source.random() >= config.mix:
            return images, targets
        share = float(source.beta(config.mix_alpha, config.mix_alpha))
        other = images.flip(0)
        if source.random() < 0.5:
            images = share * images + (1 - share) * other
        else:
            height, width = images.shape[2:]
            h, w = (round(side * float(np.sqrt(1 - share))) for side in (height, width))
            y, x = int(source.integers(height)), int(source.integers(width))
            rows = slice(max(0, y - h // 2), min(height, y - h // 2 + h))
            columns = slice(max(0, x - w // 2), min(width, x - w // 2 + w))
            images = images.clone()
            images[:, :, rows, columns] = other[:, :, rows, columns]
            share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        return images, share * targets + (1 - share) * targets.flip(0)
