"""Which of some new images raise an alert of which watch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from index import CameraUse, Normalisation, Raised, Sightings, Watched

ThresholdFor = Callable[[CameraUse], float | None]
"""The least similarity of a match, for descriptors that were normalised so; None where it is not known."""


def compare(
    watched: Sequence[Watched], found: Sightings, normalisation: Normalisation, threshold_for: ThresholdFor
) -> list[Raised]:
    """The alerts of new images, in order of enrollment.

    Similarities are those of a search: the cosine of two descriptors that were normalised by their cameras.

    Args:
        watched: what the images are compared with.
        found: the images.
        normalisation: the version in force.
        threshold_for: for watches without a threshold of their own; where it says None they raise none.
    """
    if not watched or not len(found.ids):
        return []
    images = normalisation.apply(found.descriptors, found.cameras)
    vehicles = normalisation.apply(
        np.stack([watch.descriptor for watch in watched]), [watch.camera_id for watch in watched]
    )
    similarities = images @ vehicles.T
    raised = []
    for column, watch in enumerate(watched):
        threshold = watch.threshold
        if threshold is None:
            threshold = threshold_for(normalisation.use(watch.camera_id))
        if threshold is None:
            continue
        alike = (similarities[:, column] >= threshold) & (found.places > watch.after)
        raised += [
            Raised(watch.id, int(found.ids[row]), float(similarities[row, column]), threshold)
            for row in np.flatnonzero(alike).tolist()
            if not watch.cameras or found.cameras[row] in watch.cameras
        ]
    return sorted(raised, key=lambda one: one.record_id)
