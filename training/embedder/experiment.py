"""An experiment from its configuration to a report and a bundle that can be served."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch

from models.inputspec import InputSpec
from models.manifest import FIRST_STAGE
from models.network import LKAReID
from training.checkpoints.pretrained import load_imagenet
from training.checkpoints.resume import SnapshotError, Snapshots
from training.checkpoints.weights import load_embedder, save_embedder
from training.config.embedder import ExperimentConfig
from training.config.files import write_config
from training.datasets.dataset import Task
from training.datasets.image import VehicleImage
from training.datasets.layouts import open_dataset
from training.datasets.requirements import require_trainable
from training.datasets.viewpoints import Viewpoints
from training.distributed import Process
from training.embedder.trainer import Trainer
from training.evaluation.assessment import assess
from training.evaluation.hardest import HardQuery, hardest
from training.evaluation.measurement import Measurement, accuracy_row
from training.export.bundle import export_bundle, for_inference
from training.export.viewpoint import at_mean_viewpoint
from training.features.extract import Features, extract
from training.progress import EpochRow, Observer
from training.reporting.plots import draw_cmc, draw_curves, draw_hardest
from training.reporting.provenance import accuracy_record, origin, surroundings, training_record
from training.reporting.tensorboard import EventLog
from training.signals import Interruption

CONFIG = "config.yaml"
EMBEDDER = "embedder.safetensors"
REPORT = "report"
METRICS = "metrics.json"
BUNDLE = "bundle"
SERVED = "as served"
INFORMED = "with side information"
SHOWN = 3


class Reporter(Observer, Protocol):
    """Who is told how far the work is."""

    def part(self, name: str) -> None:
        """A new part of the work begins."""

    def embedding(self, done: int, total: int) -> None:
        """Images have been embedded."""


@dataclass(frozen=True)
class Sources:
    """What a run starts from.

    Attributes:
        data: the data set's folder or manifest.
        weights: published weights, or None to start from nothing.
        command: that started it, for the report.
    """

    data: Path
    weights: Path | None
    command: str = ""


def settings(config: ExperimentConfig) -> dict[str, Any]:
    """What an embedder depends on, as JSON types; the rest may change while it is trained."""
    return config.model_dump(mode="json", exclude={"name", "run", "evaluation", "bundle"})


class Experiment:
    """One experiment in a folder.

    Args:
        config: all that can be set.
        sources: data and weights.
        folder: of the run.
        reporter: told of every step.
        process: this one.
        interruption: asked after every step.
        division: what to train and to measure on; None for what the data and `config.data` say.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        sources: Sources,
        folder: Path,
        reporter: Reporter,
        *,
        process: Process | None = None,
        interruption: Interruption | None = None,
        division: tuple[list[VehicleImage], list[Task]] | None = None,
    ) -> None:
        self.config = config
        self.sources = sources
        self.folder = folder
        self.reporter = reporter
        self.process = process or Process()
        self.interruption = interruption or Interruption()
        if division is None:
            dataset = open_dataset(sources.data, config.data.layout)
            division = config.data.split(dataset)
        self.train, self.tasks = division
        require_trainable(sources.data, self.train, self.tasks, config.batch.vehicles)
        self.viewpoints = Viewpoints.of(self.train, config.network.side_information)
        height, width = config.network.image_size
        self.spec = InputSpec(height=height, width=width, mean=config.input.mean, std=config.input.std)

    @cached_property
    def _origin(self) -> dict[str, Any]:
        return origin(self.sources.data, self.train, self.sources.weights)

    @cached_property
    def _snapshots(self) -> Snapshots:
        return Snapshots(self.folder / "snapshot", {**self._origin, "experiment": settings(self.config)})

    @property
    def finished(self) -> bool:
        """Whether the folder holds a run that has come to its end."""
        return (self.folder / EMBEDDER).exists() and not self._snapshots.exist()

    def require_same(self) -> None:
        """See that the finished run in the folder had these settings, data and weights.

        Raises:
            SnapshotError: it had not, or its report is missing.
        """
        path = self.folder / REPORT / METRICS
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            config = ExperimentConfig.model_validate(found["configuration"])
            made = {"data": found["data"], "weights": found["weights"], "experiment": settings(config)}
        except (OSError, ValueError, KeyError) as error:
            raise SnapshotError(f"{path}: cannot be read ({error}); train the embedder again") from None
        self._snapshots.require_same(self.folder / EMBEDDER, made)

    def settle(self) -> Path:
        """The embedder's file, of this run: kept where it is finished, else trained or gone on with.

        Raises:
            SnapshotError: the folder holds a run with other settings.
            Exception: see `run`.
        """
        if self.finished:
            self.require_same()
        else:
            self.run(resume=True)
        return self.folder / EMBEDDER

    def run(self, *, resume: bool = False) -> dict[str, Any]:
        """Train, measure, report and export; what the report's `metrics.json` says.

        Args:
            resume: go on with what is in the folder, if anything is.

        Raises:
            SnapshotError: the folder holds a run and `resume` is not wanted, or one that does not fit.
            WeightsError: the weights do not fit.
            FloatingPointError: the loss is not finite.
            InterruptedRunError: it was asked to stop, and has saved where it stands.
        """
        snapshots = self._snapshots
        if not resume and (snapshots.exist() or (self.folder / EMBEDDER).exists()):
            raise SnapshotError(f"{self.folder} holds a run; add --resume to go on, or choose another --out")
        if self.finished:
            raise SnapshotError(f"{self.folder}: the run in it is finished; choose another --out")
        trainer = self._trainer(snapshots)
        if snapshots.exist():
            trainer.resume()
        self.process.wait()
        if self.process.first:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / CONFIG).write_text(write_config(self.config), encoding="utf-8")
        network = trainer.run()
        metrics: dict[str, Any] = {}
        if self.process.first:
            save_embedder(self.folder / EMBEDDER, network, self.viewpoints)
            metrics = self._conclude(trainer.history)
            snapshots.remove()
        self.process.wait()
        return metrics

    def _trainer(self, snapshots: Snapshots) -> Trainer:
        config = self.config
        torch.manual_seed(config.seed)
        vehicles = len({image.vehicle_id for image in self.train})
        network = LKAReID(config.network.build(), vehicles, len(self.viewpoints) if self.viewpoints else 0)
        if self.sources.weights is not None:
            wanted = config.weights
            load_imagenet(
                network,
                self.sources.weights,
                layout=wanted.layout,
                sha256=wanted.sha256,
                left_out=wanted.left_out,
            )
        observers: list[Observer] = [EventLog(self.folder / "tensorboard")] if self.process.first else []
        self.reporter.part(config.name)
        return Trainer(
            network,
            self.train,
            config,
            process=self.process,
            viewpoints=self.viewpoints.numbers(self.train) if self.viewpoints else None,
            snapshots=snapshots,
            measure=self._measure,
            observers=[*observers, self.reporter],
            interruption=self.interruption,
        )

    def _measure(self, epoch: int, network: LKAReID) -> dict[str, float]:
        every = self.config.evaluation.every
        # After the last epoch everything is measured anyway.
        if not self.tasks or not every or epoch % every or epoch == self.config.schedule.epochs:
            return {}
        return _headline(assess(self.tasks[0], self._features(network, self.tasks[0].images())))

    def _features(self, network: LKAReID, images: list[VehicleImage], *, informed: bool = True) -> Features:
        known = self.viewpoints.numbers(images) if self.viewpoints and informed else None
        return extract(
            network,
            images,
            batch=self.config.evaluation.batch,
            spec=self.spec,
            viewpoints=known,
            report=lambda done: self.reporter.embedding(done, len(images)),
        )

    def _conclude(self, history: Sequence[EpochRow]) -> dict[str, Any]:
        """Measure what will be served, report and export."""
        network = load_embedder(self.folder / EMBEDDER)
        numbers = self.viewpoints.numbers(self.train) if self.viewpoints else []
        shipped = for_inference(at_mean_viewpoint(network, numbers), self.config.bundle.precision)
        found: dict[str, list[Measurement]] = {}
        worst: list[HardQuery] = []
        if self.tasks:
            self.reporter.part("measuring")
            features = self._measured(shipped, informed=False)
            found[SERVED] = [assess(task, features) for task in self.tasks]
            first = found[SERVED][0]
            worst = hardest(first.task, first.result, features, self.config.evaluation.hardest)
            if self.viewpoints:
                features = self._measured(network, informed=True)
                found[INFORMED] = [assess(task, features) for task in self.tasks]
        metrics = {
            "name": self.config.name,
            "seed": self.config.seed,
            "command": self.sources.command,
            **self._origin,
            **surroundings(self.process.device),
            "results": [{"row": row, **a.row()} for row, all_of in found.items() for a in all_of],
            "configuration": self.config.model_dump(mode="json"),
            "history": [row.to_dict() for row in history],
        }
        self._report(metrics, history, found, worst)
        if self.config.bundle.export:
            self.reporter.part("export")
            self._export(shipped, metrics, found)
        return metrics

    def _measured(self, network: LKAReID, *, informed: bool) -> Features:
        network = copy.deepcopy(network).to(self.process.device)
        images = {image.path: image for task in self.tasks for image in task.images()}
        return self._features(network, list(images.values()), informed=informed)

    def _report(
        self,
        metrics: dict[str, Any],
        history: Sequence[EpochRow],
        found: dict[str, list[Measurement]],
        worst: Sequence[HardQuery],
    ) -> None:
        folder = self.folder / REPORT
        folder.mkdir(exist_ok=True)
        best = found.get(INFORMED) or found.get(SERVED)
        draw_curves(history, _headline(best[0]) if best else {}, folder / "curves.png")
        if best:
            several = len(best) > 1
            named = {
                f"{row}, {a.task.name}" if several else row: a
                for row, all_of in found.items()
                for a in all_of
            }
            draw_cmc(named, folder / "cmc.png")
            if worst:
                draw_hardest(worst, folder / "hardest.png")
        text = json.dumps(metrics, indent=2, ensure_ascii=False) + "\n"
        (folder / METRICS).write_text(text, encoding="utf-8")

    def _export(self, shipped: LKAReID, metrics: dict[str, Any], found: dict[str, list[Measurement]]) -> None:
        images = [image for task in self.tasks for image in task.images()]
        names = {SERVED: FIRST_STAGE}
        rows = [accuracy_row(names.get(row, row), a) for row, all_of in found.items() for a in all_of]
        export_bundle(
            self.folder / BUNDLE,
            name=self.config.name,
            network=shipped,
            reranker=None,
            precision=self.config.bundle.precision,
            training=training_record(metrics, images, metrics["configuration"]),
            accuracy=accuracy_record(rows),
            spec=self.spec,
            torch_weights=self.config.bundle.torch_weights,
        )


def _headline(measured: Measurement) -> dict[str, float]:
    return dict(list(measured.figures().items())[:SHOWN])
