"""What training and measuring require of their images, found before the first step; no image is read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from training.datasets.check import check_split
from training.datasets.dataset import Dataset, Task
from training.datasets.findings import Finding, Severity
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.labels import check_labels

SHOWN = 5


def check_training(
    train: Sequence[VehicleImage], tasks: Sequence[Task], batch_vehicles: int
) -> list[Finding]:
    """What is wrong with a split for training an embedder, each with what can be done about it.

    Args:
        train: images to learn from.
        tasks: to measure on.
        batch_vehicles: different vehicles in a batch.
    """
    everything = [*train, *(image for task in tasks for image in task.images())]
    findings = [*check_split(train, tasks), *check_labels(everything)]
    counts = Counter(image.vehicle_id for image in train)
    if len(counts) < 2:
        findings.append(
            _error("too few vehicles", f"{len(counts)} to learn from; it takes two to tell them apart")
        )
    elif len(counts) < batch_vehicles:
        findings.append(
            _error(
                "too few vehicles",
                f"{len(counts):,} to learn from, and a batch takes {batch_vehicles:,}; "
                f"set batch.vehicles to {len(counts):,} or fewer",
            )
        )
    if counts and max(counts.values()) < 2:
        findings.append(
            _error(
                "too few images",
                "no vehicle to learn from has two; add more of each, or see data.images_per_vehicle",
            )
        )
    return findings


def check_lists(images: Sequence[VehicleImage], candidates: int, batch: int) -> list[Finding]:
    """What keeps a re-ranker from learning from the candidate lists of these images.

    A list holds images from other cameras than the probe's; it is learned from where there are as many, and
    one of them may be of the probe's vehicle.

    Args:
        images: of one fold.
        candidates: length of a list.
        batch: lists a step.
    """
    of_camera = Counter(image.camera_or_own for image in images)
    longest = len(images) - min(of_camera.values(), default=0)
    if not longest:
        message = f"all {len(images):,} of a fold are from one camera, and a list holds those of others"
        return [_error("too few images", message)]
    if longest < candidates:
        message = (
            f"of {len(images):,} of a fold at most {longest:,} are from other cameras than an image's own, "
            f"and a list holds {candidates:,}; lower lists.candidates to {longest:,}, or lists.folds"
        )
        return [_error("too few images", message)]
    places: dict[str, set[str]] = defaultdict(set)
    for image in images:
        places[image.vehicle_id].add(image.camera_or_own)
    probes = sum(len(places[image.vehicle_id]) > 1 for image in images)
    if probes < batch:
        message = (
            f"{probes:,} of a fold have one of their vehicle from another camera, and a step takes "
            f"{batch:,}; lower training.batch to {probes:,}, or lists.folds"
        )
        return [_error("too few images", message)]
    return []


def require_trainable(
    data: Path, train: Sequence[VehicleImage], tasks: Sequence[Task], batch_vehicles: int
) -> None:
    """See that an embedder can learn from these vehicles and be measured on others.

    Raises:
        DatasetError: it cannot; each error that `check_training` finds is a line.
    """
    _require(data, check_training(train, tasks, batch_vehicles))


def require_lists(
    data: Path,
    folds: Iterable[Sequence[VehicleImage]],
    tasks: Sequence[Task],
    candidates: int,
    batch: int,
) -> None:
    """See that a re-ranker can learn from the lists of every fold and be measured.

    Raises:
        DatasetError: it cannot; each error that `check_lists` and `check_split` find is a line.
    """
    findings = check_split([], tasks)
    for images in folds:
        findings += check_lists(images, candidates, batch)
    _require(data, findings)


def require_measurable(dataset: Dataset) -> None:
    """See that every task has a query with a match.

    Raises:
        DatasetError: one has none.
    """
    _require(dataset.root, check_split([], dataset.tasks))


def _error(kind: str, message: str) -> Finding:
    return Finding(Severity.error, kind, message, path="", row="")


def _require(data: Path, findings: Sequence[Finding]) -> None:
    errors = list(
        dict.fromkeys(
            f"{data}: {finding.kind}: {finding.message}"
            for finding in findings
            if finding.severity is Severity.error
        )
    )
    if errors:
        more = [f"and {len(errors) - SHOWN:,} more"] if len(errors) > SHOWN else []
        raise DatasetError("\n".join([*errors[:SHOWN], *more]))
