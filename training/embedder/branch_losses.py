"""The embedder's losses over its branches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.network import Branch, TrainingOutput
from training.config.embedder import LossConfig
from training.distributed import Process
from training.embedder.losses import batch_hard_triplet, contrastive


def embedder_loss(
    branches: Sequence[Branch],
    output: TrainingOutput,
    labels: Tensor,
    config: LossConfig,
    process: Process | None = None,
) -> dict[str, Tensor]:
    """The weighted losses by name; their sum is what is minimised.

    What compares images sees those of all processes; the cross-entropy is that of this process's own.

    Args:
        branches: of the network.
        output: of this process's part of the batch.
        labels: `[B]` identities of it.
        config: the weights.
        process: this one; None for the only one.
    """
    process = process or Process()
    everyone = process.gather(labels)
    entropies, triplets = [], []
    for branch, pooled, logits in zip(branches, output.pooled, output.logits, strict=True):
        if branch.loss != "triplet" and config.cross_entropy:
            present = _present(logits).float()
            entropies.append(F.cross_entropy(present, labels, label_smoothing=config.label_smoothing))
        if branch.loss != "cross_entropy" and config.triplet:
            triplets.append(batch_hard_triplet(process.gather(pooled.float()), everyone, config.margin))
    losses = {}
    if entropies:
        losses["cross_entropy"] = config.cross_entropy * torch.stack(entropies).mean()
    if triplets:
        losses["triplet"] = config.triplet * torch.stack(triplets).mean()
    if config.descriptor:
        descriptor = F.normalize(torch.cat([n.float() for n in output.normalised], dim=1), dim=1)
        descriptor = process.gather(descriptor)
        losses["descriptor"] = config.descriptor * contrastive(
            descriptor @ descriptor.T, everyone, config.temperature
        )
    if config.strips and output.strips is not None:
        strips = process.gather(output.strips.float().flatten(1))
        similarities = strips @ strips.T / output.strips.shape[1]
        losses["strips"] = config.strips * contrastive(similarities, everyone, config.temperature)
    if not losses:
        raise ValueError("no loss is left: every weight is 0, or no branch has a loss that has one")
    return losses


def _present(logits: Tensor | None) -> Tensor:
    if logits is None:
        raise ValueError("a cross-entropy branch needs a network made with identities")
    return logits
