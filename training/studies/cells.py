"""Cells of the study: nested divisions of the vehicles, with one frozen embedder for each part."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.inputspec import InputSpec
from models.network import LKAReID
from training.checkpoints.pretrained import load_imagenet
from training.checkpoints.resume import Snapshots
from training.checkpoints.weights import load_embedder, save_embedder
from training.config.embedder import ExperimentConfig
from training.datasets.folds import Part, vehicle_folds
from training.datasets.image import VehicleImage
from training.distributed import Process, choose_device
from training.embedder.experiment import Reporter, settings
from training.embedder.trainer import Trainer
from training.features.bands import Bands, extract_bands, load_bands, save_bands
from training.loading.augmentation import Augmentation
from training.signals import Interruption
from training.studies.ablation import SPACING

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
        reporter: told of every step.
        origin: of data and weights, for the record.
        views: changed copies of every unseen training image; the seen ones have half as many.
        interruption: asked after every step.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        weights: Path | None,
        folder: Path,
        reporter: Reporter,
        origin: dict[str, Any],
        *,
        views: int = 3,
        interruption: Interruption | None = None,
    ) -> None:
        self.config = config
        self.weights = weights
        self.folder = folder
        self.reporter = reporter
        self.origin = origin
        self.views = views
        self.interruption = interruption or Interruption()
        height, width = config.network.image_size
        self.spec = InputSpec(height=height, width=width, mean=config.input.mean, std=config.input.std)

    def bands(self, part: Part, seed: int) -> CellBands:
        """All of one cell.

        Raises:
            SnapshotError: the folder holds a cell of other settings.
            InterruptedRunError: it was asked to stop; the same call goes on.
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
        made_of = {
            **self.origin,
            "seed": seed,
            "settings": settings(self.config),
            "vehicles": vehicles,
            "views": self.views,
        }
        keeper = Snapshots(folder / f"{name}-snapshot", made_of, spacing=SPACING)
        note = folder / f"{name}.json"
        if note.exists():
            keeper.require_same(note, json.loads(note.read_text(encoding="utf-8")))
        else:
            network = self._network(folder / f"{name}.safetensors", learned, seed, keeper)
            for part, (images, views) in wanted.items():
                save_bands(folder / f"{name}-{part}.safetensors", self._views(network, images, views, seed))
            note.write_text(json.dumps(keeper.settings, indent=1) + "\n", encoding="utf-8")
            keeper.remove()
        device = choose_device(self.config.run.device)
        return {
            part: load_bands(folder / f"{name}-{part}.safetensors", images, device)
            for part, (images, _) in wanted.items()
        }

    def _network(self, path: Path, images: list[VehicleImage], seed: int, keeper: Snapshots) -> LKAReID:
        device = choose_device(self.config.run.device)
        if not path.exists():
            self.reporter.part(f"{path.parent.name}, {path.stem}")
            torch.manual_seed(seed)
            network = LKAReID(self.config.network.build(), len({image.vehicle_id for image in images}))
            if self.weights is not None:
                wanted = self.config.weights
                load_imagenet(
                    network,
                    self.weights,
                    layout=wanted.layout,
                    sha256=wanted.sha256,
                    left_out=wanted.left_out,
                )
            trainer = Trainer(
                network,
                images,
                self.config.model_copy(update={"seed": seed}),
                process=Process(device),
                snapshots=keeper,
                observers=[self.reporter],
                interruption=self.interruption,
            )
            if keeper.exist():
                trainer.resume()
            save_embedder(path, trainer.run())
        return load_embedder(path).to(device)

    def _views(self, network: LKAReID, images: list[VehicleImage], views: int, seed: int) -> list[Bands]:
        augmentation = Augmentation(self.spec, self.config.augmentation)
        source = random.Random(f"{seed}/views")  # noqa: S311
        found = []
        for view in range(views + 1):
            changes = {"augmentation": augmentation, "source": source} if view else {}
            before, total = view * len(images), (views + 1) * len(images)
            found.append(
                extract_bands(
                    network,
                    images,
                    self.spec,
                    bf16=self.config.run.precision == "bf16",
                    report=lambda done, before=before, total=total: self.reporter.embedding(  # type: ignore[misc]
                        before + done, total
                    ),
                    **changes,  # type: ignore[arg-type]
                )
            )
        return found
