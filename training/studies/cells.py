"""Cells of the study: nested splits of the vehicles, with one frozen embedder for each part."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.network import LKAReID
from training.checkpoints.resume import SPACING, Checkpoints, kept
from training.checkpoints.weights import load_embedder, save_embedder
from training.config.embedder import ExperimentConfig
from training.datasets.folds import Part, vehicle_folds
from training.datasets.image import VehicleImage
from training.distributed import Process, choose_device
from training.embedder.run import embedder_trainer
from training.features.bands import Bands, load_bands, save_bands, view_bands
from training.loading.augmentation import Augmentation
from training.progress import Reporter
from training.signals import StopRequest

INNER = 2


@dataclass(frozen=True)
class Inner:
    """One half of a cell's training vehicles, described by an embedder that learned from the other half.

    Attributes:
        unseen: views of the half, the unchanged images first.
        seen: views of the other half, which the embedder has memorised.
    """

    unseen: list[Bands]
    seen: list[Bands]


@dataclass(frozen=True)
class CellBands:
    """All that a cell's re-rankers are made from and measured on.

    Attributes:
        test: of vehicles that nothing in the cell has seen.
        seen: views of the training vehicles by the cell's own embedder, which has memorised them.
        inner: the halves of the training vehicles.
    """

    test: Bands
    seen: list[Bands]
    inner: list[Inner]


class CellMaker:
    """Trains a cell's embedders and keeps their bands; what is there is not made again.

    Args:
        config: of every embedder.
        weights: to start from, or None.
        folder: with one folder for each cell.
        reporter: receives the events.
        sources: data and weights, for the record.
        views: changed copies of every unseen training image; the seen ones have half as many.
        stop: checked after every step.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        weights: Path | None,
        folder: Path,
        reporter: Reporter,
        sources: dict[str, Any],
        *,
        views: int = 3,
        stop: StopRequest | None = None,
    ) -> None:
        self.config = config
        self.weights = weights
        self.folder = folder
        self.reporter = reporter
        self.sources = sources
        self.views = views
        self.stop = stop or StopRequest()

    def bands(self, part: Part, seed: int) -> CellBands:
        """All of one cell.

        Raises:
            ResumeError: the folder holds a cell of other settings.
            StoppedError: it was stopped; the same call goes on.
        """
        folder = self.folder / f"seed{seed}-fold{part.number}"
        folder.mkdir(parents=True, exist_ok=True)
        few = (self.views + 1) // 2
        test = part.task.images()
        whole = self._embedded(
            folder, "outer", part.train, {"test": (test, 0), "seen": (part.train, few)}, seed
        )
        inner = []
        for number, half in enumerate(vehicle_folds(part.train, INNER, f"{seed}/{part.number}")):
            unseen = [image for image in part.train if image.vehicle_id in half]
            seen = [image for image in part.train if image.vehicle_id not in half]
            wanted = {"unseen": (unseen, self.views), "seen": (seen, few)}
            found = self._embedded(folder, f"inner{number}", seen, wanted, seed)
            inner.append(Inner(found["unseen"], found["seen"]))
        return CellBands(whole["test"][0], whole["seen"], inner)

    def _embedded(
        self,
        folder: Path,
        name: str,
        learned: list[VehicleImage],
        wanted: dict[str, tuple[list[VehicleImage], int]],
        seed: int,
    ) -> dict[str, list[Bands]]:
        """Views of the wanted images by an embedder that has learned from `learned`."""
        vehicles = sorted({image.vehicle_id for image in learned})
        settings = {
            **self.sources,
            "seed": seed,
            "embedder": self.config.settings(),
            "vehicles": vehicles,
            "views": self.views,
        }
        checkpoints = Checkpoints(folder / f"{name}-checkpoint", settings, spacing=SPACING)

        def make() -> dict[str, Any]:
            network = self._network(folder / f"{name}.safetensors", learned, seed, checkpoints)
            for part, (images, views) in wanted.items():
                save_bands(folder / f"{name}-{part}.safetensors", self._views(network, images, views, seed))
            return {}

        kept(folder / f"{name}.json", settings, make)
        checkpoints.remove()
        device = choose_device(self.config.run.device)
        return {
            part: load_bands(folder / f"{name}-{part}.safetensors", images, device)
            for part, (images, _) in wanted.items()
        }

    def _network(
        self, path: Path, images: list[VehicleImage], seed: int, checkpoints: Checkpoints
    ) -> LKAReID:
        device = choose_device(self.config.run.device)
        if not path.exists():
            self.reporter.part(f"{path.parent.name}, {path.stem}")
            trainer = embedder_trainer(
                self.config.model_copy(update={"seed": seed}),
                images,
                self.weights,
                process=Process(device),
                checkpoints=checkpoints,
                observers=[self.reporter],
                stop=self.stop,
            )
            save_embedder(path, trainer.run())
        return load_embedder(path).to(device)

    def _views(self, network: LKAReID, images: list[VehicleImage], views: int, seed: int) -> list[Bands]:
        total = (views + 1) * len(images)
        return view_bands(
            network,
            images,
            views,
            Augmentation(self.config.spec, self.config.augmentation),
            random.Random(f"{seed}/views"),  # noqa: S311
            bf16=self.config.run.precision == "bf16",
            report=lambda done: self.reporter.embedded(done, total),
        )
