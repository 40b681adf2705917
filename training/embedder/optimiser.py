"""Learning rates over the steps of a training, and the optimiser they drive."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from models.mixers import MIXERS
from models.network import LKAReID
from training.config.embedder import OptimiserConfig, ScheduleConfig

NEW = ("heads.", "strip_head.", "side_information", "poolings.")


def make_optimiser(network: LKAReID, config: OptimiserConfig) -> torch.optim.Optimizer:
    """The optimiser over all parameters that learn, those without pretrained weights at their own rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decays = config.decay_all or parameter.ndim > 1
            groups.setdefault((_is_new(network, name), decays), []).append(parameter)
    settings = [
        {
            "params": parameters,
            "lr": config.learning_rate * (config.new_rate if new else 1.0),
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (new, decays), parameters in groups.items()
    ]
    fused = fused_on(next(network.parameters()).device)
    if config.name == "adam":
        return torch.optim.Adam(settings, fused=fused)
    if config.name == "adamw":
        return torch.optim.AdamW(settings, fused=fused)
    return torch.optim.SGD(settings, momentum=0.9, fused=fused)


def fused_on(device: torch.device) -> bool | None:
    """What `fused` of an optimiser is to be: True on a GPU, torch's choice elsewhere."""
    return True if device.type == "cuda" else None


def _is_new(network: LKAReID, name: str) -> bool:
    if name.startswith("branches.") and ".conv2." in name:
        return not MIXERS.named(network.config.branches[int(name.split(".")[1])].mixer).pretrained
    return name.startswith(NEW)


def make_schedule(optimiser: torch.optim.Optimizer, config: ScheduleConfig, an_epoch: int) -> LRScheduler:
    """The schedule, stepped once after every step of the optimiser.

    Args:
        optimiser: whose rates are the peaks.
        config: the shape.
        an_epoch: steps in an epoch.
    """
    if config.name == "one-cycle" and config.epochs:
        peaks = [group["lr"] for group in optimiser.param_groups]
        steps = an_epoch * config.epochs
        rising = config.warm_up / config.epochs
        if config.warm_up * an_epoch == 1:
            # It rises over two steps and falls over the rest; without either OneCycleLR divides by 0.
            rising = (2 if steps > 2 else 1.5) / steps
        return OneCycleLR(optimiser, peaks, total_steps=steps, pct_start=rising)
    return LambdaLR(optimiser, factor(config, an_epoch))


def factor(config: ScheduleConfig, an_epoch: int) -> Callable[[int], float]:
    """Steps made so far -> factor on the peak, for all shapes but one-cycle.

    The warm-up is linear and never 0: its first step has one part of it. Milestones count whole epochs,
    those of the warm-up included.
    """
    warm_up = config.warm_up * an_epoch

    def at(step: int) -> float:
        if step < warm_up:
            return min(1.0, (step + 1) / warm_up)
        if config.name == "step":
            return config.factor ** sum(step >= milestone * an_epoch for milestone in config.milestones)
        if config.name == "cosine":
            done = min(1.0, (step - warm_up) / max(1.0, config.epochs * an_epoch - warm_up))
            return config.final + (1 - config.final) * (1 + math.cos(math.pi * done)) / 2
        return 1.0

    return at
