"""Another second stage for a bundle: its embedder stays as it is, bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from models.bundle import EXPLAINER, RERANKER, Bundle, replaced, write_manifest
from models.manifest import BOTH_STAGES, FIRST_STAGE, Accuracy, AccuracyRow, FileEntry, RerankerTraining
from models.reranker import StripReranker
from models.runtime import Models
from training.datasets.dataset import Dataset, Task, each_once
from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.assessment import assess
from training.evaluation.cross_camera import both_stages
from training.evaluation.descriptors import describe
from training.evaluation.measurement import accuracy_row
from training.export.bundle import (
    Precision,
    reranker_entry,
    reranker_for_inference,
    write_second_stage,
)
from training.export.errors import ExportError
from training.export.parity import ParityError, check_second_stage, random_strips
from training.features.extract import Features
from training.reporting.provenance import accuracy_record

PRECISION: Precision = "int8"
"""As the re-ranker is stored beside 8-bit weights, whatever the embedder's are; it is measured as stored."""


def held_out_tasks(bundle: Bundle, dataset: Dataset) -> list[Task]:
    """What of a data set a bundle's accuracy may be measured on.

    The data set's own tasks where it has a test split; else its images of the bundle's held-out vehicles.
    Nothing for a bundle that names none, as one that was trained with `data.measured=false` or without names.

    Raises:
        DatasetError: a task has an image of another vehicle, or there is no image of a held-out one.
    """
    if not names_held_out(bundle):
        return []
    held_out = held_out_vehicles(bundle)
    tasks = dataset.tasks
    if not dataset.has_split or not tasks:
        images = [image for image in dataset.images() if image.vehicle_id in held_out]
        tasks = [Task("validation vehicles", images, images)]
    check_held_out(bundle, _images(tasks))
    return tasks


def exchange_reranker(
    bundle: Bundle,
    folder: Path,
    reranker: StripReranker,
    tasks: list[Task],
    provenance: RerankerTraining,
    command: str = "",
) -> Bundle:
    """Write a copy of a bundle with this re-ranker, proven to agree with torch, and measured.

    Weights are stored in 16 bits and rounded before they are measured. Accuracy is that of ONNX Runtime's
    embedder, by the protocol of the bundle's own rows. The fingerprint stays: galleries stay valid.

    Args:
        bundle: with strips.
        folder: of the copy; what was there is replaced once the copy is whole. May be the bundle's own.
        reranker: the new second stage.
        tasks: of held-out vehicles, see `held_out_tasks`; none for a bundle that names none, which gets no
            figures.
        provenance: of the re-ranker, for the manifest; one with the bundle's own weights keeps what the
            manifest says.
        command: that exchanges it, for the manifest.

    Raises:
        ExportError: the strips do not fit, or ONNX Runtime does not agree with torch.
        DatasetError: an image cannot be read, or is not of a held-out vehicle.
    """
    manifest = bundle.manifest
    if manifest.strips is None or manifest.strips[1] != reranker.config.strip_width:
        raise ExportError(
            f"{bundle.path}: gives strips {manifest.strips}, the re-ranker compares some of width "
            f"{reranker.config.strip_width}"
        )
    images = _images(tasks)
    if tasks or names_held_out(bundle):
        check_held_out(bundle, images)
    rounded = reranker_for_inference(reranker, PRECISION)
    source = torch.Generator().manual_seed(0)
    with replaced(folder) as draft:
        for name in manifest.files:
            shutil.copyfile(bundle.path / name, draft / name)
        write_second_stage(rounded, manifest.strips[0], draft, PRECISION)
        try:
            check_second_stage(rounded, random_strips(manifest.strips, source), draft, source)
        except ParityError as error:
            raise ExportError(str(error)) from None
        written = {name: FileEntry.of(draft / name) for name in (RERANKER, EXPLAINER)}
        training = manifest.training
        if training is not None:
            commands = (*training.commands, *([command] if command else []))
            origin = provenance
            if training.reranker is not None and written[EXPLAINER] == manifest.files.get(EXPLAINER):
                # The explainer has all weights but the fusion: they are the bundle's own.
                origin = _with_fusion(training.reranker, reranker.config.fusion)
            training = training.model_copy(update={"reranker": origin, "commands": commands})
        changed = manifest.model_copy(
            update={
                "reranker": reranker_entry(rounded),
                "training": training,
                "accuracy": _measured(bundle, rounded, tasks, images) if tasks else None,
                "shift": None,
                "files": {**manifest.files, **written},
            }
        )
        write_manifest(draft, changed)
    return Bundle.load(folder)


def _with_fusion(known: RerankerTraining, fusion: float) -> RerankerTraining:
    shape = known.configuration.get("shape")
    if shape is None:
        return known
    return known.model_copy(
        update={"configuration": {**known.configuration, "shape": {**shape, "fusion": fusion}}}
    )


def _measured(
    bundle: Bundle, reranker: StripReranker, tasks: list[Task], images: list[VehicleImage]
) -> Accuracy | None:
    """The manifest's accuracy with both stages measured anew; baselines' rows stay."""
    described = describe(Models.load(bundle, "cpu").embedder, images, strips=True)
    if described.strips is None:
        raise ExportError(f"{bundle.path}: gives no strips")
    features = Features(images, described.descriptors.astype(np.float32), described.strips.astype(np.float32))
    known = bundle.manifest.accuracy
    own = (FIRST_STAGE, BOTH_STAGES)
    rows = known.rows if known is not None else ()
    kept = [row for row in rows if row.name not in own]
    if known is not None and any(row.protocol == "cross-camera" for row in rows if row.name in own):
        return known.model_copy(update={"rows": (*kept, *both_stages(features, reranker))})
    return accuracy_record([*kept, *_both_stages_of_tasks(tasks, features, reranker)])


def _both_stages_of_tasks(
    tasks: list[Task], features: Features, reranker: StripReranker
) -> Iterable[AccuracyRow]:
    for task in tasks:
        first, both = assess(task, features), assess(task, features, reranker)
        yield accuracy_row(FIRST_STAGE, first)
        yield accuracy_row(BOTH_STAGES, both, first)


def names_held_out(bundle: Bundle) -> bool:
    """Whether a bundle's manifest names vehicles that it was not trained on."""
    return bundle.manifest.training is not None and bool(bundle.manifest.training.held_out_vehicles)


def held_out_vehicles(bundle: Bundle) -> set[str]:
    """The vehicles that a bundle was not trained on, by its manifest.

    Raises:
        DatasetError: it names none.
    """
    training = bundle.manifest.training
    if training is None or not training.held_out_vehicles:
        raise DatasetError(
            f"{bundle.path}: its manifest names no vehicles that were held out of the training, so that "
            "nothing can be measured; train and export the bundle again"
        )
    return set(training.held_out_vehicles)


def check_held_out(bundle: Bundle, images: list[VehicleImage]) -> None:
    """See that a bundle may be measured on these images.

    Raises:
        DatasetError: there are none, or one is of no vehicle that was held out of its training.
    """
    strange = sorted({image.vehicle_id for image in images} - held_out_vehicles(bundle))
    if strange:
        raise DatasetError(
            f"{strange[0]} is no held-out vehicle of {bundle.path}: its figures would mean nothing"
        )
    if not images:
        raise DatasetError(f"there is no image of a held-out vehicle of {bundle.path}")


def _images(tasks: list[Task]) -> list[VehicleImage]:
    return each_once(image for task in tasks for image in task.images())
