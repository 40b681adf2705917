"""A classifier's experiment from its configuration to a report."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from models.network import count_parameters
from training.checkpoints.resume import Checkpoints
from training.checkpoints.run_folder import RunFolder
from training.checkpoints.weights import save
from training.classifier.trainer import ClassifierTrainer
from training.config.classifier import ClassifierConfig
from training.config.files import write_config
from training.datasets.classification import open_classification
from training.distributed import Process
from training.progress import Observer, Reporter
from training.reporting.plots import draw_curves
from training.reporting.provenance import environment
from training.reporting.tensorboard import EventLog
from training.signals import StopRequest


class ClassifierExperiment:
    """One experiment in a folder.

    Args:
        config: all that can be set.
        data: the data set's folder or file.
        command: that started it, for the report.
        folder: of the run.
        reporter: receives the events.
        process: this one.
        stop: checked after every step.

    Raises:
        DatasetError: the data cannot be read.
    """

    def __init__(
        self,
        config: ClassifierConfig,
        data: Path,
        command: str,
        folder: Path,
        reporter: Reporter,
        *,
        process: Process | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        self.config, self.command = config, command
        self.folder = RunFolder(folder)
        self.reporter = reporter
        self.process = process or Process()
        self.stop = stop or StopRequest()
        self.data = open_classification(data)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What the network depends on, as JSON types."""
        return {"data": self.data.record(), "experiment": self.config.settings()}

    def run(self, *, resume: bool = False) -> dict[str, Any]:
        """Train, measure and report; the metrics, in the first process.

        Raises:
            ResumeError: the folder holds a run, and it is not to be resumed or was another one.
            StoppedError: it was stopped, and has saved where it stands.
        """
        self.folder.begin(resume=resume)
        checkpoints = Checkpoints(self.folder.checkpoint, self.settings)
        log: list[Observer] = [EventLog(self.folder.tensorboard)] if self.process.first else []
        self.reporter.part(self.config.name)
        trainer = ClassifierTrainer(
            self.data,
            self.config,
            process=self.process,
            checkpoints=checkpoints,
            observers=[*log, self.reporter],
            stop=self.stop,
        )
        self.process.barrier()
        if self.process.first:
            self.folder.write_config(write_config(self.config))
        network = trainer.run()
        metrics: dict[str, Any] = {}
        if self.process.first:
            shape = network.config.to_dict()
            known = {"image_size": list(network.image_size), "classes": list(self.data.classes)}
            save(self.folder.path / "classifier.safetensors", network, "classifier", {**shape, **known})
            last = trainer.history[-1]
            metrics = {
                "name": self.config.name,
                "seed": self.config.seed,
                "command": self.command,
                "data": self.settings["data"],
                "parameters": count_parameters(network),
                **environment(self.process.device),
                "results": [
                    {
                        "row": "classifier",
                        "task": f"{self.data.name} test",
                        "queries": len(self.data.test),
                        "gallery": len(self.data.train),
                        **last.measured,
                    }
                ],
                "seconds": sum(row.seconds for row in trainer.history),
                "configuration": self.config.model_dump(mode="json"),
                "settings": self.settings,
                "history": [row.to_dict() for row in trainer.history],
            }
            self.folder.report.mkdir(exist_ok=True)
            draw_curves(trainer.history, last.measured, self.folder.report / "curves.png")
            checkpoints.remove()
            self.folder.write_metrics(metrics)
        self.process.barrier()
        return metrics
