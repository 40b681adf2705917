"""Branch losses: what a branch of the network learns from, a file each.

Each file in this folder registers its own in `LOSSES`, with its keys of the configuration; nothing else names
a loss. `Branch.loss` is the name of one, or of several joined by `+`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from models.registry import Registry


class LossSettings(BaseModel):
    """The keys of a loss in the section `losses` of a configuration; its weight has the loss's own name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BranchBatch(NamedTuple):
    """What a branch's loss sees of a batch.

    Attributes:
        pooled: `[B, F]`, before batch norm.
        normalised: `[B, F]`, after batch norm.
        logits: `[B, identities]`, or None for a branch without a classifier.
        labels: `[B]` identities of this process's images.
        all_labels: `[N]`, those of all processes' images.
        gather: all-gather: `[B, ...]` of this process -> `[N, ...]` of all, with gradients.
    """

    pooled: Tensor
    normalised: Tensor
    logits: Tensor | None
    labels: Tensor
    all_labels: Tensor
    gather: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class BranchLoss:
    """A loss and what it needs of its branch.

    Attributes:
        compute: a batch and its settings -> a scalar, before it is weighted.
        settings: its keys.
        classifier: whether its branch has a classifier.
    """

    compute: Callable[[BranchBatch, Any], Tensor]
    settings: type[LossSettings]
    classifier: bool = False


LOSSES: Registry[BranchLoss] = Registry("loss")
SHORT = {"both": "cross_entropy+triplet"}
"""Names of sums that checkpoints and configurations use."""


def losses_of(name: str) -> dict[str, BranchLoss]:
    """The losses of a branch by name.

    Args:
        name: of one, of several joined by `+`, or a key of `SHORT`.

    Raises:
        ValueError: there is no such loss; the message lists those that there are.
    """
    return {part: LOSSES.named(part) for part in SHORT.get(name, name).split("+")}


LOSSES.import_folder(__name__, __path__)
