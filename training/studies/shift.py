"""A bundle, or embedders that have not seen the vehicles of their fold, measured before new cameras."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from models.runtime import Models
from training.checkpoints.resume import SPACING, Checkpoints, kept
from training.checkpoints.weights import load_embedder, save_embedder
from training.config.embedder import ExperimentConfig
from training.datasets.folds import Part
from training.datasets.image import DatasetError
from training.distributed import Process, choose_device
from training.embedder.run import embedder_trainer
from training.evaluation.protocol import Progress
from training.evaluation.shift.conditions import (
    OF_TWO_CAMERAS,
    Condition,
    Embed,
    Kind,
    TwoCameras,
    class_condition,
    cross_camera_condition,
)
from training.evaluation.shift.embedding import KeptEmbedder
from training.evaluation.shift.findings import Findings, Row
from training.features.network_embedder import NetworkEmbedder, imagenet_embedder
from training.progress import Reporter
from training.signals import StopRequest
from training.studies.shift_material import CLASSES, Material

BUNDLE = "bundle"
IMAGENET = "ImageNet ResNet-50"


def measure_bundle(
    models: Models,
    material: Material,
    kinds: Collection[Kind],
    folder: Path,
    progress: Progress,
    *,
    weights: Path | None = None,
    seed: int = 0,
) -> list[Row]:
    """Measure a bundle.

    Args:
        models: of the bundle.
        material: to measure on.
        kinds: of conditions; those without material are left out.
        folder: keeps descriptors and strips.
        progress: receives how far the work is.
        weights: published ResNet-50 weights to measure class retrieval with too, or None.
        seed: of the mixed galleries and of the bootstrap.

    Raises:
        DatasetError, FeatureStoreError: images or what is kept of them cannot be read.
        WeightsError: the weights do not fit.
    """
    findings = Findings()
    second = models.reranker
    identity = f"{models.bundle.fingerprint}/{models.runtime}"
    embedder = KeptEmbedder(models.embedder, identity, folder, progress, strips=second is not None)
    for kind in (kind for kind in material.kinds() if kind in kinds):
        for condition in _conditions(kind, material, embedder.embedded, seed):
            findings.add(kind, BUNDLE, condition, condition.trial.measure(second))
        if kind is Kind.classes and weights is not None:
            plain = imagenet_embedder(weights)
            embed = KeptEmbedder(plain, plain.identity, folder, progress).embedded
            condition = class_condition(material.classes, embed, CLASSES)
            findings.add(kind, IMAGENET, condition, condition.trial.measure(None))
    return findings.rows(seed)


def _conditions(kind: Kind, material: Material, embed: Embed, seed: int) -> Iterator[Condition]:
    if material.cameras is not None and kind in OF_TWO_CAMERAS:
        yield from material.cameras.conditions(kind, embed, seed)
    elif material.synthetic is not None and kind is Kind.synthetic:
        yield cross_camera_condition(material.synthetic, embed)
    elif material.classes and kind is Kind.classes:
        yield class_condition(material.classes, embed, CLASSES)


class FoldStudy:
    """Embedders that learn from all folds but their own and are measured on it, from published weights.

    Args:
        config: of every embedder.
        weights: to start from, or None.
        folder: keeps embedders and checkpoints: the same call goes on where it was stopped.
        sources: data and weights, for the record.
        reporter: receives the events of the trainings.
        stop: checked after every step.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        weights: Path | None,
        folder: Path,
        sources: dict[str, Any],
        reporter: Reporter,
        stop: StopRequest,
    ) -> None:
        self._config = config
        self._weights = weights
        self._folder = folder
        self._sources = sources
        self._reporter = reporter
        self._stop = stop

    def measure(
        self, parts: Sequence[Part], kinds: Collection[Kind], features: Path, *, seed: int = 0
    ) -> list[Row]:
        """The first stage of each fold's embedder on the fold's vehicles; queries of all folds are pooled.

        Args:
            parts: the folds.
            kinds: of conditions; those of vehicles before two cameras are measured.
            features: keeps descriptors.
            seed: of the mixed galleries and of the bootstrap.

        Raises:
            DatasetError: the images are not from two cameras, or one cannot be read.
            ResumeError: the folder holds embedders of other settings.
            StoppedError: it was stopped; the same call goes on.
        """
        if not any(kind in kinds for kind in OF_TWO_CAMERAS):
            raise DatasetError(f"folds are measured under {', '.join(OF_TWO_CAMERAS)} alone")
        findings = Findings()
        for part in parts:
            path = self._trained(part)
            network = load_embedder(path).to(choose_device(self._config.run.device))
            embedder = NetworkEmbedder(network, self._config.spec)
            embed = KeptEmbedder(embedder, embedder.identity, features, _Parts(self._reporter)).embedded
            cameras = TwoCameras.of(part.task.images())
            for kind in (kind for kind in OF_TWO_CAMERAS if kind in kinds):
                for condition in cameras.conditions(kind, embed, seed, f"fold {part.number + 1} "):
                    findings.add(kind, self._config.name, condition, condition.trial.measure(None))
        return findings.rows(seed)

    def _trained(self, part: Part) -> Path:
        """The weights of a fold's embedder, trained where they are not there."""
        name = f"fold-{part.number + 1}"
        path = self._folder / f"{name}.safetensors"
        vehicles = sorted({image.vehicle_id for image in part.train})
        settings = {**self._sources, "embedder": self._config.settings(), "vehicles": vehicles}
        checkpoints = Checkpoints(self._folder / f"{name}-checkpoint", settings, spacing=SPACING)

        def make() -> dict[str, Any]:
            self._reporter.part(part.task.name)
            trainer = embedder_trainer(
                self._config,
                part.train,
                self._weights,
                process=Process(choose_device(self._config.run.device)),
                checkpoints=checkpoints,
                observers=[self._reporter],
                stop=self._stop,
            )
            self._folder.mkdir(parents=True, exist_ok=True)
            save_embedder(path, trainer.run())
            return {"embedder": path.name}

        kept(self._folder / f"{name}.json", settings, make)
        checkpoints.remove()
        return path


class _Parts:
    """Parts of the work as a reporter of trainings shows them."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    def start(self, name: str, total: int) -> Callable[[int], None]:
        """A part of the work begins."""
        self._reporter.part(name)
        return lambda done: self._reporter.embedded(done, total)
