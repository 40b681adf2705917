"""Batch-hard triplet loss."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from models.losses import LOSSES, BranchBatch, BranchLoss, LossSettings


class TripletSettings(LossSettings):
    """Keys of the triplet loss."""

    triplet: float = Field(
        default=1.0, ge=0, description="batch-hard triplet, mean over the branches that have it"
    )
    margin: float | None = Field(
        default=0.1, gt=0, description="of the triplet loss; null for the soft margin"
    )


def batch_hard_triplet(features: Tensor, labels: Tensor, margin: float | None) -> Tensor:
    """Batch-hard triplet loss on Euclidean distances (Hermans et al., 2017).

    Args:
        features: `[B, F]`, unnormalised as in the MBR baseline.
        labels: `[B]` identities; at least two of them in the batch.
        margin: hinge margin, or None for the soft margin log(1 + exp(d_ap - d_an)).

    Returns:
        The mean over the anchors, a scalar.
    """
    squared = (features.unsqueeze(0) - features.unsqueeze(1)).square().sum(dim=2)
    distances = squared.clamp_min(1e-12).sqrt()
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    hardest_positive = distances.masked_fill(~same, -torch.inf).amax(dim=1)
    hardest_negative = distances.masked_fill(same, torch.inf).amin(dim=1)
    gap = hardest_positive - hardest_negative
    return (F.softplus(gap) if margin is None else F.relu(gap + margin)).mean()


def triplet(batch: BranchBatch, settings: TripletSettings) -> Tensor:
    """The mean over the images of all processes."""
    return batch_hard_triplet(batch.gather(batch.pooled.float()), batch.all_labels, settings.margin)


LOSSES.register("triplet", BranchLoss(triplet, TripletSettings))
