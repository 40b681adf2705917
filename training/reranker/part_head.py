"""A head of parts, trained on the trunk's finished maps; no descriptor depends on it."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.network import LKAReID
from models.reranker import nearness
from models.strips import PartHead
from training.config.reranker import HeadTraining
from training.datasets.image import VehicleImage
from training.embedder.losses import contrastive
from training.features.cells import view_cells
from training.loading.augmentation import Augmentation

SCALE = 10.0
"""What a distance of parts is multiplied by before the contrastive loss's temperature of 1."""
SHARPNESS = 20.0
"""Of the untrained attention; see `RerankerConfig.sharpness`."""


def train_part_head(
    network: LKAReID,
    grid: tuple[int, int],
    images: list[VehicleImage],
    augmentation: Augmentation,
    source: random.Random,
    config: HeadTraining,
    *,
    bf16: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> PartHead:
    """A head for a network's parts, in evaluation mode.

    Parts learn from the distance that the second stage takes, along the attention of an untrained re-ranker:
    a part is to be like the part of the other image that shows the same place of the vehicle, wherever the
    crop has put it. The vehicles of a batch are of one domain.

    Args:
        network: in evaluation mode.
        grid: (rows, columns).
        images: that it was trained on.
        augmentation: changes the copies, and says what the network wants to see.
        source: draws the changes.
        config: of the training.
        bf16: run the network under bfloat16 autocast.
        report: called with the number of images and copies embedded.
    """
    torch.manual_seed(config.seed)
    device = next(network.parameters()).device
    head = PartHead(network.trunk.channels, network.config.trunk_map_size, grid, config.width).to(device)
    views = view_cells(network, head, images, config.views, augmentation, source, bf16=bf16, report=report)
    position = nearness(*grid).to(device)
    labels, domains = _numbered(images)
    optimiser = torch.optim.AdamW(head.parameters(), config.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, config.steps)
    drawing = torch.Generator().manual_seed(config.seed)
    for step in range(config.steps):
        rows = _batch(domains[step % len(domains)], config.vehicles, drawing)
        view = torch.randint(len(views), (len(rows),), generator=drawing)
        cells = torch.stack([views[v][row] for v, row in zip(view.tolist(), rows.tolist(), strict=True)])
        tokens = head.project([cells.float()])
        loss = contrastive(-SCALE * distances_along(tokens, position), labels[rows].to(device), 1.0)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 10.0)
        optimiser.step()
        schedule.step()
    return head.eval()


def distances_along(tokens: Tensor, position: Tensor) -> Tensor:
    """From each image to each, along the attention of an untrained re-ranker: `[B, s, d]` -> `[B, B]`.

    The numbers of `StripReranker` with one shared head and a grid, but no product of weights for each pair.

    Args:
        tokens: of unit length.
        position: `[s, s]`, see `models.reranker.nearness`.
    """
    count, parts = tokens.shape[:2]
    flat = tokens.flatten(0, 1)
    cosines = (flat @ flat.T).view(count, parts, count, parts).transpose(1, 2)
    scores = SHARPNESS * cosines + position
    looks = (scores.softmax(dim=-1) + scores.softmax(dim=-2)) / 2
    lengths = (2 - 2 * cosines).clamp_min(1e-12).sqrt()
    return (looks * lengths).sum(dim=-1).mean(dim=-1)


def _numbered(images: list[VehicleImage]) -> tuple[Tensor, list[list[list[int]]]]:
    """Labels `[N]`, and of each domain the positions of each vehicle's images."""
    number = {name: i for i, name in enumerate(sorted({image.vehicle_id for image in images}))}
    members: dict[str, dict[str, list[int]]] = {}
    for position, image in enumerate(images):
        members.setdefault(image.domain, {}).setdefault(image.vehicle_id, []).append(position)
    labels = torch.tensor([number[image.vehicle_id] for image in images])
    return labels, [list(vehicles.values()) for vehicles in members.values()]


def _batch(vehicles: list[list[int]], count: int, drawing: torch.Generator) -> Tensor:
    """Positions of two images of each of `count` vehicles."""
    chosen = torch.randperm(len(vehicles), generator=drawing)[:count].tolist()
    rows = []
    for vehicle in chosen:
        own = vehicles[vehicle]
        order = torch.randperm(len(own), generator=drawing).tolist()
        rows += [own[order[0]], own[order[1 % len(own)]]]
    return torch.tensor(rows)
