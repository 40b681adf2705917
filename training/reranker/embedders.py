"""What a re-ranker's lists are made from: frozen embedders and their features, each made once and kept."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from models.manifest import hash_file
from models.network import LKAReID
from training.checkpoints.resume import ResumeError, as_json, require_same
from training.checkpoints.weights import read_config, save
from training.config.embedder import ExperimentConfig
from training.config.reranker import HeadTraining, ListsConfig
from training.datasets.dataset import Task
from training.datasets.image import DatasetError, VehicleImage
from training.datasets.split import whole_vehicles
from training.distributed import Process
from training.embedder.experiment import Experiment, Sources
from training.export.bundle import Precision, for_inference
from training.export.viewpoint import load_served
from training.features.extract import Features, extract
from training.features.store import FeatureStoreError, features_exist, open_features, save_features
from training.loading.augmentation import Augmentation
from training.progress import Reporter
from training.reporting.provenance import data_hash
from training.reranker.part_head import train_part_head
from training.reranker.strip_head import own_head
from training.signals import StopRequest


@dataclass(frozen=True)
class Frozen:
    """A trained embedder.

    Attributes:
        network: in evaluation mode, on the CPU, without side information.
        provenance: what its features depend on, as JSON types.
    """

    network: LKAReID
    provenance: dict[str, Any]

    def served(self, precision: Precision) -> Frozen:
        """As it will be served."""
        return Frozen(for_inference(self.network, precision), {**self.provenance, "served": precision})


class Parts:
    """Embedders and features in a folder.

    Every embedder is a run of `training.embedder.experiment` in a folder of its own; features are kept by
    `training.features.store`. What is there is used again; what was made with other settings is refused.

    Args:
        folder: of the parts.
        embedder: how all embedders are trained.
        sources: data and weights.
        lists: what the features are for.
        head: how each embedder's head of strips is trained anew; None keeps the one that it has.
        reporter: receives the events.
        given: folder of a finished embedder run, to be used in the place of one of its own.
        batch: images embedded at a time.
        process: this one.
        stop: checked after every step.
    """

    def __init__(
        self,
        folder: Path,
        embedder: ExperimentConfig,
        sources: Sources,
        lists: ListsConfig,
        reporter: Reporter,
        *,
        head: HeadTraining | None = None,
        given: Path | None = None,
        batch: int = 64,
        process: Process | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        self.folder = folder
        self.config = embedder.model_copy(
            update={"bundle": embedder.bundle.model_copy(update={"export": False})}
        )
        self.sources = sources
        self.lists = lists
        self.head = head
        self.reporter = reporter
        self.given = given
        self.batch = batch
        self.process = process or Process()
        self.stop = stop or StopRequest()
        network = embedder.network
        if not network.strips and not network.parts and not (head and head.parts):
            raise DatasetError(
                f"{embedder.name}: the re-ranker compares strips, and this embedder gives none; "
                "train it with network.strips=4 and losses.strips=1"
            )
        self.experiment = self._experiment(self.config, given or folder / "embedder")

    @property
    def train(self) -> list[VehicleImage]:
        """The embedder's training images."""
        return self.experiment.train

    @property
    def tasks(self) -> list[Task]:
        """What is measured on."""
        return self.experiment.tasks

    def _experiment(
        self, config: ExperimentConfig, folder: Path, images: list[VehicleImage] | None = None
    ) -> Experiment:
        return Experiment(
            config,
            self.sources,
            folder,
            self.reporter,
            process=self.process,
            stop=self.stop,
            images=images,
        )

    @cached_property
    def embedder(self) -> Frozen:
        """The embedder whose candidate lists will be re-ordered, trained on all training images.

        Raises:
            ResumeError: what is there was made with other settings, or the given run is not finished.
        """
        if self.given is not None and not self.experiment.folder.finished:
            raise ResumeError(f"{self.given}: holds no finished embedder run")
        return self._frozen(self.experiment, "embedder")

    def fold_embedder(self, number: int, images: list[VehicleImage]) -> Frozen:
        """The embedder of a fold.

        Args:
            number: of the fold, from 0.
            images: of the other folds' vehicles, to train it on.
        """
        name = f"{self.config.name}, fold {number + 1} of {self.lists.folds}"
        config = self.config.model_copy(update={"name": name})
        experiment = self._experiment(config, self.folder / "folds" / str(number), images)
        return self._frozen(experiment, f"fold-{number}")

    def _frozen(self, experiment: Experiment, name: str) -> Frozen:
        experiment.result()
        path = experiment.folder.embedder
        network = load_served(path, self.config.served_size)
        provenance = {"embedder": hash_file(path), "input": self.config.served_spec.model_dump(mode="json")}
        if self.head is not None:
            provenance["head"] = {
                **asdict(self.head),
                "augmentation": self.config.augmentation.model_dump(mode="json"),
                "seed": self.lists.seed,
                "data": data_hash(experiment.train),
            }
            if self.head.parts is not None:
                network = network.with_parts(self.head.parts, self.head.width)
            images = whole_vehicles(experiment.train, self.head.images, self.lists.seed)
            self._replace_head(self.head, network, provenance, images, name)
        return Frozen(network, provenance)

    def _replace_head(
        self,
        config: HeadTraining,
        network: LKAReID,
        provenance: dict[str, Any],
        images: list[VehicleImage],
        name: str,
    ) -> None:
        """Give the network a head of strips that has learned from its finished maps, in place."""
        path = self.folder / "heads" / f"{name}.safetensors"
        if not path.exists():
            self.reporter.part(f"head of {name}")
            total = (config.views + 1) * len(images)
            change = Augmentation(self.config.served_spec, self.config.augmentation)
            source = random.Random(f"{self.lists.seed}/{name}-head")  # noqa: S311
            bf16, network = self.lists.precision == "bf16", network.to(self.process.device)

            def report(done: int) -> None:
                self._embedded(done, total)

            head = (
                own_head(network, images, change, source, config, bf16=bf16, report=report)
                if config.parts is None
                else train_part_head(
                    network, config.parts, images, change, source, config, bf16=bf16, report=report
                )
            )
            save(path, head, "strip head", provenance)
            network.cpu()
        require_same(path, provenance, read_config(path, "strip head"))
        network.get_submodule("strip_head").load_state_dict(load_file(path), strict=True)

    def _embedded(self, done: int, total: int) -> None:
        self.reporter.embedded(done, total)
        self.stop.between(done, total)

    def features(
        self, name: str, frozen: Frozen, images: list[VehicleImage], *, views: int = 0
    ) -> list[Features]:
        """Features of the images as they are and of `views` changed copies, on disk.

        Args:
            name: of their folder; copies of another name are changed otherwise.
            frozen: the embedder.
            images: to embed.
            views: changed copies of each.

        Raises:
            FeatureStoreError: what is there depends on something else, or is damaged.
            StoppedError: it was stopped; the copies under way are made again.
        """
        source = random.Random(f"{self.lists.seed}/{name}-features")  # noqa: S311
        augmentation = Augmentation(self.config.served_spec, self.config.augmentation)
        found = []
        for view in range(views + 1):
            folder = self.folder / "features" / name / f"view-{view}"
            provenance = self._features_provenance(frozen, images, f"{name}, copy {view}" if view else "")
            if not features_exist(folder):
                self.reporter.part(f"features of {name}" + (f", changed copy {view}" if view else ""))
                features = self._extract(frozen, images, augmentation if view else None, source)
                save_features(folder, features, provenance)
            elif view:
                for _ in images:
                    augmentation.draw(source)
            kept = open_features(folder, provenance)
            if [image.path.name for image in kept.images] != [image.path.name for image in images]:
                raise FeatureStoreError(f"{folder} has the images in another order; remove it")
            # Kept paths are those of the day they were made; the data may lie elsewhere now.
            found.append(Features(images, kept.descriptors, kept.strips))
        return found

    def _extract(
        self,
        frozen: Frozen,
        images: list[VehicleImage],
        augmentation: Augmentation | None,
        source: random.Random,
    ) -> Features:
        network = frozen.network.to(self.process.device)
        try:
            return extract(
                network,
                images,
                batch=self.batch,
                bf16=self.lists.precision == "bf16",
                augmentation=augmentation,
                source=source if augmentation is not None else None,
                spec=self.config.served_spec,
                report=lambda done: self._embedded(done, len(images)),
            )
        finally:
            network.cpu()

    def _features_provenance(self, frozen: Frozen, images: list[VehicleImage], copy: str) -> dict[str, Any]:
        """What features depend on, as JSON gives it back."""
        changes = {
            "copy": copy,
            "seed": self.lists.seed,
            "augmentation": self.config.augmentation.model_dump(mode="json"),
        }
        return as_json(
            {
                **frozen.provenance,
                "data": data_hash(images),
                "precision": self.lists.precision,
                "changes": changes if copy else None,
            }
        )
