"""Another second stage for a bundle: its embedder stays as it is, bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from models.bundle import (
    EXPLAINER,
    RERANKER,
    Bundle,
    FileEntry,
    RerankerEntry,
    hash_file,
    write_manifest,
)
from models.reranker import CANDIDATES, StripReranker
from models.runtime import Models
from training.datasets.image import DatasetError, VehicleImage
from training.evaluation.cross_camera import both_stages
from training.evaluation.descriptors import describe
from training.export.bundle import ExportError, Precision, reranker_for_inference, write_second_stage
from training.export.parity import ParityError, check_second_stage
from training.features.extract import Features

PRECISION: Precision = "int8"
"""As the re-ranker is stored beside 8-bit weights, whatever the embedder's are; it is measured as stored."""


def exchange_reranker(
    bundle: Bundle, folder: Path, reranker: StripReranker, images: list[VehicleImage], told: dict[str, Any]
) -> Bundle:
    """Write a copy of a bundle with this re-ranker, proven to agree with torch, and measured.

    Weights are stored in 16 bits and rounded before they are measured. Accuracy is that of ONNX Runtime's
    embedder. Galleries of the old bundle have to be embedded again: the fingerprint is another one.

    Args:
        bundle: with strips.
        folder: of the copy; what was there is replaced once the copy is whole. May be the bundle's own.
        reranker: the new second stage.
        images: of the bundle's validation vehicles.
        told: of the re-ranker's making, for the manifest.

    Raises:
        ExportError: the strips do not fit, or ONNX Runtime does not agree with torch.
        DatasetError: an image cannot be read, or belongs to no validation vehicle.
    """
    manifest = bundle.manifest
    if manifest.strips is None or manifest.strips[1] != reranker.config.strip_width:
        raise ExportError(
            f"{bundle.path}: gives strips {manifest.strips}, the re-ranker compares some of width "
            f"{reranker.config.strip_width}"
        )
    validation = set(manifest.training.get("validation", ()))
    strange = sorted({image.vehicle_id for image in images} - validation)
    if strange or not images:
        raise DatasetError(
            f"{strange[0]} is no validation vehicle of {bundle.path}: its figures would mean nothing"
            if strange
            else f"there is no picture of a validation vehicle of {bundle.path}"
        )
    shipped = reranker_for_inference(reranker, PRECISION)
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(bundle.path, draft)
    try:
        write_second_stage(shipped, manifest.strips[0], draft, PRECISION)
        try:
            check_second_stage(shipped, manifest.strips, draft)
        except ParityError as error:
            raise ExportError(str(error)) from None
        files = {
            path.name: FileEntry(sha256=hash_file(path), bytes=path.stat().st_size)
            for path in sorted(draft.iterdir())
            if path.name in manifest.files or path.name in (RERANKER, EXPLAINER)
        }
        changed = manifest.model_copy(
            update={
                "reranker": RerankerEntry(candidates=CANDIDATES, config=shipped.config.to_dict()),
                "training": {**manifest.training, "second_stage": told},
                "accuracy": _measured(bundle, shipped, images),
                "files": files,
            }
        )
        if manifest.threshold is not None:
            # Of the first stage's similarity, which has not changed.
            kept = manifest.threshold.model_copy(update={"fingerprint": changed.fingerprint()})
            changed = changed.model_copy(update={"threshold": kept})
        write_manifest(draft, changed)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Bundle.load(folder)


def _measured(bundle: Bundle, reranker: StripReranker, images: list[VehicleImage]) -> dict[str, Any]:
    """The manifest's accuracy with both stages measured anew; rivals' figures stay."""
    described = describe(Models.load(bundle, "cpu").embedder, images, strips=True)
    if described.strips is None:
        raise ExportError(f"{bundle.path}: gives no strips")
    features = Features(images, described.descriptors.astype(np.float32), described.strips.astype(np.float32))
    table = {**bundle.manifest.accuracy["results"], **both_stages(features, reranker)}
    return {**bundle.manifest.accuracy, "results": table}
