"""Embedders that differ in a few keys of one configuration, over seeds, under the same conditions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.config.embedder import ExperimentConfig
from training.datasets.folds import Part
from training.evaluation.shift.conditions import Kind
from training.evaluation.shift.trial import Variant
from training.progress import Reporter
from training.reporting.shift_tables import FigureTable, spread
from training.signals import StopRequest
from training.studies.locks import share
from training.studies.shift import FoldStudy

FIGURES = ("R1", "mAP")


@dataclass(frozen=True)
class Outcome:
    """What one setting came to under one condition with one seed; first stage, cameras as they are.

    Attributes:
        setting: its changes of the configuration, as they were given.
        seed: of the training.
        condition: a row of `lka-reid evaluate-shift`.
        queries: with a correct match.
        figures: percent, by name.
    """

    setting: str
    seed: int
    condition: str
    queries: int
    figures: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


class Sweep:
    """A training for each setting and seed, in a folder; a finished one is not made again.

    Args:
        settings: the configuration of each; its seed is replaced.
        weights: to start from, or None.
        folder: keeps embedders, checkpoints and descriptors.
        sources: data and weights, for the record.
        reporter: receives the events of the trainings.
        stop: checked after every step.
    """

    def __init__(
        self,
        settings: Mapping[str, ExperimentConfig],
        weights: Path | None,
        folder: Path,
        sources: dict[str, Any],
        reporter: Reporter,
        stop: StopRequest,
    ) -> None:
        self._settings = settings
        self._weights = weights
        self._folder = folder
        self._sources = sources
        self._reporter = reporter
        self._stop = stop

    def run(self, part: Part, kinds: Collection[Kind], seeds: Sequence[int]) -> list[Outcome]:
        """All settings with the first seed, then with the next; what other processes make is waited for.

        Args:
            part: vehicles to train on, and others to measure on.
            kinds: of conditions.
            seeds: of the trainings. What changes in the images measured is the same for all.

        Raises:
            DatasetError: the images are not from two cameras, or one cannot be read.
            ResumeError: the folder holds an embedder of other settings.
            StoppedError: it was stopped; the same call goes on.
        """
        cells = [(name, seed) for seed in seeds for name in self._settings]
        found: dict[tuple[str, int], list[Outcome]] = {}

        def make(cell: tuple[str, int]) -> None:
            number = cells.index(cell) + 1
            self._reporter.part(f"{number}/{len(cells)} {cell[0]}, seed {cell[1]}")
            found[cell] = self._measured(*cell, part, kinds)

        share(cells, lambda cell: self._place(*cell, ".lock"), make, self._reporter.part, self._stop)
        return [outcome for cell in cells for outcome in found[cell]]

    def _place(self, name: str, seed: int, ending: str = "") -> Path:
        return self._folder / f"{re.sub('[^a-z0-9.]+', '-', name).strip('-')}-seed{seed}{ending}"

    def _measured(self, name: str, seed: int, part: Part, kinds: Collection[Kind]) -> list[Outcome]:
        config = self._settings[name].model_copy(update={"seed": seed})
        folder = self._place(name, seed)
        study = FoldStudy(config, self._weights, folder, self._sources, self._reporter, self._stop)
        rows = study.measure([part], kinds, folder / "features")
        return [
            Outcome(name, seed, row.condition, row.queries, {f: row.figures[f].mean for f in FIGURES})
            for row in rows
            if row.variant is Variant.first
        ]


def tables(outcomes: Sequence[Outcome]) -> list[FigureTable]:
    """The settings by number; each figure by condition and setting; and less that of the first, by seed."""
    settings = list(dict.fromkeys(outcome.setting for outcome in outcomes))
    conditions = list(dict.fromkeys(outcome.condition for outcome in outcomes))
    values: dict[tuple[str, str, str], dict[int, float]] = {}
    for outcome in outcomes:
        for figure, value in outcome.figures.items():
            values.setdefault((figure, outcome.setting, outcome.condition), {})[outcome.seed] = value

    def less(figure: str, setting: str, condition: str) -> list[float]:
        own, first = values[figure, setting, condition], values[figure, settings[0], condition]
        return [own[seed] - first[seed] for seed in own]

    numbers = [str(number + 1) for number in range(len(settings))]
    found = [FigureTable("Settings", ("number", "setting"), tuple(zip(numbers, settings, strict=True)))]
    for figure in FIGURES:
        lines = [(c, *(spread(list(values[figure, s, c].values())) for s in settings)) for c in conditions]
        title = f"{figure}, percent, by number of the setting: mean ± standard deviation"
        found.append(FigureTable(title, ("condition", *numbers), tuple(lines)))
        if len(settings) > 1:
            lines = [(c, *(spread(less(figure, s, c), "+") for s in settings[1:])) for c in conditions]
            title = f"{figure} less that of setting 1 with the same seed, in points"
            found.append(FigureTable(title, ("condition", *numbers[1:]), tuple(lines)))
    return found
