"""A bundle's embedder trained on crops that nobody has named, by their clusters; labelled pairs judge it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle import EXPLAINER, RERANKER, Bundle, replaced, write_manifest
from models.manifest import EMBEDDER
from models.runtime import Models
from training.atomic import write_json
from training.config.embedder import ExperimentConfig
from training.config.files import load_config
from training.datasets.image import DatasetError, VehicleImage
from training.distributed import Process
from training.embedder.experiment import Experiment, Sources
from training.evaluation.cameras import normalisation_of
from training.evaluation.descriptors import describe
from training.evaluation.protocol import Progress
from training.progress import Reporter
from training.reporting.provenance import data_hash
from training.signals import StopRequest
from training.tuning.choices import (
    Choice,
    Facts,
    as_used,
    bundle_choices,
    spelled,
    training_choices,
    with_warm_up,
)
from training.tuning.clusters import Clusters, cluster
from training.tuning.pairs import LabelledPair, similarities_of

CLUSTERS = "clusters.json"
FEWEST_PAIRS = 10
WANTED_PAIRS = 50
DISTILLATION = 2.0


@dataclass(frozen=True)
class Agreement:
    """How well two embedders agree with labelled pairs.

    Attributes:
        pairs: labelled.
        same: of them that show one vehicle.
        before: share of (one vehicle, two vehicles) that the start puts in the right order; 1 is all of them.
        after: of the trained one.
    """

    pairs: int
    same: int
    before: float
    after: float

    @property
    def is_worse(self) -> bool:
        """Whether the trained one puts fewer in the right order."""
        return self.after < self.before


def require_pairs(pairs: Sequence[LabelledPair]) -> None:
    """See that pairs can say whether a trained embedder is worse.

    Raises:
        DatasetError: too few, or all of them of one kind.
    """
    same = sum(pair.same is True for pair in pairs)
    if len(pairs) < FEWEST_PAIRS or not 0 < same < len(pairs):
        raise DatasetError(
            f"{len(pairs)} labelled pairs, {same} of them of one vehicle, do not say whether a trained "
            f"bundle is worse: about {WANTED_PAIRS} are needed, {FEWEST_PAIRS} at least, of both kinds; "
            "`lka-reid label` chooses them, and --pairs takes its CSV"
        )


def order_of_pairs(similarities: NDArray[np.floating], same: NDArray[np.bool_]) -> float:
    """The share of (pair of one vehicle, pair of two) of which the first is more similar; ties count half."""
    one, two = similarities[same][:, None], similarities[~same][None]
    return float(np.mean((one > two) + 0.5 * (one == two)))


def known_clusters(folder: Path, models: Models, images: list[VehicleImage], progress: Progress) -> Clusters:
    """The clusters of crops; those that an earlier call has written where they are of the same crops.

    Args:
        folder: of the adaptation.
        models: the bundle to start from.
        images: the crops, with their tracks.
        progress: receives how far the work is.

    Raises:
        DatasetError: see `cluster`.
    """
    path = folder / CLUSTERS
    wanted = {"fingerprint": models.bundle.fingerprint, "crops": data_hash(images)}
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values["of"] == wanted:
            labels = values["clusters"]
            kept = [
                replace(image, vehicle_id=labels[image.origin]) for image in images if image.origin in labels
            ]
            return Clusters(kept, **values["found"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    described = describe(models.embedder, images, report=progress.start("Embedding crops", len(images)))
    cameras = [image.camera_id for image in images]
    normalisation = normalisation_of(described.descriptors, cameras)
    found = cluster(normalisation.apply(described.descriptors.astype(np.float32), cameras), images)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {key: value for key, value in asdict(replace(found, images=[])).items() if key != "images"}
    labels = {image.origin: image.vehicle_id for image in found.images}
    write_json(path, {"of": wanted, "found": figures, "clusters": labels})
    return found


def plan_without_names(
    name: str, images: list[VehicleImage], bundle: Bundle, device: str, file: Path, changes: Sequence[str]
) -> tuple[ExperimentConfig, list[Choice]]:
    """The configuration of a training on clusters, and what was set, with reasons.

    Args:
        name: of the bundle.
        images: in clusters.
        bundle: to start from.
        device: cpu or cuda.
        file: the configuration to begin with.
        changes: `key=value` each, over what is chosen.

    Raises:
        DatasetError: the bundle does not say what network it holds.
        ConfigError: a change that does not fit.
    """
    facts = Facts.of(images)
    chosen = [
        Choice("name", name, "after the crops"),
        Choice("data.measured", False, ""),
        *bundle_choices(bundle, device),
        *(c for c in training_choices(facts, facts.vehicles, device) if c.key != "schedule.frozen_stages"),
        Choice("schedule.frozen_stages", 3, "stage 4 and the necks learn; the second stage's parts stay"),
        Choice("losses.clusters", 1.0, "contrast with the clusters' centres"),
        Choice("losses.distillation", DISTILLATION, "holds descriptors near those of the start"),
        Choice("losses.descriptor", 0.0, ""),
        Choice("losses.triplet", 0.0, ""),
        Choice("bundle.export", True, ""),
    ]
    config = load_config(file, [*map(spelled, chosen), *with_warm_up(chosen, changes)])
    return config, [as_used(choice, config, None) for choice in chosen if choice.why]


class SelfTraining:
    """A training on clusters in a folder; the same call goes on where it was stopped.

    Args:
        config: of `plan_without_names`.
        clusters: to learn from.
        bundle: to start from.
        crops: folder of the crops, for the record.
        folder: gets embedder/ and trained/.
        command: that started it.
        reporter: receives the events.
        process: this one.
        stop: checked after every step.

    Raises:
        DatasetError: an image cannot be read.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        clusters: Clusters,
        bundle: Bundle,
        crops: Path,
        folder: Path,
        command: str,
        reporter: Reporter,
        *,
        process: Process,
        stop: StopRequest,
    ) -> None:
        self.start = bundle
        self.folder = folder
        sources = Sources(crops, bundle.path / EMBEDDER, command)
        self._experiment = Experiment(
            config, sources, folder / "embedder", reporter, process=process, stop=stop, images=clusters.images
        )

    def train(self) -> Bundle:
        """Train what is not trained yet; the trained bundle, with the second stage of the start.

        Raises:
            ResumeError: the folder holds a training with other settings.
            StoppedError: it was stopped, and has saved where it stands.
            Exception: see `Experiment.run`.
        """
        self._experiment.result()
        made = Bundle.load(self._experiment.folder.bundle)
        with replaced(self.folder / "trained") as draft:
            shutil.copytree(made.path, draft, dirs_exist_ok=True)
            if self.keeps_second_stage:
                _take_second_stage(self.start, made, draft)
        return Bundle.load(self.folder / "trained")

    @property
    def keeps_second_stage(self) -> bool:
        """Whether the start's second stage fits: its parts are the trunk's, which keeps its weights."""
        manifest = self.start.manifest
        return manifest.reranker is not None and bool(manifest.network.get("parts"))


