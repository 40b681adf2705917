"""A bundle's manifest, format 2: what the service knows of a model, as types."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field

from models.inputspec import InputSpec
from models.part import Part
from models.shift import Shift

FORMAT: Final = 2
EMBEDDER = "embedder.onnx"
FIRST_STAGE = "first stage"
BOTH_STAGES = "both stages"
"""Names of the rows of accuracy that are the bundle's own; rows of other names stand beside them."""

SHA256 = "^[0-9a-f]{64}$"

Protocol = Literal["standard", "cross-camera", "drawn gallery", "class retrieval"]


class FileEntry(Part):
    """Hash and size of a file of the bundle."""

    sha256: str = Field(pattern=SHA256)
    bytes: int = Field(gt=0)

    @classmethod
    def of(cls, path: Path) -> Self:
        """The entry of a file as it is on disk."""
        return cls(sha256=hash_file(path), bytes=path.stat().st_size)


class RerankerEntry(Part):
    """The second stage: how many candidates it re-orders, and its configuration."""

    candidates: int = Field(gt=0)
    config: dict[str, Any]


class Threshold(Part):
    """From which similarity on a match is called one, as `lka-reid calibrate` found it.

    Attributes:
        similarity: of the first stage; a pair at or above it is a match.
        false_match_rate: share of pairs of different vehicles, from different cameras, that are matches.
        false_match_interval: 95 % for that rate, low and high; None where no vehicle was known.
        true_match_rate: share of pairs of one vehicle, from different cameras, that are matches, or None.
        measured_on: the images, in words.
        fingerprint: of the bundle that it was measured with.
    """

    similarity: float = Field(ge=-1, le=1)
    false_match_rate: float = Field(ge=0, le=1)
    false_match_interval: tuple[float, float] | None
    true_match_rate: float | None = Field(ge=0, le=1)
    measured_on: str = Field(min_length=1)
    fingerprint: str = Field(pattern=SHA256)


class DataSource(Part):
    """The data that a model was trained on.

    Attributes:
        name: of the data set.
        sha256: of the list of training images (names, vehicles, cameras, views, types; not the pixels), or
            of the whole data set's CSV manifest.
        sha256_of: which of the two.
        vehicles: that the training learned from.
        images: of them; None where it is not known.
    """

    name: str
    sha256: str = Field(pattern=SHA256)
    sha256_of: Literal["training images", "manifest file"] = "training images"
    vehicles: int = Field(gt=0)
    images: int | None = None


class WeightsSource(Part):
    """The published weights that a training started from."""

    name: str
    sha256: str = Field(pattern=SHA256)


class Machine(Part):
    """Where a training ran: operating system, processor or GPU, CPU threads."""

    system: str
    device: str
    threads: int


class RerankerTraining(Part):
    """Where a second stage comes from.

    Attributes:
        configuration: of the re-ranker's experiment; of its shape alone where nothing more is known.
        trained: False for one that compares the strips as the embedder makes them.
        lists: what its candidate lists were made of.
        checkpoint: which step's weights were kept, and by what.
    """

    configuration: dict[str, Any]
    trained: bool = True
    lists: dict[str, Any] = Field(default_factory=dict)
    checkpoint: dict[str, Any] = Field(default_factory=dict)


class Training(Part):
    """Where a model comes from.

    Attributes:
        data: learned from.
        weights: started from, or None.
        held_out_vehicles: of the validation or test split: not learned from, the accuracy is theirs. Empty
            where the manifest does not name them.
        seed: of the run.
        commands: that made the bundle, in order.
        commit: of the source tree, with a `+` where it was changed; None where it is not known.
        versions: package -> version.
        machine: that trained.
        embedder: the first stage's configuration.
        reranker: where the second stage comes from, or None for a first stage alone.
    """

    data: DataSource
    weights: WeightsSource | None = None
    held_out_vehicles: tuple[str, ...] = ()
    seed: int
    commands: tuple[str, ...] = ()
    commit: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    machine: Machine | None = None
    embedder: dict[str, Any]
    reranker: RerankerTraining | None = None


