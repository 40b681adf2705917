"""What a re-ranker's lists are made from: frozen embedders and their features, each made once and kept."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from models.manifest import hash_file
from models.network import LKAReID
from training.checkpoints.resume import SnapshotError
from training.checkpoints.weights import load_embedder, load_viewpoints, save_embedder
from training.config.embedder import ExperimentConfig
from training.config.reranker import HeadTraining, ListsConfig
from training.datasets.dataset import Task
from training.datasets.image import DatasetError, VehicleImage
from training.distributed import Process
from training.embedder.experiment import Experiment, Reporter, Sources
from training.export.bundle import Precision, for_inference
from training.export.viewpoint import at_mean_viewpoint
from training.features.extract import Features, extract
from training.features.store import FeatureStoreError, features_exist, open_features, save_features
from training.loading.augmentation import Augmentation
from training.reporting.provenance import data_hash
from training.reranker.strip_head import renew_head
from training.signals import InterruptedRunError, Interruption


@dataclass(frozen=True)
class Frozen:
    """A trained embedder.

    Attributes:
        network: in evaluation mode, on the CPU, without side information.
        made_by: what its features depend on, as JSON types.
    """

    network: LKAReID
    made_by: dict[str, Any]

    def shipped(self, precision: Precision) -> Frozen:
        """As it will be served."""
        return Frozen(for_inference(self.network, precision), {**self.made_by, "served": precision})


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
        reporter: told of every step.
        given: folder of a finished embedder run, to be used in the place of one of its own.
        batch: images embedded at a time.
        process: this one.
        interruption: asked after every step.
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
        interruption: Interruption | None = None,
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
        self.interruption = interruption or Interruption()
        if not embedder.network.strips:
            raise DatasetError(
                f"{embedder.name}: the re-ranker compares strips, and this embedder gives none; "
                "train it with network.strips=4 and losses.strips=1"
            )
        self.experiment = self._experiment(self.config, given or folder / "embedder")
        self.spec = self.experiment.spec

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
            interruption=self.interruption,
            division=(images, []) if images is not None else None,
        )

    @cached_property
    def embedder(self) -> Frozen:
        """The embedder whose answers will be re-ranked, trained on all training images.

        Raises:
            SnapshotError: what is there was made with other settings, or the given run is not finished.
        """
        if self.given is not None and not self.experiment.finished:
            raise SnapshotError(f"{self.given}: holds no finished embedder run")
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
        path = experiment.settle()
        network, viewpoints = load_embedder(path), load_viewpoints(path)
        if viewpoints is not None:
            network = at_mean_viewpoint(network, viewpoints.numbers(experiment.train))
        made_by = {"embedder": hash_file(path), "input": experiment.spec.model_dump(mode="json")}
        if self.head is None:
            return Frozen(network, made_by)
        return self._with_own_head(self.head, Frozen(network, made_by), experiment.train, name)

    def _with_own_head(
        self, head: HeadTraining, frozen: Frozen, images: list[VehicleImage], name: str
    ) -> Frozen:
        """The same embedder with a head of strips that has learned from its finished maps."""
        path = self.folder / "heads" / f"{name}.safetensors"
        note = path.with_suffix(".json")
        changes = {"augmentation": self.config.augmentation.model_dump(mode="json"), "seed": self.lists.seed}
        made_by = {**frozen.made_by, "head": {**asdict(head), **changes, "data": data_hash(images)}}
        text = json.dumps(made_by, indent=1) + "\n"
        if not path.exists():
            self.reporter.part(f"head of {name}")
            network = frozen.network.to(self.process.device)
            total = (head.views + 1) * len(images)
            renew_head(
                network,
                images,
                Augmentation(self.spec, self.config.augmentation),
                random.Random(f"{self.lists.seed}/{name}-head"),  # noqa: S311
                head,
                bf16=self.lists.precision == "bf16",
                report=lambda done: self._embedded(done, total),
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(text, encoding="utf-8")
            save_embedder(path, network.cpu())
        elif note.read_text(encoding="utf-8") != text:
            raise SnapshotError(
                f"{path} was made with other settings ({note}); remove it or choose another folder"
            )
        return Frozen(load_embedder(path), made_by)

    def _embedded(self, done: int, total: int) -> None:
        self.reporter.embedding(done, total)
        if self.interruption.asked and done < total:
            raise InterruptedRunError(f"stopped after embedding {done} of {total} images")

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
            FeatureStoreError: what is there was made by something else, or is damaged.
            InterruptedRunError: it was asked to stop; the copies under way are made again.
        """
        source = random.Random(f"{self.lists.seed}/{name}-features")  # noqa: S311
        augmentation = Augmentation(self.spec, self.config.augmentation)
        found = []
        for view in range(views + 1):
            folder = self.folder / "features" / name / f"view-{view}"
            made_by = self._made_by(frozen, images, f"{name}, copy {view}" if view else "")
            if not features_exist(folder):
                self.reporter.part(f"features of {name}" + (f", changed copy {view}" if view else ""))
                features = self._extract(frozen, images, augmentation if view else None, source)
                save_features(folder, features, made_by)
            elif view:
                for _ in images:
                    augmentation.draw(source)
            kept = open_features(folder, made_by)
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
                spec=self.spec,
                report=lambda done: self._embedded(done, len(images)),
            )
        finally:
            network.cpu()

    def _made_by(self, frozen: Frozen, images: list[VehicleImage], copy: str) -> dict[str, Any]:
        """What features depend on, as JSON gives it back."""
        changes = {
            "copy": copy,
            "seed": self.lists.seed,
            "augmentation": self.config.augmentation.model_dump(mode="json"),
        }
        made_by = {
            **frozen.made_by,
            "data": data_hash(images),
            "precision": self.lists.precision,
            "changes": changes if copy else None,
        }
        plain: dict[str, Any] = json.loads(json.dumps(made_by))
        return plain
