"""The moving average of a network's weights, kept beside them without waiting for their device."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage(AveragedModel):
    """`torch`'s averaged model, in few operations and with no number read back from the device.

    Parameters and the statistics of norms are averaged, whole numbers taken over. The first update copies
    everything.

    Args:
        network: is copied.
        decay: of the average at each update, 0 to 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self._share = 1 - decay
        self._begun = False

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards a network's weights as they are now."""
        own, new = _tensors(self.module), _tensors(model)
        pairs = list(zip(own, new, strict=True))
        floats = [(a, b) for a, b in pairs if a.is_floating_point()]
        # The count lies on the CPU; it is looked at once in a run.
        self._begun = self._begun or bool(self.n_averaged)
        if self._begun:
            torch._foreach_lerp_([a for a, _ in floats], [b for _, b in floats], self._share)
            pairs = [(a, b) for a, b in pairs if not a.is_floating_point()]
        if pairs:
            torch._foreach_copy_([a for a, _ in pairs], [b for _, b in pairs])
        self.n_averaged += 1
        self._begun = True


def _tensors(module: nn.Module) -> list[Tensor]:
    return [value.detach() for value in chain(module.parameters(), module.buffers())]
