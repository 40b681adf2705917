"""An embedder's experiment from its configuration to a report and a bundle that can be served."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from models.inputspec import InputSpec
from models.manifest import FIRST_STAGE
from models.network import LKAReID
from models.wording import counted
from training.checkpoints.resume import SPACING, Checkpoints
from training.checkpoints.run_folder import RunFolder
from training.checkpoints.weights import load_embedder, save_embedder
from training.config.embedder import ExperimentConfig
from training.config.files import write_config
from training.config.reranker import RerankerExperimentConfig
from training.datasets.dataset import Task
from training.datasets.image import VehicleImage
from training.datasets.layouts import open_dataset
from training.datasets.readable import readable
from training.datasets.requirements import require_trainable
from training.datasets.viewpoints import Viewpoints
from training.distributed import Process
from training.embedder.projection import fitted_directions
from training.embedder.run import embedder_trainer
from training.evaluation.assessment import assess
from training.evaluation.hardest import HardQuery, hardest
from training.evaluation.measurement import Measurement, accuracy_row
from training.export.bundle import for_inference
from training.export.run import export_run, manifest_record
from training.export.viewpoint import as_served, load_served
from training.features.extract import Features, extract
from training.progress import EpochRow, Observer, Reporter
from training.reporting.plots import draw_cmc, draw_curves, draw_hardest, draw_watched
from training.reporting.provenance import accuracy_record, environment, sources_of, title_of, training_record
from training.reporting.tensorboard import EventLog
from training.signals import StopRequest

SERVED = "as served"
INFORMED = "with side information"
SHOWN = 3


@dataclass(frozen=True)
class Sources:
    """What a run starts from.

    Attributes:
        data: the data set's folder or manifest.
        weights: published weights or a bundle's embedder, or None to start from nothing.
        command: that started it, for the report.
        further: a second data set to learn from.
    """

    data: Path
    weights: Path | None
    command: str = ""
    further: Path | None = None


class Experiment:
    """One experiment in a folder.

    Args:
        config: all that can be set.
        sources: data and weights.
        folder: of the run.
        reporter: receives the events.
        process: this one.
        stop: checked after every step.
        images: to train on, with nothing to measure on; None for what the data and `config.data` say.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        sources: Sources,
        folder: Path,
        reporter: Reporter,
        *,
        process: Process | None = None,
        stop: StopRequest | None = None,
        images: list[VehicleImage] | None = None,
    ) -> None:
        self.config = config
        self.sources = sources
        self.folder = RunFolder(folder)
        self.reporter = reporter
        self.process = process or Process()
        self.stop = stop or StopRequest()
        self.train: list[VehicleImage] = images or []
        self.tasks: list[Task] = []
        if images is None:
            self.train, self.tasks = config.data.split(open_dataset(sources.data, config.data.layout))
        if sources.further is not None:
            self.train = [*self.train, *config.data.further_images(open_dataset(sources.further))]
        # What no image need be read for is said at once; then of what is left of them.
        require_trainable(sources.data, self.train, self.tasks, config.batch.vehicles)
        self.train, self.tasks = self._readable()
        require_trainable(sources.data, self.train, self.tasks, config.batch.vehicles)
        self.viewpoints = Viewpoints.of(self.train, config.network.side_information)

    def _readable(self) -> tuple[list[VehicleImage], list[Task]]:
        """What can be read, images to measure on as well: a training must not end at one of them."""
        how = self.config.data.unreadable
        is_announced = False

        def report(done: int, total: int) -> None:
            nonlocal is_announced
            if not is_announced:
                self.reporter.part("reading images")
                is_announced = True
            self.reporter.embedded(done, total)
            self.stop.between(done, total, "reading")

        train, tasks, left_out = readable(self.sources.data, self.train, self.tasks, how, report)
        if left_out:
            which = counted(left_out, "image that cannot be read is", "images that cannot be read are")
            self.reporter.part(f"{which} left out")
        return train, tasks

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the embedder depends on, as JSON types."""
        sources = sources_of(self.sources.data, self.train, self.sources.weights, self.sources.further)
        return {**sources, "experiment": self.config.settings()}

    def result(self) -> dict[str, Any]:
        """What `run` gives: of the run in the folder where it is finished, else of a new or resumed one.

        Raises:
            ResumeError: the folder holds a run with other settings.
            Exception: see `run`.
        """
        return self.folder.result(self.settings) or self.run(resume=True)

    def run(self, *, resume: bool = False) -> dict[str, Any]:
        """Train, measure, report and export; what the report's `metrics.json` says.

        Args:
            resume: go on with what is in the folder, if anything is.

        Raises:
            ResumeError: the folder holds a run and `resume` is not wanted, or one that does not fit.
            WeightsError: the weights do not fit.
            FloatingPointError: the loss is not finite.
            StoppedError: it was stopped, and has saved where it stands.
        """
        self.folder.begin(resume=resume)
        checkpoints = Checkpoints(self.folder.checkpoint, self.settings, spacing=SPACING)
        log: list[Observer] = [EventLog(self.folder.tensorboard)] if self.process.first else []
        self.reporter.part(self.config.name)
        trainer = embedder_trainer(
            self.config,
            self.train,
            self.sources.weights,
            viewpoints=self.viewpoints,
            kept=self.folder.start,
            process=self.process,
            checkpoints=checkpoints,
            measure=self._measure,
            observers=[*log, self.reporter],
            stop=self.stop,
        )
        self.process.barrier()
        if self.process.first:
            self.folder.write_config(write_config(self.config))
        network = trainer.run()
        metrics: dict[str, Any] = {}
        if self.process.first:
            save_embedder(self.folder.embedder, self._projected(network), self.viewpoints)
            metrics = self._conclude(trainer.history)
            checkpoints.remove()
        self.process.barrier()
        return metrics

    def _projected(self, network: LKAReID) -> LKAReID:
        """The trained network with its projection, where one is wanted: fitted at the size that is served."""
        if not self.config.projection.directions:
            return network
        self.reporter.part("estimating the projection")
        served = as_served(network, self.viewpoints, self.config.served_size).to(self.process.device)
        columns = fitted_directions(served, self.train, self.config, self._embedded)
        return network.with_projection(torch.from_numpy(columns))

    def _measure(self, epoch: int, network: LKAReID) -> dict[str, float]:
        every = self.config.evaluation.every
        # After the last epoch everything is measured anyway.
        if not self.tasks or not every or epoch % every or epoch == self.config.schedule.epochs:
            return {}
        features = self._features(network, self.tasks[0].images(), self.reporter.embedded)
        return _headline(assess(self.tasks[0], features))

    def _embedded(self, done: int, total: int) -> None:
        """Tell how far it is after the training, and shut down there if that was asked for."""
        self.reporter.embedded(done, total)
        # Several processes wait for each other at the end.
        if self.process.world_size == 1:
            self.stop.between(done, total)

    def _features(
        self,
        network: LKAReID,
        images: list[VehicleImage],
        report: Callable[[int, int], None],
        *,
        informed: bool = True,
        spec: InputSpec | None = None,
    ) -> Features:
        known = self.viewpoints.numbers(images) if self.viewpoints and informed else None
        return extract(
            network,
            images,
            batch=self.config.evaluation.batch,
            spec=spec or self.config.spec_at(network.config.image_size),
            viewpoints=known,
            report=lambda done: report(done, len(images)),
        )

    def _conclude(self, history: Sequence[EpochRow]) -> dict[str, Any]:
        """Measure what will be served, report and export; `metrics.json` ends the run."""
        precision = self.config.bundle.precision
        found: dict[str, list[Measurement]] = {}
        worst: list[HardQuery] = []
        if self.tasks:
            self.reporter.part("measuring")
            served = for_inference(load_served(self.folder.embedder, self.config.served_size), precision)
            features = self._measured(served, informed=False)
            found[SERVED] = [assess(task, features) for task in self.tasks]
            first = found[SERVED][0]
            worst = hardest(first.task, first.result, features, self.config.evaluation.hardest)
            if self.viewpoints:
                features = self._measured(load_embedder(self.folder.embedder), informed=True)
                found[INFORMED] = [assess(task, features) for task in self.tasks]
        metrics = {
            **run_record(self.config, self.sources, self.settings, self.process, found),
            "history": [row.to_dict() for row in history],
        }
        held_out = [image for task in self.tasks for image in task.images()]
        names = {SERVED: FIRST_STAGE}
        rows = [accuracy_row(names.get(row, row), each) for row, of_row in found.items() for each in of_row]
        metrics["manifest"] = manifest_record(
            self.config.served_spec,
            precision,
            training_record(metrics, held_out, metrics["configuration"]),
            accuracy_record(rows),
        )
        self._draw(history, found, worst)
        if self.config.bundle.export:
            self.reporter.part("export")
            export_run(self.folder.path, metrics=metrics)
        self.folder.write_metrics(metrics)
        return metrics

    def _measured(self, network: LKAReID, *, informed: bool) -> Features:
        network = copy.deepcopy(network).to(self.process.device)
        images = {image.path: image for task in self.tasks for image in task.images()}
        # What is informed of viewpoints is not served.
        spec = None if informed else self.config.served_spec
        found = list(images.values())
        return self._features(network, found, self._embedded, informed=informed, spec=spec)

    def _draw(
        self, history: Sequence[EpochRow], found: dict[str, list[Measurement]], worst: Sequence[HardQuery]
    ) -> None:
        folder = self.folder.report
        folder.mkdir(exist_ok=True)
        best = found.get(INFORMED) or found.get(SERVED)
        title = title_of(self.config.name, self.settings["data"]["name"])
        if history:
            draw_curves(history, _headline(best[0]) if best else {}, folder / "curves.png", title)
        draw_watched(history, folder / "watched.png", title)
        if best:
            draw_cmc(found, folder / "cmc.png", title)
            if worst:
                draw_hardest(worst, folder / "hardest.png", f"First match wrong: {title}")


def run_record(
    config: ExperimentConfig | RerankerExperimentConfig,
    sources: Sources,
    settings: dict[str, Any],
    process: Process,
    found: Mapping[str, Sequence[Measurement]],
) -> dict[str, Any]:
    """What every run's report says: name, provenance, results and configuration, as JSON types.

    Args:
        config: of the experiment.
        sources: data, weights and command.
        settings: what the run depends on, with data and weights by name and hash.
        process: that has trained.
        found: of each row of the results its assessments.
    """
    return {
        "name": config.name,
        "seed": config.seed,
        "command": sources.command,
        "data": settings["data"],
        "weights": settings["weights"],
        **environment(process.device),
        "results": [{"row": row, **a.row()} for row, of_row in found.items() for a in of_row],
        "configuration": config.model_dump(mode="json"),
        "settings": settings,
    }


def _headline(measured: Measurement) -> dict[str, float]:
    return dict(list(measured.figures().items())[:SHOWN])
