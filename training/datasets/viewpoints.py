"""Side information (LAI): which camera and view an image has, as the number of its learned vector."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from training.datasets.image import DatasetError, VehicleImage

Kind = Literal["none", "camera", "view", "camera-view"]
UNKNOWN = -1


@dataclass(frozen=True)
class Viewpoints:
    """The cameras and views of the training images.

    Attributes:
        cameras: that have a vector; one empty name where cameras are not looked at.
        views: likewise.
        shares: of the training images that have each viewpoint, 0..1; the rest have an unknown one.
    """

    cameras: tuple[str, ...]
    views: tuple[str, ...]
    shares: tuple[float, ...] = ()

    @classmethod
    def of(cls, images: Sequence[VehicleImage], kind: Kind) -> Viewpoints | None:
        """Those that occur in the training images, or None without side information.

        Raises:
            DatasetError: not one camera, or view, is known.
        """
        if kind == "none":
            return None
        cameras = tuple(sorted({image.camera_id for image in images} - {""})) if "camera" in kind else ("",)
        views = tuple(sorted({image.view for image in images} - {""})) if "view" in kind else ("",)
        for name, found in (("camera", cameras), ("view", views)):
            if not found:
                raise DatasetError(
                    f"network.side_information is {kind}, but no training image has a {name}; "
                    "add it to the data, or set it to none"
                )
        known = cls(cameras, views)
        counts = Counter(known.numbers(images))
        return replace(known, shares=tuple(counts[number] / len(images) for number in range(len(known))))

    def __len__(self) -> int:
        """Vectors a branch: cameras x views."""
        return len(self.cameras) * len(self.views)

    def number(self, image: VehicleImage) -> int:
        """camera * views + view; -1 where one of them is not known, or was not in training."""
        camera = image.camera_id if self.cameras != ("",) else ""
        view = image.view if self.views != ("",) else ""
        if camera not in self.cameras or view not in self.views:
            return UNKNOWN
        return self.cameras.index(camera) * len(self.views) + self.views.index(view)

    def numbers(self, images: Sequence[VehicleImage]) -> list[int]:
        """Of several images."""
        return [self.number(image) for image in images]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)