class Figures(Part):
    """Retrieval accuracy in percent over a number of queries.

    Attributes:
        queries: with at least one correct match in the gallery.
        mAP: mean average precision.
        cmc: rank -> share of queries with a correct match at that rank or better. For class retrieval this
            is Recall@rank.
        mINP: mean inverse negative penalty, or None where it was not measured.
    """

    queries: int = Field(gt=0)
    mAP: float = Field(ge=0, le=100)  # noqa: N815 - the field's name
    cmc: dict[int, float]
    mINP: float | None = None  # noqa: N815 - the field's name


class AccuracyRow(Figures):
    """What was measured of one network on one task.

    Attributes:
        name: `first stage` and `both stages` are the bundle's own rows; baselines have other names.
        task: of the data set, for instance "validation vehicles".
        protocol: `standard`: a query searches the task's gallery, without images of its own vehicle from its
            own camera; `cross-camera`: it searches the images of the other cameras; `drawn gallery`: one
            random image of each vehicle, in repeats (VehicleID); `class retrieval`: no camera is known, a
            query searches all other images. None where a manifest of format 1 did not say.
        gallery: images in it; None where queries search different galleries.
        by_querying_camera: the same of each camera's queries alone; empty where there are too many cameras.
        won: queries whose first match the second stage made correct; None for a first stage.
        lost: queries whose first match the second stage made wrong; None for a first stage.
    """

    name: str = Field(min_length=1)
    task: str
    protocol: Protocol | None
    gallery: int | None = None
    by_querying_camera: dict[str, Figures] = Field(default_factory=dict)
    won: int | None = None
    lost: int | None = None


class Accuracy(Part):
    """What was measured.

    Attributes:
        measured_on: the images, in words.
        rows: the bundle's own rows, and those of baselines that were measured beside it.
    """

    measured_on: str = Field(min_length=1)
    rows: tuple[AccuracyRow, ...]


class Manifest(Part):
    """Everything that the service knows of a model.

    Attributes:
        name: of the model, for people.
        format: version of this layout.
        input: what the embedder wants to see.
        descriptor_dim: length of a descriptor.
        strips: (s, d) of an image's strips, or None for a first stage alone.
        reranker: the second stage, or None.
        network: the embedder's configuration.
        training: where the model comes from, or None where that is not known.
        accuracy: measured results, or None where nothing was measured.
        shift: results before other cameras, or None where they were not measured.
        files: name -> size and hash.
        threshold: from which similarity on a match is called one, or None before calibration. It names the
            fingerprint that it was measured with, and a bundle with another one is refused.
        normalised_threshold: the same for descriptors that cameras were taken out of.
        activations: (branches, H, W) of the embedder's output `activations`, or None where it has none.
        supersedes: fingerprints by format 1 of bundles with this embedder. Their galleries hold the same
            descriptors and strips as this bundle's. See `models.superseded`.
    """

    name: str = Field(min_length=1)
    format: Literal[2] = FORMAT
    input: InputSpec
    descriptor_dim: int = Field(gt=0)
    strips: tuple[int, int] | None = None
    reranker: RerankerEntry | None = None
    network: dict[str, Any]
    training: Training | None = None
    accuracy: Accuracy | None = None
    shift: Shift | None = None
    files: dict[str, FileEntry]
    threshold: Threshold | None = None
    normalised_threshold: Threshold | None = None
    activations: tuple[int, int, int] | None = None
    supersedes: tuple[str, ...] = ()

    def threshold_for(self, camera: Literal["known", "global", "off"]) -> Threshold | None:
        """What holds for similarities of descriptors that were normalised so; None where nothing is known."""
        return self.threshold if camera == "off" else self.normalised_threshold

    def fingerprint(self) -> str:
        """SHA-256 of what decides descriptors and strips: the input, their shapes and the embedder's file.

        Texts, accuracy, threshold, re-ranker and explainer may change and galleries stay valid.
        """
        covered = {
            "input": self.input.model_dump(mode="json"),
            "descriptor_dim": self.descriptor_dim,
            "strips": self.strips,
            "embedder": self.files[EMBEDDER].sha256,
        }
        return canonical_hash(covered)


def canonical_hash(covered: dict[str, Any]) -> str:
    """SHA-256 of JSON types in one canonical spelling."""
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
