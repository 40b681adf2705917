"""The ablation of the paper's Table II: four mixer settings, one budget, over seeds and identity folds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.inputspec import InputSpec
from models.network import Branch, LKAReID, NetworkConfig, branches, count_parameters
from training.atomic import write_json
from training.checkpoints.pretrained import load_imagenet
from training.checkpoints.resume import Snapshots
from training.config.embedder import BranchConfig, ExperimentConfig
from training.datasets.dataset import Dataset
from training.datasets.folds import Part
from training.distributed import Process, choose_device
from training.embedder.experiment import Reporter, settings
from training.embedder.trainer import Trainer
from training.evaluation.assessment import assess
from training.features.extract import extract
from training.reporting.provenance import origin
from training.signals import Interruption
from training.studies.complexity import multiply_accumulates
from training.studies.locks import share

ROWS: dict[str, tuple[Branch, ...]] = {
    "baseline": branches("conv", "mhsa"),
    "lka": branches("conv", "lka"),
    "hca": branches("hca", "mhsa"),
    "both": branches("hca", "lka"),
}
TITLES = {"baseline": "Baseline (MBR-4B)", "lka": "+ LKA", "hca": "+ HCA", "both": "+ LKA + HCA"}
# Of VeRi-776, as in the paper's table: the two classifiers count too.
IDENTITIES = 575
# Seconds between two snapshots of a cell: on a GPU the whole cell takes less.
SPACING = 60.0


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
        reporter: told of every step.
        folds: identity folds; 1 for the data's own division.
        measured: how many of the folds to run.
        interruption: asked after every step.
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
        interruption: Interruption | None = None,
    ) -> None:
        self.config = config
        self.weights = weights
        self.folder = folder
        self.reporter = reporter
        self.interruption = interruption or Interruption()
        self.parts = config.data.parts(dataset, folds)[:measured]
        self.origin = origin(data, dataset.train, weights)

    def run(self, rows: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
        """All cells, those already there read from their files, those that other processes make waited for.

        Raises:
            SnapshotError: a cell there was made with other settings.
            InterruptedRunError: it was asked to stop; the same call goes on.
        """
        cells = [Cell(row, seed, part) for seed in seeds for part in self.parts for row in rows]
        place = {cell.name: f"{number}/{len(cells)}" for number, cell in enumerate(cells, start=1)}
        found: dict[str, dict[str, Any]] = {}

        def make(cell: Cell) -> None:
            found[cell.name] = self._found_or_made(cell, place[cell.name])

        share(
            cells,
            lambda cell: self.folder / f"{cell.name}.lock",
            make,
            self.reporter.part,
            self.interruption,
        )
        return [found[cell.name] for cell in cells]

    def _found_or_made(self, cell: Cell, place: str) -> dict[str, Any]:
        config = self._config(cell.row, cell.seed)
        made_of = {**self.origin, "fold": cell.part.number, "cell": settings(config)}
        keeper = Snapshots(self.folder / cell.name, made_of, spacing=SPACING)
        path = self.folder / f"{cell.name}.json"
        if path.exists():
            made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            keeper.require_same(path, made["settings"])
            return made
        self.reporter.part(f"{place} {TITLES[cell.row]}, seed {cell.seed}, {cell.part.task.name}")
        made = {
            "row": cell.row,
            "seed": cell.seed,
            "fold": cell.part.number,
            "figures": self._measured(config, cell.part, keeper),
            "settings": keeper.settings,
        }
        write_json(path, made)
        keeper.remove()
        return made

    def _config(self, row: str, seed: int) -> ExperimentConfig:
        mixers = tuple(BranchConfig(mixer=branch.mixer, loss=branch.loss) for branch in ROWS[row])
        network = self.config.network.model_copy(update={"branches": mixers})
        return self.config.model_copy(update={"network": network, "seed": seed})

    def _measured(self, config: ExperimentConfig, part: Part, snapshots: Snapshots) -> dict[str, float]:
        torch.manual_seed(config.seed)
        shape = config.network.build()
        network = LKAReID(shape, len({image.vehicle_id for image in part.train}))
        if self.weights is not None:
            wanted = config.weights
            load_imagenet(
                network, self.weights, layout=wanted.layout, sha256=wanted.sha256, left_out=wanted.left_out
            )
        trainer = Trainer(
            network,
            part.train,
            config,
            process=Process(choose_device(config.run.device)),
            snapshots=snapshots,
            observers=[self.reporter],
            interruption=self.interruption,
        )
        if snapshots.exist():
            trainer.resume()
        trained = trainer.run()
        height, width = shape.image_size
        spec = InputSpec(height=height, width=width, mean=config.input.mean, std=config.input.std)
        images = part.task.images()
        features = extract(trained, images, batch=config.evaluation.batch, spec=spec)
        return assess(part.task, features).figures()


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
        config = NetworkConfig.from_dict({**shape.to_dict(), "branches": [vars(b) for b in ROWS[row]]})
        line: dict[str, Any] = {"row": row, "mixers": [branch.mixer for branch in ROWS[row]]}
        with torch.device("meta"):
            line["parameters"] = count_parameters(LKAReID(config, IDENTITIES))
        line["multiply_accumulates"] = multiply_accumulates(config)
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
