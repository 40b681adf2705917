"""A finished run as a bundle: its networks and their provenance are found in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.inputspec import InputSpec
from models.manifest import Accuracy, Training
from training.checkpoints.resume import ResumeError
from training.checkpoints.run_folder import RunFolder
from training.checkpoints.weights import load_reranker
from training.export.bundle import Precision, export_bundle, for_inference
from training.export.parity import Parity
from training.export.viewpoint import load_served

RERANKER_RUN = "reranker"
"""The folder of a default bundle's run that holds both stages."""


def manifest_record(
    spec: InputSpec, precision: Precision, training: Training, accuracy: Accuracy | None
) -> dict[str, Any]:
    """What a run's `metrics.json` keeps for the manifests of its bundles, as JSON types.

    Args:
        spec: what the embedder wants to see.
        precision: of the weights that were measured.
        training: where the model comes from.
        accuracy: what was measured, or None.
    """
    return {
        "input": spec.model_dump(mode="json"),
        "precision": precision,
        "training": training.model_dump(mode="json"),
        "accuracy": accuracy.model_dump(mode="json") if accuracy is not None else None,
    }


def finished_run(run: Path) -> RunFolder:
    """The run whose weights are to be exported: itself, or the re-ranker's in a default bundle's run."""
    own, inner = RunFolder(run), RunFolder(run / RERANKER_RUN)
    return inner if not own.embedder.exists() and inner.embedder.exists() else own


def export_run(
    run: Path,
    bundle: Path | None = None,
    *,
    name: str | None = None,
    precision: Precision | None = None,
    torch_weights: bool | None = None,
    metrics: dict[str, Any] | None = None,
) -> Parity:
    """Write a run as a bundle.

    Args:
        run: folder of a finished run of an embedder, of a re-ranker, or of the default bundle.
        bundle: the bundle's folder; None for the run's own.
        name: of the model; None for the run's.
        precision: how weights are stored; None as the run was measured.
        torch_weights: also write float32 weights; None as the run's configuration says.
        metrics: of a run that is about to be finished; None to read them.

    Raises:
        ResumeError: the folder holds no finished run.
        WeightsError: its weights cannot be read.
        ExportError: ONNX Runtime does not agree with torch.
    """
    folder = finished_run(run)
    metrics = metrics or folder.read_metrics()
    try:
        record, wanted = metrics["manifest"], metrics["configuration"]["bundle"]
        measured = record["precision"]
    except KeyError as error:
        raise ResumeError(f"{folder.metrics}: has no {error}; train again") from None
    chosen: Precision = precision or measured
    accuracy = Accuracy.model_validate(record["accuracy"]) if record["accuracy"] is not None else None
    if accuracy is not None and chosen != measured:
        note = f"{accuracy.measured_on}, with {measured} weights"
        accuracy = accuracy.model_copy(update={"measured_on": note})
    spec = InputSpec.model_validate(record["input"])
    return export_bundle(
        bundle or folder.bundle,
        name=name or metrics["name"],
        network=for_inference(load_served(folder.embedder, (spec.height, spec.width)), chosen),
        reranker=load_reranker(folder.reranker) if folder.reranker.exists() else None,
        precision=chosen,
        training=Training.model_validate(record["training"]),
        accuracy=accuracy,
        spec=spec,
        torch_weights=wanted["torch_weights"] if torch_weights is None else torch_weights,
    )
