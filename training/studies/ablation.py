"""The ablation of the paper's Table II: four mixer settings, one budget, over seeds and identity folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.shape import NetworkConfig
from training.checkpoints.resume import SPACING, Checkpoints, kept
from training.config.embedder import ExperimentConfig
from training.config.network import BranchConfig
from training.datasets.dataset import Dataset
from training.datasets.folds import Part
from training.distributed import Process, choose_device
from training.embedder.run import embedder_trainer
from training.evaluation.assessment import assess
from training.features.extract import extract
from training.progress import Reporter
from training.reporting.provenance import sources_of
from training.signals import StopRequest
from training.studies.locks import share
from training.studies.table2 import ROWS, TITLES, cost


@dataclass(frozen=True)
class Cell:
    """One training and its measurement.

    Attributes:
        row: of the table.
        seed: of the training.
        part: of the vehicles.
    """

    row: str
    seed: int
    part: Part

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.row}-seed{self.seed}-fold{self.part.number}"


class Ablation:
    """Cells (row x seed x fold) in a folder, each trained and measured once.

    Args:
        config: of every cell, apart from mixers and seed.
        data: the data set's path, for the record.
        dataset: the data set.
        weights: to start from, or None.
        folder: keeps a JSON file for each finished cell.
        reporter: receives the events.
        folds: identity folds; 1 for the data's own split.
        measured: how many of the folds to run.
        stop: checked after every step.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        data: Path,
        dataset: Dataset,
        weights: Path | None,
        folder: Path,
        reporter: Reporter,
        *,
        folds: int,
        measured: int | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        self.config = config
        self.weights = weights
        self.folder = folder
        self.reporter = reporter
        self.stop = stop or StopRequest()
        self.parts = config.data.parts(dataset, folds)[:measured]
        self.sources = sources_of(data, dataset.train, weights)

    def run(self, rows: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
        """All cells, those already there read from their files, those that other processes make waited for.

        Raises:
            ResumeError: a cell there was made with other settings.
            StoppedError: it was stopped; the same call goes on.
        """
        cells = [Cell(row, seed, part) for seed in seeds for part in self.parts for row in rows]
        place = {cell.name: f"{number}/{len(cells)}" for number, cell in enumerate(cells, start=1)}
        found: dict[str, dict[str, Any]] = {}

        def make(cell: Cell) -> None:
            found[cell.name] = self._measured(cell, place[cell.name])

        share(
            cells,
            lambda cell: self.folder / f"{cell.name}.lock",
            make,
            self.reporter.part,
            self.stop,
        )
        return [found[cell.name] for cell in cells]

    def _measured(self, cell: Cell, place: str) -> dict[str, Any]:
        config = self._config(cell.row, cell.seed)
        settings = {**self.sources, "fold": cell.part.number, "cell": config.settings()}
        checkpoints = Checkpoints(self.folder / cell.name, settings, spacing=SPACING)

        def make() -> dict[str, Any]:
            self.reporter.part(f"{place} {TITLES[cell.row]}, seed {cell.seed}, {cell.part.task.name}")
            network = embedder_trainer(
                config,
                cell.part.train,
                self.weights,
                process=Process(choose_device(config.run.device)),
                checkpoints=checkpoints,
                observers=[self.reporter],
                stop=self.stop,
            ).run()
            task = cell.part.task
            features = extract(network, task.images(), batch=config.evaluation.batch, spec=config.spec)
            figures = assess(task, features).figures()
            return {"row": cell.row, "seed": cell.seed, "fold": cell.part.number, "figures": figures}

        found = kept(self.folder / f"{cell.name}.json", settings, make)
        checkpoints.remove()
        return found

    def _config(self, row: str, seed: int) -> ExperimentConfig:
        mixers = tuple(BranchConfig(mixer=branch.mixer, loss=branch.loss) for branch in ROWS[row])
        network = self.config.network.model_copy(update={"branches": mixers})
        return self.config.model_copy(update={"network": network, "seed": seed})


def summary(cells: Sequence[dict[str, Any]], shape: NetworkConfig) -> list[dict[str, Any]]:
    """A line for each row: its cost, and of each figure the mean and the spread over the seeds.

    A seed's figure is the mean over its folds; the spread is the standard deviation of the seeds' figures.

    Args:
        cells: as `Ablation.run` gives them.
        shape: of the network, apart from its branches.
    """
    lines = []
    for row in dict.fromkeys(cell["row"] for cell in cells):
        own = [cell for cell in cells if cell["row"] == row]
        price = cost(row, shape)
        line: dict[str, Any] = {
            "row": row,
            "mixers": list(price.mixers),
            "parameters": price.parameters,
            "multiply_accumulates": price.multiply_accumulates,
        }
        for figure in own[0]["figures"]:
            by_seed: dict[int, list[float]] = defaultdict(list)
            for cell in own:
                by_seed[cell["seed"]].append(cell["figures"][figure])
            means = [float(np.mean(values)) for values in by_seed.values()]
            line[figure] = float(np.mean(means))
            line[f"{figure} spread"] = float(np.std(means, ddof=1)) if len(means) > 1 else None
        lines.append(line)
    return lines


def markdown(lines: Sequence[dict[str, Any]], notes: Sequence[str]) -> str:
    """The table, with notes below it."""
    shown = [key for key in lines[0] if f"{key} spread" in lines[0] and key not in ("R10", "mINP")]
    if "R1" in shown:
        shown = ["mAP", "R1", "R5"]
    head = ["", "mixers", "parameters (M)", "multiply-accumulates (G)", *shown]
    text = [f"| {' | '.join(head)} |", f"|---|---|{'---:|' * (len(head) - 2)}"]
    for line in lines:
        figures = [
            f"{line[key]:.2f}"
            + (f" ± {line[f'{key} spread']:.2f}" if line[f"{key} spread"] is not None else "")
            for key in shown
        ]
        cost = [f"{line['parameters'] / 1e6:.3f}", f"{line['multiply_accumulates'] / 1e9:.3f}"]
        cells = [TITLES[line["row"]], ", ".join(line["mixers"]), *cost, *figures]
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join([*text, "", *(f"- {note}" for note in notes)]) + "\n"
