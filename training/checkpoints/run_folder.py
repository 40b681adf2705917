"""The folder of a run: its files, and whether the run is finished."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.atomic import write_json, write_text
from training.checkpoints.resume import ResumeError, require_same


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The configuration, every key as it was used."""
        return self.path / "config.yaml"

    @property
    def checkpoint(self) -> Path:
        """Where the training goes on from, until it is finished."""
        return self.path / "checkpoint"

    @property
    def start(self) -> Path:
        """Descriptors of the training images before the training, where distillation needs them."""
        return self.path / "start"

    @property
    def tensorboard(self) -> Path:
        """Logs for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def embedder(self) -> Path:
        """The first stage's weights."""
        return self.path / "embedder.safetensors"

    @property
    def reranker(self) -> Path:
        """The second stage's weights; missing in an embedder's run."""
        return self.path / "reranker.safetensors"

    @property
    def report(self) -> Path:
        """Plots, and the figures with their provenance."""
        return self.path / "report"

    @property
    def metrics(self) -> Path:
        """The figures; written last, so that a run that has them is finished."""
        return self.report / "metrics.json"

    @property
    def bundle(self) -> Path:
        """What can be served."""
        return self.path / "bundle"

    @property
    def finished(self) -> bool:
        """Whether the run in the folder is finished."""
        return self.metrics.exists()

    def begin(self, *, resume: bool) -> None:
        """See that a run may begin here, or go on.

        Raises:
            ResumeError: the run is finished, or there is one and `resume` is not wanted.
        """
        if self.finished:
            raise ResumeError(f"{self.path}: the run in it is finished; choose another --out")
        if not resume and self.config.exists():
            raise ResumeError(f"{self.path} holds a run; add --resume to go on, or choose another --out")

    def result(self, settings: dict[str, Any]) -> dict[str, Any] | None:
        """What the finished run's metrics say; None where it is not finished.

        Args:
            settings: that the run must have had.

        Raises:
            ResumeError: it had others, or its metrics cannot be read.
        """
        if not self.finished:
            return None
        metrics = self.read_metrics()
        require_same(self.path, settings, metrics.get("settings", {}))
        return metrics

    def write_config(self, text: str) -> None:
        """Keep the configuration."""
        write_text(self.config, text)

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """End the run."""
        write_json(self.metrics, metrics)

    def read_metrics(self) -> dict[str, Any]:
        """What `write_metrics` wrote.

        Raises:
            ResumeError: there is none, or it cannot be read.
        """
        try:
            found: dict[str, Any] = json.loads(self.metrics.read_text(encoding="utf-8"))
        except FileNotFoundError:
            inner = sorted(
                path.parent.parent
                for path in self.path.glob(f"*/{self.metrics.parent.name}/{self.metrics.name}")
            )
            hint = f"; {', '.join(map(str, inner))} is one" if inner else ""
            raise ResumeError(f"{self.path}: holds no finished run{hint}") from None
        except (OSError, ValueError) as error:
            raise ResumeError(f"{self.metrics}: cannot be read ({error}); train again") from None
        return found
