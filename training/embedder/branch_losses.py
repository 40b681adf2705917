"""The embedder's losses over its branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.head import TrainingOutput
from models.losses import BranchBatch, BranchLoss, Statistics, losses_of
from models.shape import Branch
from training.config.losses import LossConfig
from training.distributed import Process
from training.embedder.losses import contrastive
from training.embedder.memory import ClusterMemory


def embedder_loss(
    branches: Sequence[Branch],
    output: TrainingOutput,
    labels: Tensor,
    config: LossConfig,
    process: Process | None = None,
    statistics: Mapping[int, Statistics] | None = None,
    memory: ClusterMemory | None = None,
) -> dict[str, Tensor]:
    """The weighted losses by name; their sum is what is minimised.

    A branch's losses are those it names; each is the mean over the branches that have it. Statistics count
    the batch on the way.

    Args:
        branches: of the network.
        output: of this process's part of the batch.
        labels: `[B]` identities of it.
        config: the weights.
        process: this one; None for the only one.
        statistics: of the branches that have some, by number.
        memory: of all identities' centres, where `config.clusters` wants one.
    """
    process = process or Process()
    statistics = statistics or {}
    everyone = process.all_gather(labels)
    found: dict[str, list[Tensor]] = {}
    weights = config.model_dump()
    for number, (branch, pooled, normalised, logits) in enumerate(
        zip(branches, output.pooled, output.normalised, output.logits, strict=True)
    ):
        own = statistics.get(number)
        if own is not None and output.early is not None:
            seen, early = (process.all_gather(each.detach().float()) for each in (pooled, output.early))
            own.observe(seen, early, everyone)
        batch = BranchBatch(
            pooled, normalised, logits, labels, everyone, process.all_gather, output.early, own
        )
        for name, loss in active_losses(branch, weights, config, own).items():
            found.setdefault(name, []).append(loss.compute(batch, config))
    losses = {name: weights[name] * torch.stack(each).mean() for name, each in found.items()}
    if config.descriptor or memory is not None:
        descriptor = F.normalize(torch.cat([n.float() for n in output.normalised], dim=1), dim=1)
        descriptor = process.all_gather(descriptor)
        if config.descriptor:
            losses["descriptor"] = config.descriptor * contrastive(
                descriptor @ descriptor.T, everyone, config.temperature
            )
        if memory is not None:
            losses["clusters"] = config.clusters * memory.contrast(descriptor, everyone)
    if config.strips and output.strips is not None:
        strips = process.all_gather(output.strips.float().flatten(1))
        similarities = strips @ strips.T / output.strips.shape[1]
        losses["strips"] = config.strips * contrastive(similarities, everyone, config.temperature)
    if not losses:
        raise ValueError("no loss is left: every weight is 0, or no branch has a loss that has one")
    return losses


def active_losses(
    branch: Branch, weights: Mapping[str, Any], config: LossConfig, statistics: Statistics | None
) -> dict[str, BranchLoss]:
    """The losses that a branch learns from in this epoch, by name.

    Args:
        branch: of the network.
        weights: by name; 0 switches a loss off.
        config: of the losses.
        statistics: of the branch, which know the epoch.
    """
    losses = {name: loss for name, loss in losses_of(branch.loss).items() if weights[name]}
    epochs = 0 if statistics is None else statistics.ended
    cold = {name for name, loss in losses.items() if loss.warm_up and epochs < loss.warm_up(config)}
    if not cold:
        return losses
    if "cross_entropy" in losses:
        return {"cross_entropy": losses["cross_entropy"]}
    return {name: loss for name, loss in losses.items() if name not in cold}


def branch_statistics(
    branches: Sequence[Branch], classes: int, features: int, early: int, config: LossConfig
) -> dict[int, Statistics]:
    """What the branches' losses know of an epoch's images, by the number of the branch.

    Args:
        branches: of the network.
        classes: identities to tell apart.
        features: length of a branch's pooled feature.
        early: channels of the trunk's map.
        config: of the losses.

    Raises:
        ValueError: a branch has two losses that keep statistics.
    """
    found: dict[int, Statistics] = {}
    for number, branch in enumerate(branches):
        for name, loss in losses_of(branch.loss).items():
            if loss.statistics is None:
                continue
            if number in found:
                raise ValueError(f"{branch.loss}: two losses that keep statistics; {name} is one")
            made: nn.Module = loss.statistics(classes, features, early, config)
            found[number] = cast(Statistics, made)
    return found
