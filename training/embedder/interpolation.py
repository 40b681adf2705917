"""WiSE-FT: weights between those of the start and those that were learned (Wortsman et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's parameters by name, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in module.named_parameters()}


@torch.no_grad()
def interpolate(module: nn.Module, start: Mapping[str, Tensor], share: float) -> None:
    """Move a module's parameters by `share` (0 to 1) of the way back to those of the start, in place.

    Args:
        module: trained.
        start: see `weights_of`; parameters that it does not name stay as they are.
        share: 0 leaves what was learned, 1 gives the start.
    """
    for name, begun in start.items():
        value = module.get_parameter(name)
        value.lerp_(begun.to(value.device, value.dtype), share)


@torch.no_grad()
def estimate_norms(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Estimate the statistics of all batch norms anew, as means over batches.

    Those of the start and those of the training do not fit weights between the two.

    Args:
        network: changed in place, and left in evaluation mode.
        batches: images `[B, 3, H, W]` each, on the network's device.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for images in batches:
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
