"""A detector as a folder: `manifest.json` and the ONNX file that it describes, checked by size and hash."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from models.bundle import MANIFEST, BundleError, check_files
from models.detection.vehicle import VehicleType
from models.manifest import FileEntry
from models.part import Part

DETECTOR = "detector.onnx"
DEFAULT_DETECTOR = Path(__file__).parents[1] / "bundles" / "detector"


class DetectorManifest(Part):
    """What is known of a detector.

    Attributes:
        name: as people call it.
        kind: how its answers are read.
        height: px that it sees; a multiple of the coarsest grid's 32.
        width: px.
        classes: index of a class among the network's -> the type that it stands for.
        person: index of the class of people, whose boxes complete those of motorcycles and bicycles; None
            where it finds none.
        score: what a vehicle's score has to reach.
        overlap: intersection over union from which on two boxes are of one vehicle.
        margin: of a crop, as a share of the box on each side: that of the images which the embedder was
            trained on.
        source: where the file comes from.
        licence: of the file.
        files: its hash and size.
    """

    name: str = Field(min_length=1)
    kind: Literal["yolox"]
    height: int = Field(gt=0, le=4096, multiple_of=32)
    width: int = Field(gt=0, le=4096, multiple_of=32)
    classes: dict[int, VehicleType] = Field(min_length=1)
    person: int | None = Field(default=None, ge=0)
    score: float = Field(gt=0, le=1)
    overlap: float = Field(gt=0, le=1)
    margin: float = Field(ge=0, le=1)
    source: str
    licence: str
    files: dict[str, FileEntry]

    @field_validator("classes")
    @classmethod
    def _are_indices(cls, classes: dict[int, VehicleType]) -> dict[int, VehicleType]:
        if min(classes) < 0:
            raise ValueError("a class's index is 0 or more")
        return classes


@dataclass(frozen=True)
class DetectorBundle:
    """A detector on disk whose file has been checked against its manifest."""

    path: Path
    manifest: DetectorManifest

    @classmethod
    def load(cls, path: Path) -> DetectorBundle:
        """Read and check a detector's folder.

        Raises:
            BundleError: there is none, its manifest does not read, or a file is missing or changed.
        """
        place = path / MANIFEST
        try:
            manifest = DetectorManifest.model_validate_json(place.read_bytes())
        except OSError as error:
            raise BundleError(
                f"{place}: {error.strerror}; a detector is a folder with {MANIFEST} and {DETECTOR}"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise BundleError(f"{place}: {where}: {first['msg']}") from None
        if DETECTOR not in manifest.files:
            raise BundleError(f"{place}: lists no {DETECTOR}")
        check_files(path, manifest.files)
        return cls(path, manifest)

    @property
    def file(self) -> Path:
        """The ONNX file."""
        return self.path / DETECTOR

    def described(self) -> dict[str, Any]:
        """What a process needs to load it, as JSON types; see `models.detection.loading`."""
        chosen: dict[str, Any] = self.manifest.model_dump(
            mode="json", include={"kind", "height", "width", "classes", "person", "score", "overlap"}
        )
        classes = {str(index): kind for index, kind in chosen["classes"].items()}
        sha256 = self.manifest.files[DETECTOR].sha256
        return chosen | {"classes": classes, "file": str(self.file.resolve()), "sha256": sha256}
