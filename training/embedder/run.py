"""The one way to train an embedder: from a configuration, images and published weights to a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from models.network import LKAReID
from training.checkpoints.bundle_weights import load_bundle_weights
from training.checkpoints.pretrained import load_imagenet
from training.checkpoints.resume import Checkpoints
from training.config.embedder import ExperimentConfig
from training.datasets.image import VehicleImage
from training.datasets.viewpoints import Viewpoints
from training.distributed import Process
from training.embedder.trainer import Measure, Trainer
from training.progress import Observer
from training.signals import StopRequest


def new_embedder(
    config: ExperimentConfig, vehicles: int, weights: Path | None, viewpoints: int = 0
) -> LKAReID:
    """An embedder before its training.

    Args:
        config: its shape and seed, and what the weights must be.
        vehicles: to tell apart in training; 0 for no classifiers.
        weights: published weights, or a bundle's embedder, to start from; None to start from nothing.
        viewpoints: vectors of side information a branch.

    Raises:
        WeightsError: the weights do not fit.
    """
    torch.manual_seed(config.seed)
    network = LKAReID(config.network.build(), vehicles, viewpoints)
    if weights is not None:
        wanted = config.weights
        if wanted.layout == "bundle":
            load_bundle_weights(network, weights)
            return network
        load_imagenet(network, weights, layout=wanted.layout, sha256=wanted.sha256, left_out=wanted.left_out)
    return network


def embedder_trainer(
    config: ExperimentConfig,
    images: list[VehicleImage],
    weights: Path | None,
    *,
    viewpoints: Viewpoints | None = None,
    process: Process | None = None,
    checkpoints: Checkpoints | None = None,
    measure: Measure | None = None,
    observers: Sequence[Observer] = (),
    stop: StopRequest | None = None,
) -> Trainer:
    """The training of a new embedder; its `run` goes on from a checkpoint where there is one.

    Args:
        config: of the embedder and its training.
        images: to learn from.
        weights: published weights to start from; None to start from nothing.
        viewpoints: the cameras and views with side information; None without.
        process: this one; None for the only one, on the CPU.
        checkpoints: where to save after every epoch; None for nowhere.
        measure: see `Trainer`.
        observers: receive the events.
        stop: checked after every step.

    Raises:
        WeightsError: the weights do not fit.
        DatasetError: the images make no batches.
    """
    vehicles = len({image.vehicle_id for image in images})
    return Trainer(
        new_embedder(config, vehicles, weights, len(viewpoints) if viewpoints else 0),
        images,
        config,
        process=process,
        viewpoints=viewpoints.numbers(images) if viewpoints else None,
        checkpoints=checkpoints,
        measure=measure,
        observers=observers,
        stop=stop,
    )
