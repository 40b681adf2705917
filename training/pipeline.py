"""A bundle's parts from images and ImageNet weights: each is kept in the run's folder and made only once."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic_core import to_jsonable_python

from models.inputspec import InputSpec
from models.manifest import hash_file
from models.network import LKAReID, NetworkConfig
from models.reranker import StripReranker
from training.checkpoints.pretrained import load_imagenet
from training.checkpoints.resume import SnapshotError, Snapshots
from training.checkpoints.weights import load_embedder, load_reranker, save_embedder, save_reranker
from training.config.embedder import TrainingConfig
from training.datasets.folds import vehicle_folds
from training.datasets.image import VehicleImage
from training.datasets.readers.manifest import read_manifest
from training.datasets.split import Split, split_by_identity
from training.distributed import Process, choose_device
from training.embedder.trainer import Trainer
from training.features.extract import Features, extract
from training.loading.augmentation import Augmentation
from training.progress import Observer
from training.recipe import Recipe
from training.reranker.mining import Fold, mine
from training.reranker.selection import choose_reranker, with_fusion
from training.reranker.strip_head import renew_head
from training.reranker.trainer import train_reranker
from training.signals import Interruption


class Reporter(Observer, Protocol):
    """Who is told how far the work is."""

    def part(self, name: str) -> None:
        """A new part of the work begins."""

    def embedding(self, done: int, total: int) -> None:
        """Images have been embedded."""

    def reranking(self, step: int, loss: float) -> None:
        """The re-ranker has made a step."""


@dataclass(frozen=True)
class Sources:
    """What a run starts from.

    Attributes:
        manifest: CSV of the images.
        imagenet: ResNet-50 weights, safetensors, v1 layout.
        develop: work inside the training part: its vehicles are split once more, and the validation
            vehicles are not touched. For choosing settings.
    """

    manifest: Path
    imagenet: Path
    develop: bool = False


class Run:
    """One run of a recipe in a folder; asking for a part makes what it needs."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        sources: Sources,
        reporter: Reporter,
        interruption: Interruption | None = None,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.sources = sources
        self.reporter = reporter
        self.interruption = interruption or Interruption()
        self.process = Process(choose_device(recipe.embedder.run.device))
        folder.mkdir(parents=True, exist_ok=True)

    @cached_property
    def origin(self) -> dict[str, Any]:
        """What every part of the run depends on."""
        return {
            "validation_vehicles": self.recipe.validation_vehicles,
            "seed": self.recipe.seed,
            "develop": self.sources.develop,
            "manifest_sha256": hash_file(self.sources.manifest),
            "imagenet_sha256": hash_file(self.sources.imagenet),
        }

    def _is_made(self, name: str, *settings: Any) -> bool:
        """Whether a part is there, made with these settings; if not, they are noted for when it is.

        Raises:
            SnapshotError: it is there, made with others.
        """
        path = self.folder / f"{name}.safetensors"
        note = path.with_suffix(".json")
        text = json.dumps(self._settings(*settings), indent=2) + "\n"
        if path.exists():
            if note.read_text(encoding="utf-8") != text:
                raise SnapshotError(
                    f"{path} was made with other settings ({note}); remove it or choose another --out"
                )
            return True
        note.write_text(text, encoding="utf-8")
        return False

    def _settings(self, *settings: Any) -> dict[str, Any]:
        return {**self.origin, "settings": to_jsonable_python(settings)}

    def _snapshots(self, name: str, *settings: Any) -> Snapshots:
        return Snapshots(self.folder / f"{name}-snapshot", self._settings(*settings))

    @cached_property
    def split(self) -> Split:
        """Training and validation vehicles."""
        recipe = self.recipe
        split = split_by_identity(
            read_manifest(self.sources.manifest), recipe.validation_vehicles, recipe.seed
        )
        if self.sources.develop:
            return split_by_identity(split.train, recipe.validation_vehicles, recipe.seed + 1)
        return split

    @cached_property
    def embedder(self) -> LKAReID:
        """The bundle's embedder, trained on all training vehicles."""
        network = self._embedder("embedder", self.recipe.network, self.recipe.embedder, self.split.train)
        return self._with_own_head("embedder", network, self.split.train)

    @cached_property
    def plain(self) -> LKAReID:
        """The plain ResNet-50, fine-tuned on the same vehicles."""
        return self._embedder("plain", self.recipe.plain, self.recipe.plain_training, self.split.train)

    @cached_property
    def zero_shot(self) -> LKAReID:
        """The ImageNet ResNet-50 as it came, at 256 px."""
        config = NetworkConfig(**{**self.recipe.plain.__dict__, "image_size": (256, 256)})
        return self._start(config, 0)

    @cached_property
    def folds(self) -> list[list[Fold]]:
        """Lists of training vehicles, made by an embedder that has not seen them: the views of each fold."""
        found = []
        for number, part in enumerate(vehicle_folds(self.split.train, self.recipe.folds, self.recipe.seed)):
            others = [image for image in self.split.train if image.vehicle_id not in part]
            own = [image for image in self.split.train if image.vehicle_id in part]
            network = self._embedder(f"fold-{number}", self.recipe.network, self.recipe.embedder, others)
            network = self._with_own_head(f"fold-{number}", network, others)
            features = self._features(f"fold-{number}-features", network, own, views=self.recipe.views)
            found.append([Fold(view, mine(view, self.recipe.reranker.candidates)) for view in features])
        return found

    @cached_property
    def reranker(self) -> StripReranker:
        """The second stage, trained on all folds' lists.

        How long, and with what weight the first stage takes part, is chosen by leaving out one fold
        after the other.
        """
        path = self.folder / "reranker.safetensors"
        recipe = self.recipe
        settings = (recipe.shape, recipe.reranker, recipe.network, _made_by(recipe.embedder), recipe.head)
        if self._is_made("reranker", *settings):
            return load_reranker(path)
        choice = choose_reranker(
            self.folds, recipe.shape, recipe.reranker, self.reporter, interruption=self.interruption
        )
        (self.folder / "reranker-choice.json").write_text(
            json.dumps(to_jsonable_python(choice), indent=2) + "\n"
        )
        self.reporter.part(f"re-ranker, {choice.steps} steps, fusion {choice.fusion}")
        snapshots = self._snapshots("reranker", *settings)
        trained = train_reranker(
            [view for fold in self.folds for view in fold],
            [],
            self.recipe.shape,
            self.recipe.reranker,
            stop=choice.steps,
            report=self.reporter.reranking,
            snapshots=snapshots,
            interruption=self.interruption,
        )
        save_reranker(path, with_fusion(trained.model, choice.fusion))
        snapshots.remove()
        return load_reranker(path)

    def _start(self, config: NetworkConfig, identities: int) -> LKAReID:
        torch.manual_seed(self.recipe.seed)
        network = LKAReID(config, identities)
        load_imagenet(network, self.sources.imagenet)
        return network.to(self.process.device)

    def _embedder(
        self, name: str, shape: NetworkConfig, config: TrainingConfig, images: list[VehicleImage]
    ) -> LKAReID:
        path = self.folder / f"{name}.safetensors"
        settings = (shape, _made_by(config))
        if self._is_made(name, *settings):
            return load_embedder(path).to(self.process.device)
        self.reporter.part(name)
        network = self._start(shape, len({image.vehicle_id for image in images}))
        trainer = Trainer(
            network,
            images,
            config,
            process=self.process,
            snapshots=self._snapshots(name, *settings),
            observers=[self.reporter],
            interruption=self.interruption,
        )
        if trainer.snapshots is not None and trainer.snapshots.exist():
            trainer.resume()
        save_embedder(path, trainer.run())
        if trainer.snapshots is not None:
            trainer.snapshots.remove()
        return load_embedder(path).to(self.process.device)

    def _with_own_head(self, name: str, network: LKAReID, images: list[VehicleImage]) -> LKAReID:
        """The network with a head of strips that learned from its finished maps; no descriptor changes."""
        config = self.recipe.head
        if config is None or not network.config.strips:
            return network
        path = self.folder / f"{name}-head.safetensors"
        if not self._is_made(f"{name}-head", self.recipe.network, _made_by(self.recipe.embedder), config):
            self.reporter.part(f"{name}-head")
            height, width = network.config.image_size
            augmentation = Augmentation(
                InputSpec(height=height, width=width), self.recipe.embedder.augmentation
            )
            source = random.Random(f"{self.recipe.seed}/{name}-head")  # noqa: S311
            total = (config.views + 1) * len(images)
            renew_head(
                network,
                images,
                augmentation,
                source,
                config,
                report=lambda done: self.reporter.embedding(done, total),
            )
            save_embedder(path, network)
        return load_embedder(path).to(self.process.device)

    def _features(
        self, name: str, network: LKAReID, images: list[VehicleImage], views: int
    ) -> list[Features]:
        """Features of the images as they are and of `views` changed copies."""
        height, width = network.config.image_size
        augmentation = Augmentation(InputSpec(height=height, width=width), self.recipe.embedder.augmentation)
        source = random.Random(f"{self.recipe.seed}/{name}")  # noqa: S311
        self.reporter.part(name)
        return [
            extract(
                network,
                images,
                bf16=True,
                augmentation=augmentation if view else None,
                source=source if view else None,
                report=self.counting(view * len(images), (views + 1) * len(images)),
            )
            for view in range(views + 1)
        ]

    def counting(self, before: int, total: int) -> Callable[[int], None]:
        """What tells the reporter of images embedded, some before them."""
        return lambda done: self.reporter.embedding(before + done, total)


def _made_by(config: TrainingConfig) -> dict[str, Any]:
    """What an embedder depends on of its training; the machine may change while parts are made."""
    return config.model_dump(mode="json", exclude={"run"})
