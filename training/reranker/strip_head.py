"""Strip heads for every choice of strips, trained on the bands of the embedder's own training images."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.network import LKAReID
from models.pooling import pooling_matrix
from models.strips import StripHead
from training.config.reranker import HeadTraining
from training.datasets.image import VehicleImage
from training.embedder.losses import contrastive
from training.features.bands import Bands, view_bands
from training.loading.augmentation import Augmentation


@dataclass(frozen=True)
class StripChoice:
    """One way to cut a vehicle into strips.

    Attributes:
        rows: horizontal strips a branch.
        columns: vertical strips a branch.
        mixers: of the branches that give strips; None for all of them.
        width: features of a strip.
    """

    rows: int = 4
    columns: int = 0
    mixers: tuple[str, ...] | None = None
    width: int = 256

    def bands(self, bands: Bands) -> list[Tensor]:
        """Of each chosen branch `[N, rows + columns, F]`.

        Raises:
            ValueError: no branch has the mixers.
        """
        chosen = bands.of_mixers(bands.mixers if self.mixers is None else self.mixers)
        parts = [
            pooling_matrix(kept.shape[2], count).to(kept.device) @ kept[:, chosen].float()
            for kept, count in ((bands.rows, self.rows), (bands.columns, self.columns))
            if count
        ]
        return list(torch.cat(parts, dim=2).unbind(1))


def train_head(choice: StripChoice, views: Sequence[Bands], config: HeadTraining) -> StripHead:
    """A head for a choice of strips, in evaluation mode.

    Args:
        choice: of the strips.
        views: of the embedder's training images, the unchanged ones and changed copies.
        config: of the training.
    """
    torch.manual_seed(config.seed)
    device = views[0].rows.device
    names = [image.vehicle_id for image in views[0].images]
    number = {name: i for i, name in enumerate(sorted(set(names)))}
    labels = torch.tensor([number[name] for name in names], device=device)
    members = [torch.nonzero(labels == i).flatten() for i in range(len(number))]
    cut = [choice.bands(view) for view in views]
    head = StripHead(len(cut[0]), views[0].rows.shape[3], 1, 1, choice.width).to(device)
    optimiser = torch.optim.AdamW(head.parameters(), config.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, config.steps)
    pool = [torch.cat([view[branch] for view in cut]) for branch in range(len(cut[0]))]
    source = torch.Generator().manual_seed(config.seed)

    def drawn(high: int, count: int) -> list[int]:
        return torch.randint(high, (count,), generator=source).tolist()

    for _ in range(config.steps):
        vehicles = torch.randperm(len(members), generator=source)[: config.vehicles].tolist()
        rows = torch.stack([members[v][i] for v in vehicles for i in _two(len(members[v]), source)])
        shifted = rows + len(names) * torch.tensor(drawn(len(views), len(rows)), device=device)
        tokens = head.project([each[shifted] for each in pool]).flatten(1)
        count = tokens.shape[1] // choice.width
        loss = contrastive(tokens @ tokens.T / count, labels[rows], config.temperature)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 10.0)
        optimiser.step()
        schedule.step()
    return head.eval()


def own_head(
    network: LKAReID,
    images: list[VehicleImage],
    augmentation: Augmentation,
    source: random.Random,
    config: HeadTraining,
    *,
    bf16: bool = True,
    report: Callable[[int], None] = lambda _: None,
) -> StripHead:
    """A head of strips for a network, trained on its finished maps; no descriptor depends on it.

    Args:
        network: with strips, in evaluation mode.
        images: that it was trained on.
        augmentation: changes the copies, and says what the network wants to see.
        source: draws the changes.
        config: of the training.
        bf16: run the network under bfloat16 autocast.
        report: called with the number of images and copies embedded.
    """
    views = view_bands(network, images, config.views, augmentation, source, bf16=bf16, report=report)
    choice = StripChoice(rows=network.config.strips, width=network.config.strip_width)
    return train_head(choice, views, config)


def _two(count: int, source: torch.Generator) -> list[int]:
    """Two different ones of `count`, or one twice."""
    return torch.randperm(count, generator=source)[:2].tolist() if count > 1 else [0, 0]


def tokens(head: StripHead, choice: StripChoice, bands: Bands) -> Tensor:
    """The strips `[N, s, w]` of unit length."""
    with torch.inference_mode():
        return head.project(choice.bands(bands))
