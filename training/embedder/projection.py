"""The last step of an embedder's training: the directions that its descriptor is better without."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.network import LKAReID
from training.config.embedder import ExperimentConfig
from training.datasets.image import VehicleImage
from training.features.extract import extract
from training.features.within import deviations, directions
from training.loading.augmentation import Augmentation


def fitted_directions(
    network: LKAReID,
    images: Sequence[VehicleImage],
    config: ExperimentConfig,
    report: Callable[[int, int], None] = lambda _done, _of: None,
) -> NDArray[np.float32]:
    """The columns `[d, r]` of a projection for a network, from its training images.

    Every image is embedded as it is and `projection.views` times changed as in training, but without erasing,
    which hides parts of the vehicle. Images of different data sets count as much together.

    Args:
        network: of the size that it is served at.
        images: that it was trained on.
        config: of its training.
        report: called with the number of images done, and of all.

    Raises:
        DatasetError: an image cannot be read.
        ValueError: no vehicle has two images.
    """
    wanted = config.projection
    spec = config.spec_at(network.config.image_size)
    change = Augmentation(spec, config.augmentation.model_copy(update={"erase": 0.0}))
    source = random.Random(config.seed)  # noqa: S311
    domains: dict[str, list[VehicleImage]] = defaultdict(list)
    for image in images:
        domains[image.domain].append(image)
    chosen = {name: _spread(of, wanted.images) for name, of in domains.items()}
    total = sum(len(of) for of in chosen.values()) * (1 + wanted.views)
    done = 0
    scatter = []
    for of in chosen.values():
        found = []
        for view in range(1 + wanted.views):
            found.append(
                extract(
                    network,
                    of,
                    batch=config.evaluation.batch,
                    augmentation=change if view else None,
                    source=source if view else None,
                    spec=spec,
                    report=lambda count, before=done: report(before + count, total),  # type: ignore[misc]
                ).descriptors
            )
            done += len(of)
        scatter.append(deviations(np.concatenate(found), [i.vehicle_id for i in of] * len(found)))
    return directions(scatter, wanted.directions, wanted.softness)


def _spread(images: Sequence[VehicleImage], most: int) -> list[VehicleImage]:
    """All images of so many vehicles, evenly spaced among them, as make about so many images."""
    if len(images) <= most:
        return list(images)
    names = list(dict.fromkeys(image.vehicle_id for image in images))
    kept = max(1, len(names) * most // len(images))
    wanted = {names[i * len(names) // kept] for i in range(kept)}
    return [image for image in images if image.vehicle_id in wanted]
