"""How good a bundle is on one's own vehicles: in one sentence, for each pair of cameras and each type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np

from models.protocols import Reranker
from models.wording import counted
from training.datasets.dataset import Task
from training.datasets.image import VehicleImage
from training.evaluation.calibration import wilson
from training.evaluation.descriptors import Described
from training.evaluation.measurement import Measurement, Way
from training.evaluation.metrics import of_queries
from training.evaluation.protocol import Progress, measure
from training.evaluation.result import RetrievalResult
from training.evaluation.significance import Interval, bootstrap

Kind = Literal["camera pair", "vehicle type"]
MOST_PAIRS = 30
"""Ordered pairs of cameras that are measured; of more, those with the most queries."""


@dataclass(frozen=True)
class Share:
    """What some of the queries come to.

    Attributes:
        kind: what they have in common.
        name: which ones: `cam1 → cam2` searches the images of cam2 with those of cam1.
        queries: with a correct match.
        vehicles: of the queries.
        R1: share in percent whose first match is correct.
        mAP: in percent.
    """

    kind: Kind
    name: str
    queries: int
    vehicles: int
    R1: Interval
    mAP: Interval  # noqa: N815 - the field's name


def over_vehicles(result: RetrievalResult, metric: str) -> Interval:
    """A metric in percent with its 95 % interval over vehicles.

    Whole vehicles are drawn with replacement. Where all queries come to the same 0 or 100 percent, drawing
    says nothing, and Wilson's interval for as many vehicles stands in.

    Raises:
        ValueError: no query has a correct match.
    """
    answered = result.answerable()
    values = of_queries(result, metric)
    found = bootstrap(values, answered.vehicles)
    low, high = found.low, found.high
    if low == high and found.mean in (0, 1):
        low, high = wilson(found.mean, len(set(answered.vehicles.tolist())))
    return Interval(100 * found.mean, 100 * low, 100 * high)


def sentence(measured: Measurement, *, alone: bool = False) -> str:
    """What the figures mean for somebody who searches.

    Args:
        measured: all against all.
        alone: whether this is the first stage of a bundle of two.
    """
    found = over_vehicles(measured.result, "R1")
    low, high = int(np.floor(found.low + 1e-9)), int(np.ceil(found.high - 1e-9))
    often = f"{low}" if low == high else f"{low} to {high}"
    queries = measured.result.answerable()
    vehicles = len(set(queries.vehicles.tolist()))
    return (
        f"Of 100 searches the first match is correct in {often} "
        f"(95 % over vehicles{'; first stage alone' if alone else ''}; measured: {found.mean:.1f} % of "
        f"{counted(len(queries.queries), 'search', 'searches')} for {counted(vehicles, 'vehicle')} among "
        f"{counted(measured.result.gallery, 'image')})."
    )


def breakdown(
    task: Task, described: Described, way: Way, reranker: Reranker | None, progress: Progress
) -> list[Share]:
    """The figures of each ordered pair of cameras, and of each vehicle type.

    Args:
        task: with a fixed gallery; of another there are none.
        described: at least its images.
        way: plain or reranked.
        reranker: the second stage, for the latter.
        progress: receives how far the work is.
    """
    if task.gallery is None:
        return []
    return [
        *_pairs(task, described, way, reranker, progress),
        *_types(task, described, way, reranker, progress),
    ]


def _pairs(
    task: Task, described: Described, way: Way, reranker: Reranker | None, progress: Progress
) -> Iterator[Share]:
    asking: dict[str, list[VehicleImage]] = defaultdict(list)
    known: dict[str, list[VehicleImage]] = defaultdict(list)
    for images, by_camera in ((task.queries, asking), (task.gallery or [], known)):
        for image in images:
            by_camera[image.camera_id].append(image)
    vehicles = {camera: {image.vehicle_id for image in images} for camera, images in known.items()}
    found = []
    for one, other in permutations(sorted({*asking, *known} - {""}), 2):
        queries = [image for image in asking[one] if image.vehicle_id in vehicles.get(other, ())]
        if queries:
            found.append((f"{one} → {other}", Task(f"{one} → {other}", queries, known[other])))
    found.sort(key=lambda pair: (-len(pair[1].queries), pair[0]))
    for name, part in sorted(found[:MOST_PAIRS]):
        yield _share("camera pair", name, measure(part, described, way, reranker, progress).result)


def _types(
    task: Task, described: Described, way: Way, reranker: Reranker | None, progress: Progress
) -> Iterator[Share]:
    types = np.array([image.vehicle_type for image in task.queries])
    names = sorted(set(types.tolist()) - {""})
    if not names:
        return
    whole = measure(task, described, way, reranker, progress).result
    for name in names:
        chosen = (types == name) & (whole.first > 0)
        if chosen.any():
            yield _share("vehicle type", name, whole.where(chosen))


def _share(kind: Kind, name: str, result: RetrievalResult) -> Share:
    answered = result.answerable()
    return Share(
        kind,
        name,
        len(answered.queries),
        len(set(answered.vehicles.tolist())),
        over_vehicles(result, "R1"),
        over_vehicles(result, "mAP"),
    )