def agreement(before: Models, after: Models, pairs: Sequence[LabelledPair], progress: Progress) -> Agreement:
    """How well a bundle and the one trained from it agree with labelled pairs of both kinds."""
    same = np.array([pair.same for pair in pairs], dtype=bool)
    values = [order_of_pairs(similarities_of(models, pairs, progress), same) for models in (before, after)]
    return Agreement(len(pairs), int(same.sum()), *values)


def write_decision(folder: Path, start: Bundle, trained: Bundle, clusters: Clusters, said: Agreement) -> None:
    """Write report/level-2.json: what was learned from, and whether labelled pairs keep it."""
    write_json(
        folder / "report" / "level-2.json",
        {
            "start": start.fingerprint,
            "trained": trained.fingerprint,
            "crops": clusters.of,
            "clustered": len(clusters.images),
            "clusters": clusters.clusters,
            "across": clusters.across,
            "tracks": clusters.tracks,
            "apart": clusters.apart,
            "agreement": asdict(said),
            "kept": not said.is_worse,
        },
    )


def _take_second_stage(start: Bundle, made: Bundle, draft: Path) -> None:
    files = dict(made.manifest.files)
    for name in (RERANKER, EXPLAINER):
        if name in start.manifest.files:
            shutil.copyfile(start.path / name, draft / name)
            files[name] = start.manifest.files[name]
    training = made.manifest.training
    if training is not None and start.manifest.training is not None:
        training = training.model_copy(update={"reranker": start.manifest.training.reranker})
    changed = {"files": files, "reranker": start.manifest.reranker, "training": training}
    write_manifest(draft, made.manifest.model_copy(update=changed))
