"""A re-ranker from its configuration to a report and a bundle of two stages that can be served."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from models.manifest import BOTH_STAGES, FIRST_STAGE, RerankerTraining
from models.reranker import CANDIDATES
from training.checkpoints.resume import Checkpoints
from training.checkpoints.run_folder import RunFolder
from training.checkpoints.weights import load_reranker, save_embedder, save_reranker
from training.config.embedder import ExperimentConfig
from training.config.files import write_config
from training.config.reranker import RerankerExperimentConfig
from training.datasets.image import DatasetError, VehicleImage
from training.distributed import Process, ProcessError
from training.embedder.experiment import Sources, run_record
from training.evaluation.assessment import assess
from training.evaluation.measurement import Measurement, accuracy_row
from training.export.run import export_run, manifest_record
from training.features.extract import Features
from training.progress import CheckRow, Reporter
from training.reporting.plots import draw_cmc, draw_ranking_curves
from training.reporting.provenance import accuracy_record, sources_of, title_of, training_record
from training.reporting.tensorboard import EventLog
from training.reranker.embedders import Frozen, Parts
from training.reranker.lists import LearningLists, Roles, make_lists
from training.reranker.selection import Selection, kept_choice
from training.reranker.trainer import RerankerTrainer
from training.signals import StopRequest

CHOICE = "choice.json"
MINED = {
    "out-of-fold": "by embedders that have not seen the lists' vehicles",
    "augmented": "by the embedder that was trained on these vehicles, with changed images as probes",
    "own": "by the embedder that was trained on these very images: it leaks",
}


class RerankerExperiment:
    """One experiment with the second stage in a folder.

    Args:
        config: all that can be set of it.
        embedder: how its embedders are trained, and how the data is split.
        sources: data and weights.
        folder: of the run.
        reporter: receives the events.
        given: folder of a finished embedder run, which is then the first stage.
        parts: where embedders and features are kept; None for the run's folder.
        process: this one, the only one.
        stop: checked after every step.

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
        stop: StopRequest | None = None,
    ) -> None:
        self.config = config
        self.embedder = embedder
        self.sources = sources
        self.folder = RunFolder(folder)
        self.reporter = reporter
        self.process = process or Process()
        self.stop = stop or StopRequest()
        if self.process.world_size > 1:
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
            stop=self.stop,
        )
        self.tasks = self.parts.tasks
        if config.checkpoint.by == "measured" and not self.tasks:
            raise DatasetError(
                f"{sources.data}: has nothing to measure on, so that checkpoint.by cannot be measured"
            )
        self.roles = Roles.required(sources.data, self.parts.train, self.tasks, config)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the re-ranker depends on, as JSON types."""
        return {
            **sources_of(self.sources.data, self.parts.train, self.sources.weights, self.sources.further),
            "reranker": self.config.model_dump(mode="json", exclude={"name", "run", "bundle"}),
            "experiment": self.embedder.settings(),
            "embedder": self.parts.embedder.provenance["embedder"],
        }

    def result(self) -> dict[str, Any]:
        """What `run` gives: of the run in the folder where it is finished, else of a new or resumed one.

        Raises:
            ResumeError: the folder holds a run with other settings.
            Exception: see `run`.
        """
        return self.folder.result(self.settings) or self.run(resume=True)

    def run(self, *, resume: bool = False) -> dict[str, Any]:
        """Make the lists, train, measure, report and export; what the report's `metrics.json` says.

        Args:
            resume: go on with what is in the folder, if anything is.

        Raises:
            ResumeError: the folder holds a run and `resume` is not wanted, or one that does not fit.
            FeatureStoreError: features there depend on something else.
            DatasetError: too few lists hold correct and wrong matches.
            WeightsError: the weights do not fit.
            FloatingPointError: the loss is not finite; the batch is named.
            StoppedError: it was stopped, and has saved where it stands.
        """
        self.folder.begin(resume=resume)
        self.folder.write_config(write_config(self.config))
        frozen = self.parts.embedder
        served = frozen.served(self.config.bundle.precision)
        lists = make_lists(
            self.parts,
            self.roles,
            self._measured(served) if self.config.checkpoint.by == "measured" else None,
            self.config.lists,
            self.config.training.batch,
        )
        checkpoints = Checkpoints(self.folder.checkpoint, self.settings)
        selection, history = self._train(lists, checkpoints)
        save_embedder(self.folder.embedder, frozen.network)
        save_reranker(self.folder.reranker, selection.model)
        metrics = self._conclude(selection, history, lists, served)
        checkpoints.remove()
        return metrics

    def _train(self, lists: LearningLists, checkpoints: Checkpoints) -> tuple[Selection, list[CheckRow]]:
        choice = None
        grid = self.config.head.parts if self.config.head.steps else self.embedder.network.parts
        shape = self.config.shape.build(lists.width, grid)
        if self.config.checkpoint.by == "folds":
            choice = kept_choice(
                self.folder.path / CHOICE, lists, shape, self.config, self.settings, self.reporter, self.stop
            )
        self.reporter.part(self.config.name)
        trainer = RerankerTrainer(
            lists.all(),
            lists.validation,
            shape,
            self.config.build(),
            steps=choice.steps if choice is not None else None,
            checkpoints=checkpoints,
            observers=[EventLog(self.folder.tensorboard), self.reporter],
            stop=self.stop,
        )
        trainer.run()
        fusions = self.config.checkpoint.fusions if choice is None else ()
        return Selection.of(trainer, choice, fusions), trainer.history

    def _measured(self, served: Frozen) -> Features:
        images: dict[Path, VehicleImage] = {i.path: i for task in self.tasks for i in task.images()}
        (features,) = self.parts.features("measured", served, list(images.values()))
        return features

    def _conclude(
        self, selection: Selection, history: list[CheckRow], lists: LearningLists, served: Frozen
    ) -> dict[str, Any]:
        """Measure what will be served, report and export; `metrics.json` ends the run."""
        found: dict[str, list[Measurement]] = {}
        if self.tasks:
            features = self._measured(served)
            self.reporter.part("measuring")
            model = load_reranker(self.folder.reranker).to(self.process.device)
            found = {
                FIRST_STAGE: [assess(task, features) for task in self.tasks],
                BOTH_STAGES: [assess(task, features, model) for task in self.tasks],
            }
        first, both = found.get(FIRST_STAGE, []), found.get(BOTH_STAGES, [])
        rows = [accuracy_row(FIRST_STAGE, each) for each in first]
        changed = [accuracy_row(BOTH_STAGES, each, before) for each, before in zip(both, first, strict=True)]
        metrics = {
            **run_record(self.config, self.sources, self.settings, self.process, found),
            "second_stage": [
                {"task": row.task, "re_ordered": CANDIDATES}
                | ({"won": row.won, "lost": row.lost} if row.won is not None else {})
                for row in changed
            ],
            "lists": {"mined": MINED[self.config.lists.mining], **lists.facts()},
            "checkpoint": selection.to_dict(self.config),
            "embedder": {**served.provenance, "configuration": self.embedder.model_dump(mode="json")},
            "history": [row.to_dict() for row in history],
        }
        second = RerankerTraining(
            configuration=metrics["configuration"], lists=metrics["lists"], checkpoint=metrics["checkpoint"]
        )
        held_out = [image for task in self.tasks for image in task.images()]
        before = self.parts.experiment.folder.read_metrics()["command"]
        metrics["manifest"] = manifest_record(
            self.embedder.served_spec,
            self.config.bundle.precision,
            training_record(metrics, held_out, metrics["embedder"]["configuration"], second, before),
            accuracy_record([*rows, *changed]),
        )
        folder = self.folder.report
        folder.mkdir(exist_ok=True)
        title = title_of(self.config.name, self.settings["data"]["name"])
        draw_ranking_curves(history, selection.losses, selection.step, folder / "curves.png", title)
        if found:
            draw_cmc(found, folder / "cmc.png", title)
        if self.config.bundle.export:
            self.reporter.part("export")
            export_run(self.folder.path, metrics=metrics)
        self.folder.write_metrics(metrics)
        return metrics
