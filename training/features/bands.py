"""Bands: what every choice of strips is made from, so that all choices see one embedder's same maps."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.inputspec import InputSpec
from models.network import LKAReID
from training.datasets.image import VehicleImage
from training.features.extract import Features
from training.loading.augmentation import Augmentation
from training.loading.images import prepared

MIXERS = "mixers"


@dataclass(frozen=True)
class Bands:
    """What a frozen embedder says of N images, before strips are made of it.

    Attributes:
        images: the N images.
        descriptors: float32 `[N, d]`, L2-normalised, on the CPU.
        rows: float16 `[N, branches, H, F]`: each branch's map, averaged over its width.
        columns: float16 `[N, branches, W, F]`: averaged over its height.
        joint: float16 `[N, s, w]`: the strips of the embedder's own head, or None without one.
        mixers: of the branches, in the order of the maps.

    Raises:
        ValueError: maps of another number of branches.
    """

    images: list[VehicleImage]
    descriptors: Tensor
    rows: Tensor
    columns: Tensor
    joint: Tensor | None
    mixers: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.rows.shape[1] == self.columns.shape[1] == len(self.mixers):
            raise ValueError(
                f"bands of {self.rows.shape[1]} and {self.columns.shape[1]} branches for the mixers "
                f"{', '.join(self.mixers)}"
            )

    def of_mixers(self, names: Sequence[str]) -> list[int]:
        """The branches that have one of these mixers.

        Raises:
            ValueError: none has.
        """
        found = [place for place, mixer in enumerate(self.mixers) if mixer in names]
        if not found:
            raise ValueError(
                f"no branch has the mixer {' or '.join(names)}; there are {', '.join(self.mixers)}"
            )
        return found

    def features(self, strips: Tensor) -> Features:
        """As features with these strips `[N, s, w]`."""
        return Features(self.images, self.descriptors.numpy(), strips.float().cpu().numpy())


def extract_bands(
    network: LKAReID,
    images: list[VehicleImage],
    spec: InputSpec,
    *,
    batch: int = 64,
    bf16: bool = True,
    augmentation: Augmentation | None = None,
    source: random.Random | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> Bands:
    """Embed images with a network in evaluation mode, on the device that it is on.

    Args:
        network: the embedder.
        images: what to embed.
        spec: what it wants to see.
        batch: images at a time.
        bf16: run under bfloat16 autocast; slower than without on a CPU that does not compute in it.
        augmentation: change the images first, drawing from `source`.
        source: random generator, needed with `augmentation`.
        report: called with the number of images done.

    Raises:
        DatasetError: an image cannot be read; the message names the file.
    """
    network.eval()
    device = next(network.parameters()).device
    descriptors, rows, columns, joint = [], [], [], []
    done = 0
    for inputs in prepared(images, spec, batch, augmentation, source):
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            maps = network.maps(inputs.to(device))
            descriptors.append(network.describe(network.pool(maps)).float().cpu())
            if network.strip_head is not None:
                joint.append(network.strip_head(maps).half())
        with torch.inference_mode():
            stacked = torch.stack([branch_map.float() for branch_map in maps], dim=1)
            rows.append(stacked.mean(dim=4).transpose(2, 3).half())
            columns.append(stacked.mean(dim=3).transpose(2, 3).half())
        done += len(inputs)
        report(done)
    return Bands(
        images,
        torch.cat(descriptors),
        torch.cat(rows),
        torch.cat(columns),
        torch.cat(joint) if joint else None,
        tuple(branch.mixer for branch in network.config.branches),
    )


def view_bands(
    network: LKAReID,
    images: list[VehicleImage],
    views: int,
    augmentation: Augmentation,
    source: random.Random,
    *,
    bf16: bool = True,
    report: Callable[[int], None] = lambda _: None,
) -> list[Bands]:
    """Bands of the images as they are, and of `views` changed copies of each.

    Args:
        network: the embedder.
        images: what to embed.
        views: changed copies of each image.
        augmentation: changes the copies, and says what the network wants to see.
        source: of the changes.
        bf16: run under bfloat16 autocast.
        report: called with the number of images and copies done.

    Raises:
        DatasetError: an image cannot be read; the message names the file.
    """

    def of(view: int) -> Bands:
        return extract_bands(
            network,
            images,
            augmentation.spec,
            bf16=bf16,
            augmentation=augmentation if view else None,
            source=source,
            report=lambda done: report(view * len(images) + done),
        )

    return [of(view) for view in range(views + 1)]


def save_bands(path: Path, views: Sequence[Bands]) -> None:
    """Write views of the same images (the images themselves are the caller's to know)."""
    tensors: dict[str, Tensor] = {}
    for number, view in enumerate(views):
        parts = {"descriptors": view.descriptors, "rows": view.rows, "columns": view.columns}
        if view.joint is not None:
            parts["joint"] = view.joint
        tensors |= {f"{number}.{name}": part.contiguous().cpu() for name, part in parts.items()}
    draft = path.with_suffix(".draft")
    save_file(tensors, draft, {MIXERS: ",".join(views[0].mixers)})
    draft.replace(path)


def load_bands(path: Path, images: list[VehicleImage], device: torch.device | str = "cpu") -> list[Bands]:
    """The views that `save_bands` wrote, all but their descriptors on a device.

    Raises:
        ValueError: the file does not say which mixers its branches have.
    """
    with safe_open(path, "pt", device=str(device)) as file:
        mixers = (file.metadata() or {}).get(MIXERS)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    if mixers is None:
        raise ValueError(
            f"{path}: does not say which mixers its branches have; remove it to have it made anew"
        )
    return [
        Bands(
            images,
            tensors[f"{number}.descriptors"].cpu(),
            tensors[f"{number}.rows"],
            tensors[f"{number}.columns"],
            tensors.get(f"{number}.joint"),
            tuple(mixers.split(",")),
        )
        for number in range(sum(name.endswith(".rows") for name in tensors))
    ]
