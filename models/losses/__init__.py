"""Branch losses: what a branch of the network learns from, a file each.

Each file in this folder registers its own in `LOSSES`, with its keys of the configuration; nothing else names
a loss. `Branch.loss` is the name of one, or of several joined by `+`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from models.registry import Registry


class LossSettings(BaseModel):
    """The keys of a loss in the section `losses` of a configuration; its weight has the loss's own name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Statistics(Protocol):
    """What a loss knows of all images of an epoch; a module, so that checkpoints hold its buffers.

    Attributes:
        ended: epochs that it was refreshed after.
    """

    @property
    def ended(self) -> int: ...

    def observe(self, features: Tensor, early: Tensor, labels: Tensor) -> None:
        """Count a step's images, of all processes.

        Args:
            features: pooled, `[N, F]`.
            early: means of the trunk's map, `[N, E]`.
            labels: identities, `[N]`.
        """

    def refresh(self) -> dict[str, float]:
        """End an epoch; figures of it by name."""


class BranchBatch(NamedTuple):
    """What a branch's loss sees of a batch.

    Attributes:
        pooled: `[B, F]`, before batch norm.
        normalised: `[B, F]`, after batch norm.
        logits: `[B, identities]`, or None for a branch without a classifier.
        labels: `[B]` identities of this process's images.
        all_labels: `[N]`, those of all processes' images.
        gather: all-gather: `[B, ...]` of this process -> `[N, ...]` of all, with gradients.
        early: `[B, E]`, the mean of the trunk's map, which all branches begin from.
        statistics: of the epochs before, where the branch has a loss that needs them.
    """

    pooled: Tensor
    normalised: Tensor
    logits: Tensor | None
    labels: Tensor
    all_labels: Tensor
    gather: Callable[[Tensor], Tensor]
    early: Tensor | None = None
    statistics: Statistics | None = None


@dataclass(frozen=True)
class BranchLoss:
    """A loss and what it needs of its branch.

    Attributes:
        compute: a batch and its settings -> a scalar, before it is weighted.
        settings: its keys.
        classifier: whether its branch has a classifier.
        statistics: makes what it knows of an epoch's images, a module, from the identities, F, E and its
            settings; None where it needs nothing.
        warm_up: epochs before it joins, of its settings; until then a branch that has it learns from its
            cross-entropy alone, or, without one, from its other losses.
    """

    compute: Callable[[BranchBatch, Any], Tensor]
    settings: type[LossSettings]
    classifier: bool = False
    statistics: Callable[[int, int, int, Any], nn.Module] | None = None
    warm_up: Callable[[Any], int] | None = None


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
