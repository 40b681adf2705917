"""A bundle beside a plain network: as ImageNet left it, and fine-tuned on the same vehicles."""

from __future__ import annotations

import numpy as np

from models.manifest import BOTH_STAGES, FIRST_STAGE, Accuracy, AccuracyRow
from models.network import LKAReID
from models.runtime import Models
from training.checkpoints.weights import load_embedder
from training.config.embedder import ExperimentConfig
from training.datasets.image import VehicleImage
from training.embedder.experiment import Experiment
from training.embedder.run import new_embedder
from training.evaluation.cross_camera import cross_camera, cross_camera_row
from training.evaluation.descriptors import describe
from training.evaluation.ranking import Ranking
from training.evaluation.rerank import rerank_by
from training.export.swap_reranker import check_held_out
from training.features.extract import Features, extract

IMAGENET_SIDE = 256


def compare_embedders(experiment: Experiment, models: Models) -> Accuracy:
    """Accuracy between the cameras on vehicles that neither the bundle nor the plain network learned from.

    Args:
        experiment: of the plain network; trained where its folder holds no finished run.
        models: of the bundle: its embedder and, if it has one, its re-ranker.

    Raises:
        DatasetError: there is nothing to measure on, or the bundle has not held these vehicles out.
        Exception: see `Experiment.run`.
    """
    images = [image for task in experiment.tasks[:1] for image in task.images()]
    check_held_out(models.bundle, images)
    experiment.result()
    experiment.reporter.part("measuring")
    config = experiment.config
    side = config.network.image_size[0]
    large = config.network.model_copy(update={"image_size": (IMAGENET_SIDE, IMAGENET_SIDE)})
    untrained = config.model_copy(update={"network": large})
    start = new_embedder(untrained, 0, experiment.sources.weights)
    trained = load_embedder(experiment.folder.embedder)
    rows = [
        _plain_row(f"{config.name}, ImageNet only, {IMAGENET_SIDE} px", start, untrained, images),
        _plain_row(f"{config.name}, fine-tuned, {side} px", trained, config, images),
    ]
    measured_on = f"{experiment.tasks[0].name}, both camera directions"
    return Accuracy(measured_on=measured_on, rows=(*rows, *_bundle_rows(models, images)))


def _plain_row(
    name: str, network: LKAReID, config: ExperimentConfig, images: list[VehicleImage]
) -> AccuracyRow:
    features = extract(network, images, batch=config.evaluation.batch, spec=config.spec)
    return cross_camera_row(name, cross_camera(features))


def _bundle_rows(models: Models, images: list[VehicleImage]) -> list[AccuracyRow]:
    """The bundle's stages, as they are served."""
    described = describe(models.embedder, images, strips=models.reranker is not None)
    strips = described.strips.astype(np.float32) if described.strips is not None else None
    first = cross_camera(Features(images, described.descriptors.astype(np.float32), strips))
    rows = [cross_camera_row(FIRST_STAGE, first)]
    second = models.reranker
    if second is not None:
        both = []
        for each in first:
            sides = each.queries, each.gallery
            positions = rerank_by(second.distances, *sides, each.positions, second.candidates)
            both.append(Ranking(*sides, positions))
        rows.append(cross_camera_row(BOTH_STAGES, both, first))
    return rows
