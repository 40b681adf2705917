"""Contrastive loss, on a descriptor or on strips, and distillation to a start."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


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
    # Not by indexing with a mask: how many rows that gives, the host would have to wait for.
    return -(total / count.clamp_min(1)).sum() / (count > 0).sum()


def distillation(normalised: list[Tensor], start: Tensor) -> Tensor:
    """How far descriptors are from those of the start: the mean of 1 - cosine, a scalar.

    Args:
        normalised: `[B, F]` of each branch, after batch norm.
        start: descriptors `[B, branches * F]` of the same images, unchanged, L2-normalised.
    """
    descriptor = F.normalize(torch.cat([each.float() for each in normalised], dim=1), dim=1)
    return (1 - (descriptor * start).sum(dim=1)).mean()
