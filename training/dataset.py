"""What most of training needs of `training.datasets`, under one name."""

from __future__ import annotations

from training.datasets.image import DatasetError, VehicleImage
from training.datasets.manifest import read_manifest
from training.datasets.split import Split, split_by_identity

__all__ = ["DatasetError", "Split", "VehicleImage", "read_manifest", "split_by_identity"]
