"""Finding what is wrong with a data set: its image files, its lists, and where they contradict each other."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from models.decoding import ImageError, decode
from models.intake.names import slash_hint
from models.wording import counted
from training.datasets.dataset import Dataset, Task
from training.datasets.findings import Finding, Severity
from training.datasets.image import VehicleImage
from training.datasets.labels import check_labels

CHUNK = 64
Digest = bytes


def check(
    dataset: Dataset, report: Callable[[int], None] = lambda _: None, *, measured: bool = True
) -> list[Finding]:
    """Everything that is found wrong with a data set.

    Args:
        dataset: read without looking for its images.
        report: called with the number of image files read.
        measured: whether anything is to be measured on its tasks.

    Errors are: images that are missing or do not decode, copies under two vehicles or from two cameras,
    vehicles on both sides of training and test, a task without a single answerable query or with one vehicle
    alone, vehicles that are called unknown, and folders camera/vehicle/. Warnings are: few folders of many
    images without cameras, which may be cameras themselves,
    copies and repeated rows, query vehicles without a gallery match, cameras that only one vehicle uses.
    """
    digests: dict[VehicleImage, Digest] = {}
    findings = [finding for _, finding in _read_images(dataset.images(), digests, report)]
    findings += check_labels(dataset.images())
    findings += _twice_on_a_list(dataset)
    findings += _same_bytes(dataset, digests)
    findings += check_split(dataset.train if dataset.has_split else [], dataset.tasks if measured else [])
    findings += _cameras_of_one_vehicle(dataset.images())
    return findings


def check_split(train: Sequence[VehicleImage], tasks: Sequence[Task]) -> list[Finding]:
    """What is wrong with vehicles to learn from and tasks to measure on, as far as no image need be read."""
    findings = list(_on_both_sides(train, tasks))
    for task in tasks:
        findings += _without_match(task)
    return findings


def unreadable(
    images: Sequence[VehicleImage], report: Callable[[int], None] = lambda _: None
) -> list[tuple[VehicleImage, Finding]]:
    """The images that are missing or do not decode, and why; every one is read.

    Args:
        images: each once.
        report: called with the number of images read.
    """
    return list(_read_images(list(images), {}, report))


def _read_images(
    images: list[VehicleImage], digests: dict[VehicleImage, Digest], report: Callable[[int], None]
) -> Iterator[tuple[VehicleImage, Finding]]:
    """Read and decode every image once: those that fail; note the hash of each that decodes."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # By chunks: `map` would put all images in the queue at once.
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            for image, result in zip(chunk, pool.map(_read, chunk), strict=True):
                if isinstance(result, Finding):
                    yield image, result
                else:
                    digests[image] = result
            report(start + len(chunk))


def _read(image: VehicleImage) -> Digest | Finding:
    try:
        data = image.path.read_bytes()
    except FileNotFoundError:
        message = f"is listed but does not exist{slash_hint(image.path)}"
        return Finding.of(Severity.error, "missing image", message, image)
    except OSError as error:
        return Finding.of(Severity.error, "unreadable image", str(error.strerror), image)
    try:
        decode(data)
    except ImageError as error:
        return Finding.of(Severity.error, "unreadable image", str(error), image)
    return hashlib.blake2b(data, digest_size=16).digest()


def _twice_on_a_list(dataset: Dataset) -> Iterator[Finding]:
    for name, images in dataset.lists():
        seen: dict[str, VehicleImage] = {}
        for image in images:
            first = seen.setdefault(str(image.path), image)
            if first is image:
                continue
            if first.vehicle_id != image.vehicle_id:
                message = f"{first.vehicle_id} ({first.origin}) and {image.vehicle_id}, in {name}"
                yield Finding.of(Severity.error, "image of two vehicles", message, image)
            else:
                yield Finding.of(
                    Severity.warning, "image listed twice", f"in {name}, first at {first.origin}", image
                )


