"""Which cameras search which in the study of camera statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from training.evaluation.shift.conditions import Embed
from training.evaluation.shift.embedding import ImageSet
from training.evaluation.shift.virtual_cameras import VIRTUAL_CAMERAS
from training.studies.camera_statistics import Material, Search
from training.studies.shift_material import Material as Measured


def camera_searches(
    measured: Measured, embed: Embed, seed: int
) -> Iterator[tuple[str, Material, list[Search]]]:
    """The second camera of the training, ten virtual ones, and each of the rendered test vehicles'.

    Args:
        measured: vehicles that the bundle may be measured on.
        embed: gives features.
        seed: of the halves of the vehicles.
    """
    cameras = measured.cameras
    if cameras is not None:
        first = embed(ImageSet("first camera", cameras.first))
        second = embed(ImageSet("second camera", cameras.second))
        material = Material([first, second], seed)
        names = (first.images[0].camera_id, second.images[0].camera_id)
        yield "seen camera", material, list(material.searches(names[1:], names[:1]))
        others = [
            embed(
                ImageSet(
                    f"virtual camera {each.name}",
                    [replace(image, camera_id=each.name) for image in cameras.second],
                    each.see,
                )
            )
            for each in VIRTUAL_CAMERAS
        ]
        material = Material([first, *others], seed)
        probes = [each.name for each in VIRTUAL_CAMERAS]
        yield "virtual cameras", material, list(material.searches(probes, names[:1]))
    task = measured.synthetic
    if task is not None and task.gallery is not None:
        features = embed(ImageSet(task.name, task.gallery))
        material = Material([features], seed)
        names_of_all = np.unique(material.cameras).tolist()
        yield "rendered vehicles", material, list(material.searches(names_of_all, names_of_all))
