"""The one way to train an embedder: from a configuration, images and published weights to a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.manifest import hash_file
from models.network import LKAReID
from training.checkpoints.bundle_weights import load_bundle_weights
from training.checkpoints.pretrained import load_imagenet
from training.checkpoints.resume import Checkpoints
from training.config.embedder import ExperimentConfig
from training.datasets.image import VehicleImage
from training.datasets.viewpoints import Viewpoints
from training.distributed import Process
from training.embedder.trainer import Measure, Trainer
from training.features.extract import extract
from training.features.store import features_exist, open_features, save_features
from training.progress import Observer, Reporter
from training.reporting.provenance import data_hash
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
    kept: Path | None = None,
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
        kept: folder for the descriptors of the start, which distillation and cluster contrast need; None to
            make them again.
        process: this one; None for the only one, on the CPU.
        checkpoints: where to save after every epoch; None for nowhere.
        measure: see `Trainer`.
        observers: receive the events.
        stop: checked after every step.

    Raises:
        WeightsError: the weights do not fit.
        DatasetError: the images make no batches.
    """
    process = process or Process()
    vehicles = len({image.vehicle_id for image in images})
    network = new_embedder(config, vehicles, weights, len(viewpoints) if viewpoints else 0)
    start = None
    if config.losses.distillation or config.losses.clusters:
        start = start_descriptors(config, network, images, weights, kept, process, observers, stop)
    return Trainer(
        network,
        images,
        config,
        process=process,
        viewpoints=viewpoints.numbers(images) if viewpoints else None,
        from_bundle=config.weights.layout == "bundle",
        start=start,
        checkpoints=checkpoints,
        measure=measure,
        observers=observers,
        stop=stop,
    )


def start_descriptors(
    config: ExperimentConfig,
    network: LKAReID,
    images: list[VehicleImage],
    weights: Path | None,
    kept: Path | None,
    process: Process,
    observers: Sequence[Observer] = (),
    stop: StopRequest | None = None,
) -> NDArray[np.float32]:
    """The descriptors `[N, d]` that a network gives its training images before the training.

    Args:
        config: of the training.
        network: before it, left in evaluation mode on the process's device.
        images: N of them, unchanged.
        weights: that it has started from.
        kept: folder to keep them in, so that a resumed training has the same ones at once; None for nowhere.
        process: this one.
        observers: those that are reporters learn how far it is.
        stop: checked after every batch.

    Raises:
        FeatureStoreError: the folder holds those of another start or data.
        DatasetError: an image cannot be read.
        StoppedError: it was stopped.
    """
    provenance = {
        "weights": hash_file(weights) if weights is not None else None,
        "input": config.spec.model_dump(mode="json"),
        "seed": config.seed,
        "data": data_hash(images),
    }
    if kept is not None and features_exist(kept):
        return np.array(open_features(kept, provenance).descriptors)
    reporters = [observer for observer in observers if isinstance(observer, Reporter)]

    def report(done: int) -> None:
        for reporter in reporters:
            reporter.embedded(done, len(images))
        if stop is not None:
            stop.between(done, len(images))

    for reporter in reporters:
        reporter.part("descriptors of the start")
    found = extract(
        network.to(process.device), images, batch=config.evaluation.batch, spec=config.spec, report=report
    )
    if kept is not None and process.first:
        save_features(kept, replace(found, strips=None), provenance)
    return found.descriptors
