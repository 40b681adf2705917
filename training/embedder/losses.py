"""Losses of the embedder."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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


def contrastive(similarities: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss over a batch's own similarities (Khosla et al., 2020, L_out).

    Args:
        similarities: `[B, B]`, the diagonal is not looked at.
        labels: `[B]` identities.
        temperature: divides the similarities.

    Returns:
        The mean over the anchors that have a positive, a scalar.
    """
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    scores = (similarities / temperature).masked_fill(itself, -torch.inf)
    log_probability = scores - scores.logsumexp(dim=1, keepdim=True)
    positive = (labels.unsqueeze(0) == labels.unsqueeze(1)) & ~itself
    count = positive.sum(dim=1)
    total = log_probability.masked_fill(~positive, 0).sum(dim=1)
    return -(total[count > 0] / count[count > 0]).mean()
