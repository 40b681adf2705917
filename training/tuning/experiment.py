"""A tuning in a folder: embedder, second stage, thresholds, and the comparison with the start."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import Bundle, replaced, write_thresholds
from models.manifest import EMBEDDER
from models.runtime import Models
from training.atomic import write_json
from training.datasets.dataset import Task
from training.distributed import Process
from training.embedder.experiment import Experiment, Sources
from training.evaluation.calibration import CalibrationError
from training.evaluation.protocol import Progress
from training.evaluation.thresholds import both_thresholds, threshold_of
from training.progress import Reporter
from training.reporting.provenance import environment
from training.reranker.experiment import RerankerExperiment
from training.signals import StopRequest
from training.tuning.comparison import Comparison, compare, described
from training.tuning.plan import Plan

REPORT = "tuning.json"


@dataclass(frozen=True)
class Outcome:
    """What a tuning has come to.

    Attributes:
        bundle: the tuned one's folder.
        comparison: with the bundle that it started from.
        threshold: what is said of its thresholds.
    """

    bundle: Path
    comparison: Comparison
    threshold: str


class Tuning:
    """A bundle fine-tuned on one's own data, in a folder; the same call goes on where it was stopped.

    Args:
        plan: what to do.
        bundle: to start from.
        data: one's own images: folder or CSV manifest.
        folder: gets embedder/, reranker/, bundle/ and report/.
        command: that started it.
        reporter: receives the events.
        process: this one.
        stop: checked after every step.

    Raises:
        DatasetError: the data cannot be used.
    """

    def __init__(
        self,
        plan: Plan,
        bundle: Bundle,
        data: Path,
        folder: Path,
        command: str,
        reporter: Reporter,
        *,
        process: Process,
        stop: StopRequest,
    ) -> None:
        self.plan = plan
        self.start = bundle
        self.folder = folder
        sources = Sources(data, bundle.path / EMBEDDER, command)
        first = plan.embedder
        if plan.reranker is not None:
            # The bundle is that of both stages.
            first = first.model_copy(update={"bundle": first.bundle.model_copy(update={"export": False})})
        self._process = process
        self._embedder = Experiment(first, sources, folder / "embedder", reporter, process=process, stop=stop)
        self._reranker: RerankerExperiment | None = None
        if plan.reranker is not None:
            self._reranker = RerankerExperiment(
                plan.reranker,
                first,
                sources,
                folder / "reranker",
                reporter,
                given=folder / "embedder",
                process=process,
                stop=stop,
            )

    @property
    def bundle(self) -> Path:
        """The tuned bundle's folder."""
        return self.folder / "bundle"

    @property
    def task(self) -> Task:
        """What is measured on."""
        return self._embedder.tasks[0]

    def train(self) -> None:
        """Train what is not trained yet.

        Raises:
            ResumeError: the folder holds a tuning with other settings.
            StoppedError: it was stopped, and has saved where it stands.
            Exception: see `Experiment.run` and `RerankerExperiment.run`.
        """
        self._embedder.result()
        if self._reranker is not None:
            self._reranker.result()

    def conclude(self, runtime: str, false_match_rate: float, question: str, progress: Progress) -> Outcome:
        """Calibrate the tuned bundle, compare it with its start on held-back vehicles, and write a report.

        Args:
            runtime: that embeds.
            false_match_rate: that the thresholds keep to.
            question: the same in words, for the manifest.
            progress: receives how far the work is.

        Raises:
            BundleError, DatasetError: a bundle or an image cannot be read.
        """
        made = (self._reranker or self._embedder).folder.bundle
        report = self.folder / "report" / REPORT
        tuned = Bundle.load(made)
        known = self._known(report, tuned.fingerprint)
        if known is not None:
            return known
        with replaced(self.bundle) as draft:
            shutil.copytree(made, draft, dirs_exist_ok=True)
        tuned = Bundle.load(self.bundle)
        task = self.task
        before = Models.load(self.start, runtime)
        after = Models.load(tuned, runtime)
        found = described(after, task, progress, "Embedding, tuned")
        old = described(before, task, progress, "Embedding, before")
        comparison = compare(task, (before, old), (after, found), progress)
        vehicles = len({image.vehicle_id for image in task.images()})
        measured_on = f"{task.name}: {len(task.images()):,} images of {vehicles:,} vehicles; {question}"
        try:
            raw, _, normalised = both_thresholds(found, task.images(), false_match_rate, progress)
            write_thresholds(
                self.bundle,
                threshold_of(raw, measured_on, tuned.fingerprint),
                None if normalised is None else threshold_of(normalised, measured_on, tuned.fingerprint),
            )
            low, high = raw.similarity_interval
            said = f"{raw.similarity:.3f} (95 %: {low:.3f} to {high:.3f}), {question}"
        except CalibrationError as error:
            said = f"none: {error}"
        write_json(
            report,
            {
                "fingerprint": tuned.fingerprint,
                "start": self.start.fingerprint,
                "comparison": comparison.as_json(),
                "threshold": said,
                "choices": [[c.key, c.value, c.why] for c in self.plan.choices],
                **environment(self._process.device),
            },
        )
        return Outcome(self.bundle, comparison, said)

    def _known(self, report: Path, fingerprint: str) -> Outcome | None:
        """What an earlier call has found of the same bundles."""
        try:
            values: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
            if (values["fingerprint"], values["start"]) != (fingerprint, self.start.fingerprint):
                return None
            return Outcome(self.bundle, Comparison.from_json(values["comparison"]), values["threshold"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