def _same_bytes(dataset: Dataset, digests: dict[VehicleImage, Digest]) -> Iterator[Finding]:
    """Files with the same bytes; a query's copy in the gallery, from the same camera, is as it should be."""
    # A list of a larger test holds those of a smaller one: an image's part is what it is used for.
    part = {image.path: name.split()[0] for name, images in dataset.lists() for image in images}
    groups: dict[Digest, list[VehicleImage]] = defaultdict(list)
    for image, digest in digests.items():
        groups[digest].append(image)
    for group in groups.values():
        for first, image in pairwise(group):
            where = f"the same bytes as {first.place()}"
            if first.vehicle_id != image.vehicle_id:
                message = f"{where}, but vehicle {image.vehicle_id} and not {first.vehicle_id}"
                yield Finding.of(Severity.error, "copy under two vehicles", message, image)
            elif first.camera_id != image.camera_id:
                message = f"{where}, but camera {image.camera_id} and not {first.camera_id}"
                yield Finding.of(Severity.error, "copy from two cameras", message, image)
            elif {part[first.path], part[image.path]} != {"query", "gallery"} or not image.camera_id:
                yield Finding.of(Severity.warning, "copy", where, image)


def _on_both_sides(train: Sequence[VehicleImage], tasks: Sequence[Task]) -> Iterator[Finding]:
    trained = {image.vehicle_id for image in train}
    reported = set()
    for task in tasks:
        for image in task.images():
            if image.vehicle_id in trained and image.vehicle_id not in reported:
                reported.add(image.vehicle_id)
                message = f"vehicle {image.vehicle_id} is to learn from and to measure on"
                yield Finding.of(Severity.error, "vehicle in training and test", message, image)


def _without_match(task: Task) -> Iterator[Finding]:
    """Query vehicles without a gallery image from another camera: their queries are not counted."""
    unanswered: dict[str, list[VehicleImage]] = defaultdict(list)
    for image in _unanswered(task):
        unanswered[image.vehicle_id].append(image)
    count = sum(map(len, unanswered.values()))
    if task.queries and count == len(task.queries):
        message = f"nothing can be measured on {task.name}: {_why_unanswered(task)}"
        yield Finding.of(Severity.error, "no query has a match", message, task.queries[0])
        return
    searched = task.queries if task.gallery is None else task.gallery
    if len({image.vehicle_id for image in searched}) == 1:
        message = (
            f"nothing can be measured on {task.name}: all {counted(len(searched), 'image')} of it "
            f"are of vehicle {searched[0].vehicle_id}, so that every match is correct"
        )
        yield Finding.of(Severity.error, "one vehicle", message, searched[0])
        return
    for vehicle, images in unanswered.items():
        message = (
            f"vehicle {vehicle}, {counted(len(images), 'query', 'queries')} of {task.name}: "
            "no gallery image of it from another camera"
        )
        yield Finding.of(Severity.warning, "query without match", message, images[0])


def _unanswered(task: Task) -> Iterable[VehicleImage]:
    places: dict[str, set[str]] = defaultdict(set)
    if task.gallery is None:
        for image in task.queries:
            places[image.vehicle_id].add(str(image.path))
        return [image for image in task.queries if len(places[image.vehicle_id]) < 2]
    for image in task.gallery:
        places[image.vehicle_id].add(image.camera_or_own)
    return [image for image in task.queries if not places[image.vehicle_id] - {image.camera_or_own}]


def _why_unanswered(task: Task) -> str:
    """Why no query of a task has a match, and what can be done about it."""
    images = task.images()
    cameras = {image.camera_or_own for image in images}
    if task.gallery and not {image.vehicle_id for image in task.queries} & {
        image.vehicle_id for image in task.gallery
    }:
        return "no vehicle of a query is in the gallery"
    if task.gallery is None or len({image.vehicle_id for image in images}) == len(images):
        return "no vehicle has two images"
    seen = (
        f"all images are from camera {images[0].camera_id}"
        if len(cameras) == 1
        else "no vehicle was seen by two"
    )
    return (
        f"{seen}, and a match counts from another camera alone; give each image its own camera, leave out "
        "the cameras of all, or have nothing measured (data.measured=false, or role train in every row)"
    )


def _cameras_of_one_vehicle(images: list[VehicleImage]) -> Iterator[Finding]:
    users: dict[str, dict[str, VehicleImage]] = defaultdict(dict)
    for image in images:
        if image.camera_id:
            users[image.camera_id].setdefault(image.vehicle_id, image)
    for camera, vehicles in users.items():
        if len(vehicles) == 1:
            [(vehicle, image)] = vehicles.items()
            message = f"camera {camera} saw vehicle {vehicle} alone"
            yield Finding.of(Severity.warning, "camera of one vehicle", message, image)
