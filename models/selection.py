"""Hard selection of channels before attention is computed (DCS-Attention)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelSelection(nn.Module):
    """A 0/1 mask over the channels of one image, from a linear layer of what is known of it.

    Learning Informative Attention Weights (arXiv 2505.08961), section 3.2: a binary Gumbel-softmax. In
    training the logits get logistic noise (the difference of two Gumbel variables), are divided by the
    temperature and pass a sigmoid; the mask is 1 above a half, and its gradient that of the sigmoid
    (straight-through). In evaluation the mask is 1 where the logit is positive: no noise, no temperature.

    Args:
        channels: C.

    Attributes:
        temperature: of the sigmoid; a training lowers it.
        selected: sum of the shares of channels that training has selected since it was last reset.
        passes: number of these shares.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.logits = nn.Linear(channels, channels)
        nn.init.zeros_(self.logits.bias)
        # Tensors, so that a compiled pass need not be compiled anew for each value.
        self.register_buffer("temperature", torch.tensor(1.0), persistent=False)
        self.register_buffer("selected", torch.tensor(0.0), persistent=False)
        self.register_buffer("passes", torch.tensor(0.0), persistent=False)

    temperature: Tensor
    selected: Tensor
    passes: Tensor

    def forward(self, known: Tensor) -> Tensor:
        """`[..., C]` -> a mask `[..., C]` of the same type."""
        logits: Tensor = self.logits(known)
        if not self.training:
            return (logits > 0).to(known.dtype)
        wide = logits.float()
        uniform = torch.rand_like(wide).clamp(1e-6, 1 - 1e-6)
        soft = ((wide + uniform.logit()) / self.temperature).sigmoid()
        hard = (soft > 0.5).float()
        with torch.no_grad():
            self.selected += hard.mean()
            self.passes += 1
        mask: Tensor = hard + soft - soft.detach()
        return mask.to(known.dtype)
