"""The keys of a configuration that the data, the bundle and the machine decide, each with its reason."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import Bundle
from models.mixers import MIXERS
from training.config.embedder import ExperimentConfig
from training.config.reranker import RerankerExperimentConfig
from training.datasets.dataset import Dataset
from training.datasets.image import DatasetError, VehicleImage

HELD_BACK = 0.2
"""Share of the vehicles that is measured on, where the data has no part for that."""
FEWEST, MOST = 4, 100
SEEN = {"cpu": 4_000, "cuda": 40_000}
"""Training images to look at, counted as often as they are seen."""
EPOCHS = (4, 40)
SHAPE = (
    "branches",
    "width",
    "depth",
    "ibn",
    "v1",
    "last_stride",
    "pooling",
    "strips",
    "strip_width",
    "parts",
)
FOR_CHECKS = 40
"""Vehicles to learn from, from which on some are set aside to choose the re-ranker's weights by."""
OF_SECOND = "re-ranker "
RESIZED = 0.8
"""Of the side that a bundle is served at: what a CPU trains at."""


@dataclass(frozen=True)
class Choice:
    """A key that was set, and why."""

    key: str
    value: Any
    why: str


@dataclass(frozen=True)
class Facts:
    """What is known of the images to learn from.

    Attributes:
        vehicles: of them.
        images: of them.
        cameras: known ones.
        typical: images of a vehicle, the median.
    """

    vehicles: int
    images: int
    cameras: int
    typical: int

    @classmethod
    def of(cls, images: Sequence[VehicleImage]) -> Facts:
        """Counted from images."""
        counts = Counter(image.vehicle_id for image in images)
        ordered = sorted(counts.values())
        return cls(
            vehicles=len(counts),
            images=len(images),
            cameras=len({image.camera_id for image in images} - {""}),
            typical=ordered[len(ordered) // 2] if ordered else 0,
        )


def with_warm_up(chosen: Sequence[Choice], changes: Sequence[str]) -> list[str]:
    """The changes; where they make the training shorter or longer, its warm-up as well."""
    given = dict(change.split("=", 1) for change in changes if "=" in change)
    epochs, warm_up = given.get("schedule.epochs", ""), "schedule.warm_up"
    if warm_up in given or not epochs.strip().isdecimal():
        return list(changes)
    before = {choice.key: choice.value for choice in chosen}
    share = before[warm_up] / before["schedule.epochs"]
    return [f"{warm_up}={round(share * int(epochs), 2)}", *changes]


def name_after(folder: Path) -> str:
    """What a bundle that was made from a folder of images is called."""
    letters = unicodedata.normalize("NFKD", folder.resolve().name.casefold())
    without_marks = "".join(letter for letter in letters if not unicodedata.combining(letter))
    slug = re.sub(r"[^a-z0-9]+", "-", without_marks).strip("-")
    return f"own-{slug}" if slug else "own"


def as_used(choice: Choice, embedder: ExperimentConfig, second: RerankerExperimentConfig | None) -> Choice:
    """A choice with the value that stands, which a change may have made another."""
    of_second = choice.key.removeprefix(OF_SECOND)
    found: Any = second if of_second != choice.key else embedder
    for name in of_second.split("."):
        found = getattr(found, name)
    if (list(found) if isinstance(found, tuple) else found) == choice.value:
        return choice
    return Choice(choice.key, found, "as you have set it")


def spelled(choice: Choice) -> str:
    """A choice as a configuration's `key=value`."""
    return f"{choice.key}={json.dumps(choice.value)}"


def data_choices(dataset: Dataset) -> list[Choice]:
    """What follows from the data set: the name, its layout, and how many vehicles are measured on."""
    chosen = [
        Choice("name", name_after(dataset.folder), "after the data"),
        Choice("data.layout", dataset.layout, ""),
    ]
    vehicles = len({image.vehicle_id for image in dataset.train})
    if dataset.has_split and dataset.tasks:
        return [*chosen, Choice("data.validation_vehicles", 0, "the data has a part to measure on")]
    held_back = max(FEWEST, min(MOST, round(HELD_BACK * vehicles)))
    why = f"held back to measure on, of {vehicles:,}" + (
        "" if held_back >= 30 else "; few: intervals will be wide"
    )
    return [*chosen, Choice("data.validation_vehicles", held_back, why)]


def bundle_choices(bundle: Bundle, device: str) -> list[Choice]:
    """What follows from the bundle to start from, and from the machine.

    Raises:
        DatasetError: its manifest does not say what network it holds.
    """
    manifest = bundle.manifest
    missing = [key for key in ("branches", "width", "depth", "ibn", "v1") if key not in manifest.network]
    if missing:
        raise DatasetError(
            f"{bundle.path}: its manifest does not say what network it holds ({', '.join(missing)}), so that "
            "nothing can be trained from it; take a bundle of `lka-reid train`"
        )
    network = {key: manifest.network[key] for key in SHAPE if key in manifest.network}
    served = (manifest.input.height, manifest.input.width)
    # Mixers with weights for each place of the map keep its size.
    fixed = any(_is_sized(branch["mixer"]) for branch in network["branches"])
    size = served
    if device == "cpu" and not fixed:
        size = (_smaller(served[0]), _smaller(served[1]))
    trained = manifest.training.embedder if manifest.training is not None else {}
    precision = trained.get("bundle", {}).get("precision", "fp32")
    why = (
        "the bundle's"
        if size == served
        else f"served at {served[0]}x{served[1]}; smaller is quicker on a CPU"
    )
    return [
        *(Choice(f"network.{key}", value, "") for key, value in network.items()),
        Choice("network.image_size", list(size), why),
        Choice("bundle.image_size", list(served), ""),
        Choice("bundle.precision", precision, ""),
        Choice("bundle.flip", manifest.input.flip, ""),
        Choice("input.mean", list(manifest.input.mean), ""),
        Choice("input.std", list(manifest.input.std), ""),
        Choice("losses.strips", 1.0 if network.get("strips") else 0.0, ""),
        *_projection_choices(int(manifest.network.get("projection", 0)), device),
    ]


def _projection_choices(directions: int, device: str) -> list[Choice]:
    """A bundle with a projection gets one of one's own cameras: it belongs to the weights before it."""
    if not directions:
        return []
    return [
        Choice("projection.directions", directions, "as many as the bundle's, estimated from your images"),
        Choice("projection.views", 1 if device == "cpu" else 3, ""),
        Choice("projection.images", 800 if device == "cpu" else 1500, ""),
    ]


def _is_sized(mixer: str) -> bool:
    """Whether a mixer has weights for each place of its map."""
    make = MIXERS.named(mixer).make
    shapes = [{k: v.shape for k, v in make(64, (side, side)).state_dict().items()} for side in (8, 10)]
    return shapes[0] != shapes[1]


def _smaller(side: int) -> int:
    return max(32, round(RESIZED * side / 16) * 16) if side > 32 else side


def training_choices(facts: Facts, learned: int, device: str) -> list[Choice]:
    """What follows from the images, of which so many vehicles are learned from, and from the machine."""
    per_vehicle = 2 if facts.typical < 6 else 4
    epochs = max(EPOCHS[0], min(EPOCHS[1], round(SEEN[device] / (learned * per_vehicle))))
    together = min(16, learned)
    # One cycle needs two steps to rise.
    warm_up = max(epochs / 6, 2 * together / learned)
    stages = 3 if device == "cpu" else 1
    return [
        Choice("batch.vehicles", together, f"of {learned:,} to learn from"),
        Choice("batch.images", per_vehicle, f"a vehicle has {facts.typical:,} (median)"),
        Choice("schedule.epochs", epochs, f"{epochs * learned * per_vehicle:,} images seen"),
        Choice("schedule.warm_up", round(min(warm_up, epochs / 2), 2), ""),
        Choice(
            "schedule.frozen_stages",
            stages,
            "a CPU learns stage 4 and the necks" if stages == 3 else "a GPU learns all but the first stage",
        ),
    ]


def reranker_choices(bundle: Bundle, facts: Facts, learned: int, embedder: ExperimentConfig) -> list[Choice]:
    """What follows for the re-ranker: from the bundle's, its vehicles to learn from, and the embedder."""
    given = bundle.manifest.reranker.config if bundle.manifest.reranker is not None else {}
    shape = {key: value for key, value in given.items() if key not in ("strip_width", "grid")}
    images = round(facts.images * learned / facts.vehicles)
    # Too few vehicles to set some aside: the last step's weights are kept.
    checked = min(50, learned // 5) if learned >= FOR_CHECKS else 0
    smallest = images * (checked or learned) // learned
    elsewhere = smallest * (facts.cameras - 1) // facts.cameras if facts.cameras > 1 else smallest - 1
    of_lists = images * (learned - checked) // learned
    frozen = embedder.schedule.frozen_stages == 3 or not embedder.network.parts
    steps = 0 if frozen else 300
    why = "the trunk keeps its weights, and so do its parts" if embedder.network.parts and frozen else ""
    candidates = max(2, min(10, elsewhere * 3 // 4))
    return [
        Choice("name", embedder.name, ""),
        *(Choice(f"shape.{key}", value, "") for key, value in shape.items()),
        Choice("head.steps", steps, why),
        Choice("head.parts", list(embedder.network.parts) if steps and embedder.network.parts else None, ""),
        Choice("head.width", embedder.network.strip_width, ""),
        Choice("lists.mining", "augmented", ""),
        Choice("lists.views", 1, ""),
        Choice("lists.images", 1200, ""),
        Choice("lists.candidates", candidates, f"of {images:,} images"),
        Choice("training.steps", 300, ""),
        Choice("training.check_every", 50, ""),
        Choice("training.batch", max(1, min(16, of_lists // 4)), ""),
        *(
            (
                Choice("checkpoint.by", "vehicles", ""),
                Choice("checkpoint.vehicles", checked, "to choose its weights by"),
            )
            if checked
            else (Choice("checkpoint.by", "last", f"{learned:,} vehicles are too few to set some aside"),)
        ),
        Choice("bundle.precision", embedder.bundle.precision, ""),
    ]
