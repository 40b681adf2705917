"""The embedder's losses over its branches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses import BranchBatch, losses_of
from models.network import Branch, TrainingOutput
from training.config.losses import LossConfig
from training.distributed import Process
from training.embedder.losses import contrastive


def embedder_loss(
    branches: Sequence[Branch],
    output: TrainingOutput,
    labels: Tensor,
    config: LossConfig,
    process: Process | None = None,
) -> dict[str, Tensor]:
    """The weighted losses by name; their sum is what is minimised.

    A branch's losses are those it names; each is the mean over the branches that have it.

    Args:
        branches: of the network.
        output: of this process's part of the batch.
        labels: `[B]` identities of it.
        config: the weights.
        process: this one; None for the only one.
    """
    process = process or Process()
    everyone = process.all_gather(labels)
    found: dict[str, list[Tensor]] = {}
    weights = config.model_dump()
    for branch, pooled, normalised, logits in zip(
        branches, output.pooled, output.normalised, output.logits, strict=True
    ):
        batch = BranchBatch(pooled, normalised, logits, labels, everyone, process.all_gather)
        for name, loss in losses_of(branch.loss).items():
            if weights[name]:
                found.setdefault(name, []).append(loss.compute(batch, config))
    losses = {name: weights[name] * torch.stack(each).mean() for name, each in found.items()}
    if config.descriptor:
        descriptor = F.normalize(torch.cat([n.float() for n in output.normalised], dim=1), dim=1)
        descriptor = process.all_gather(descriptor)
        losses["descriptor"] = config.descriptor * contrastive(
            descriptor @ descriptor.T, everyone, config.temperature
        )
    if config.strips and output.strips is not None:
        strips = process.all_gather(output.strips.float().flatten(1))
        similarities = strips @ strips.T / output.strips.shape[1]
        losses["strips"] = config.strips * contrastive(similarities, everyone, config.temperature)
    if not losses:
        raise ValueError("no loss is left: every weight is 0, or no branch has a loss that has one")
    return losses
