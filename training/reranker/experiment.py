"""A re-ranker from its configuration to a report and a bundle of two stages that can be served."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from models.manifest import BOTH_STAGES, FIRST_STAGE, RerankerTraining
from models.reranker import CANDIDATES, StripReranker
from training.atomic import write_json
from training.checkpoints.resume import SnapshotError
from training.checkpoints.weights import load_reranker, save_reranker
from training.config.embedder import ExperimentConfig
from training.config.files import write_config
from training.config.reranker import RerankerExperimentConfig
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.requirements import require_lists
from training.distributed import Process, ProcessError
from training.embedder.experiment import Reporter as EmbedderReporter
from training.embedder.experiment import Sources, settings
from training.evaluation.assessment import assess
from training.evaluation.measurement import Measurement, accuracy_row
from training.evaluation.result import won_and_lost
from training.export.bundle import export_bundle
from training.features.extract import Features
from training.progress import CheckObserver
from training.reporting.plots import draw_cmc, draw_ranking_curves
from training.reporting.provenance import accuracy_record, origin, surroundings, training_record
from training.reporting.tensorboard import EventLog
from training.reranker.embedders import Frozen, Parts
from training.reranker.history import Course, CourseSnapshots
from training.reranker.lists import LearningLists, Roles, make_lists
from training.reranker.selection import Kept, choose
from training.reranker.trainer import train_reranker
from training.signals import Interruption

CONFIG = "config.yaml"
RERANKER = "reranker.safetensors"
CHOICE = "choice.json"
REPORT = "report"
METRICS = "metrics.json"
BUNDLE = "bundle"
MINED = {
    "out-of-fold": "by embedders that have not seen the lists' vehicles",
    "augmented": "by the embedder that was trained on these vehicles, with changed images as probes",
    "own": "by the embedder that was trained on these very images: it leaks",
}


class Reporter(EmbedderReporter, CheckObserver, Protocol):
    """Who is told how far the work is."""


class RerankerExperiment:
    """One experiment with the second stage in a folder.

    Args:
        config: all that can be set of it.
        embedder: how its embedders are trained, and how the data is divided.
        sources: data and weights.
        folder: of the run.
        reporter: told of every step.
        given: folder of a finished embedder run, which is then the first stage.
        parts: where embedders and features are kept; None for the run's folder.
        process: this one, the only one.
        interruption: asked after every step.

    Raises:
        ProcessError: there are several processes.
        DatasetError: the data cannot be used, or the embedder gives no strips.
    """

    def __init__(
        self,
        config: RerankerExperimentConfig,
        embedder: ExperimentConfig,
        sources: Sources,
        folder: Path,
        reporter: Reporter,
        *,
        given: Path | None = None,
        parts: Path | None = None,
        process: Process | None = None,
        interruption: Interruption | None = None,
    ) -> None:
        self.config = config
        self.embedder = embedder
        self.sources = sources
        self.folder = folder
        self.reporter = reporter
        self.process = process or Process()
        self.interruption = interruption or Interruption()
        if self.process.count > 1:
            raise ProcessError("a re-ranker is trained by one process; start it without torchrun")
        self.parts = Parts(
            parts or folder,
            embedder,
            sources,
            config.lists,
            reporter,
            head=config.head.build(config.lists.seed),
            given=given,
            batch=config.run.batch,
            process=self.process,
            interruption=self.interruption,
        )
        self.tasks = self.parts.tasks
        if config.checkpoint.by == "measured" and not self.tasks:
            raise DatasetError(
                f"{sources.data}: has nothing to measure on, so that checkpoint.by cannot be measured"
            )
        self.roles = Roles.of(self.parts.train, self.tasks, config.lists, config.checkpoint)
        require_lists(
            sources.data, self.roles.folds, self.tasks, config.lists.candidates, config.training.batch
        )

    @cached_property
    def _origin(self) -> dict[str, Any]:
        return origin(self.sources.data, self.parts.train, self.sources.weights)

    @cached_property
    def _course(self) -> Course:
        training = self.config.build()
        log = EventLog(self.folder / "tensorboard")
        return Course(training, training.steps, self.process.device, [log, self.reporter])

    @cached_property
    def _snapshots(self) -> CourseSnapshots:
        own = self.config.model_dump(mode="json", exclude={"name", "run", "bundle"})
        depends = {**self._origin, "reranker": own, "experiment": settings(self.embedder)}
        first = self.parts.embedder.made_by["embedder"]
        return CourseSnapshots(self.folder / "snapshot", {**depends, "embedder": first}, self._course)

    def run(self, *, resume: bool = False) -> dict[str, Any]:
        """Make the lists, train, measure, report and export; what the report's `metrics.json` says.

        Args:
            resume: go on with what is in the folder, if anything is.

        Raises:
            SnapshotError: the folder holds a run and `resume` is not wanted, or one that does not fit.
            FeatureStoreError: features there were made by something else.
            DatasetError: too few lists hold right and wrong answers.
            WeightsError: the weights do not fit.
            FloatingPointError: the loss is not finite; the batch is named.
            InterruptedRunError: it was asked to stop, and has saved where it stands.
        """
        if (self.folder / REPORT / METRICS).exists():
            raise SnapshotError(f"{self.folder}: the run in it is finished; choose another --out")
        if not resume and (self.folder / CONFIG).exists():
            raise SnapshotError(f"{self.folder} holds a run; add --resume to go on, or choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / CONFIG).write_text(write_config(self.config), encoding="utf-8")
        shipped = self.parts.embedder.shipped(self.config.bundle.precision)
        chosen_by_measured = self.config.checkpoint.by == "measured"
        lists = make_lists(
            self.parts,
            self.roles,
            self._measured(shipped) if chosen_by_measured else None,
            self.config.lists,
            self.config.training.batch,
        )
        try:
            kept = self._train(lists)
        except FloatingPointError as error:
            raise FloatingPointError(f"{error}; the batch's probes were:\n{lists.watch.names()}") from None
        save_reranker(self.folder / RERANKER, kept.model)
        metrics = self._conclude(kept, lists, shipped)
        self._snapshots.remove()
        return metrics

    def _train(self, lists: LearningLists) -> Kept:
        training = self.config.build()
        course, snapshots = self._course, self._snapshots
        choice = None
        if self.config.checkpoint.by == "folds":
            choice = choose(
                self.folder / CHOICE, lists, self.config, snapshots, self.reporter, self.interruption
            )
            course.steps = choice.steps
        self.reporter.part(self.config.name)
        if not snapshots.exist():
            course.begin()
        trained = train_reranker(
            lists.all(),
            lists.validation,
            self.config.shape.build(lists.width),
            training,
            stop=course.steps,
            report=course.step,
            snapshots=snapshots,
            interruption=self.interruption,
        )
        return Kept.of(trained, training.steps, choice)

    def _measured(self, shipped: Frozen) -> Features:
        images: dict[Path, VehicleImage] = {i.path: i for task in self.tasks for i in task.images()}
        (features,) = self.parts.features("measured", shipped, list(images.values()))
        return features

    def _conclude(self, kept: Kept, lists: LearningLists, shipped: Frozen) -> dict[str, Any]:
        """Measure what will be served, report and export; `metrics.json` comes last and ends the run."""
        model = load_reranker(self.folder / RERANKER)
        found: dict[str, list[Measurement]] = {}
        if self.tasks:
            features = self._measured(shipped)
            self.reporter.part("measuring")
            placed = model.to(self.process.device)
            found = {
                FIRST_STAGE: [assess(task, features) for task in self.tasks],
                BOTH_STAGES: [assess(task, features, placed) for task in self.tasks],
            }
            model = placed.cpu()
        metrics = {
            "name": self.config.name,
            "seed": self.config.seed,
            "command": self.sources.command,
            **self._origin,
            **surroundings(self.process.device),
            "results": [{"row": row, **a.row()} for row, all_of in found.items() for a in all_of],
            "second_stage": self._moved(found),
            "lists": {"mined": MINED[self.config.lists.mining], **lists.facts()},
            "checkpoint": kept.told(self.config),
            "configuration": self.config.model_dump(mode="json"),
            "embedder": {**shipped.made_by, "configuration": self.embedder.model_dump(mode="json")},
            "history": [row.to_dict() for row in self._course.history],
        }
        folder = self.folder / REPORT
        folder.mkdir(exist_ok=True)
        draw_ranking_curves(self._course.history, kept.losses, kept.step, folder / "curves.png")
        if found:
            several = len(self.tasks) > 1
            draw_cmc(
                {
                    f"{row}, {a.task.name}" if several else row: a
                    for row, all_of in found.items()
                    for a in all_of
                },
                folder / "cmc.png",
            )
        if self.config.bundle.export:
            self.reporter.part("export")
            self._export(shipped, model, metrics, found)
        write_json(folder / METRICS, metrics)
        return metrics

    def _moved(self, found: dict[str, list[Measurement]]) -> list[dict[str, Any]]:
        pairs = zip(found.get(FIRST_STAGE, []), found.get(BOTH_STAGES, []), strict=True)
        rows: list[dict[str, Any]] = []
        for first, both in pairs:
            rows.append({"task": first.task.name, "re_ordered": CANDIDATES})
            # Drawn galleries have no queries of their own to count.
            if first.task.gallery is not None:
                won, lost = won_and_lost(first.result, both.result)
                rows[-1] |= {"won": won, "lost": lost}
        return rows

    def _export(
        self,
        shipped: Frozen,
        model: StripReranker,
        metrics: dict[str, Any],
        found: dict[str, list[Measurement]],
    ) -> None:
        images = [image for task in self.tasks for image in task.images()]
        rows = [
            accuracy_row(row, assessment, first if row == BOTH_STAGES else None)
            for row, all_of in found.items()
            for assessment, first in zip(all_of, found[FIRST_STAGE], strict=True)
        ]
        second = RerankerTraining(
            configuration=metrics["configuration"], lists=metrics["lists"], checkpoint=metrics["checkpoint"]
        )
        export_bundle(
            self.folder / BUNDLE,
            name=self.config.name,
            network=shipped.network,
            reranker=model,
            precision=self.config.bundle.precision,
            training=training_record(metrics, images, metrics["embedder"]["configuration"], second),
            accuracy=accuracy_record(rows),
            spec=self.parts.spec,
        )
