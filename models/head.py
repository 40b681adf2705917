"""The end of a branch, and what the losses see of all of them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from models.losses import losses_of


class Head(nn.Module):
    """BNNeck: batch norm with a frozen zero bias, and a classifier without bias where a loss needs one."""

    def __init__(self, features: int, loss: str, identities: int) -> None:
        super().__init__()
        self.neck = nn.BatchNorm1d(features)
        self.neck.bias.requires_grad_(False)
        classifies = identities > 0 and any(each.classifier for each in losses_of(loss).values())
        self.classifier = nn.Linear(features, identities, bias=False) if classifies else None
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pooled `[B, F]` -> normalised `[B, F]` and, where there is a classifier, logits."""
        normalised = self.neck(pooled)
        return normalised, self.classifier(normalised) if self.classifier is not None else None


class TrainingOutput(NamedTuple):
    """What the losses see; lists run over the branches.

    Attributes:
        pooled: `[B, F]` each, before batch norm.
        normalised: `[B, F]` each, after batch norm.
        logits: `[B, identities]`, or None in branches without a classifier.
        strips: `[B, s, d]` of all branches, or None without strips.
        early: `[B, C]`, the mean of the trunk's map, or None where nobody asks for it.
    """

    pooled: list[Tensor]
    normalised: list[Tensor]
    logits: list[Tensor | None]
    strips: Tensor | None
    early: Tensor | None = None
