"""Cross-entropy of the identities."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from models.losses import LOSSES, BranchBatch, BranchLoss, LossSettings


class CrossEntropySettings(LossSettings):
    """Keys of the cross-entropy."""

    cross_entropy: float = Field(default=0.6, ge=0, description="mean over the branches that have it")
    label_smoothing: float = Field(default=0.1, ge=0, le=1, description="of the cross-entropy")


def cross_entropy(batch: BranchBatch, settings: CrossEntropySettings) -> Tensor:
    """The mean over this process's images.

    Raises:
        ValueError: the network was made without identities.
    """
    if batch.logits is None:
        raise ValueError("a cross-entropy branch needs a network made with identities")
    return F.cross_entropy(batch.logits.float(), batch.labels, label_smoothing=settings.label_smoothing)


LOSSES.register("cross_entropy", BranchLoss(cross_entropy, CrossEntropySettings, classifier=True))
