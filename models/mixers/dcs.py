"""Self-attention with differentiable channel selection."""

from __future__ import annotations

from torch import Tensor, nn

from models.mixers import MIXERS, Mixer, SelfAttention
from models.selection import ChannelSelection


class DCS(SelfAttention):
    """DCS-Attention (arXiv 2505.08961, section 3.2): A = softmax((X * M)(X * M)^T), and A times the values.

    X is a 1x1 convolution of the map, one for queries and keys, which keeps the symmetric form of the paper's
    scores; the values are another. M selects the channels of an image by the mean of X over its places. It
    knows no positions, so that a network may be served at another size than it was trained at. Heads, the
    scale of the scores and a mask for the image (not for each place) are our choices.

    Args:
        channels: C, divisible by `heads`.
        heads: of the attention.
    """

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not split into {heads} heads")
        self.heads = heads
        self.features = nn.Conv2d(channels, channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.selection = ChannelSelection(channels)

    def attention(self, x: Tensor) -> Tensor:
        """See `SelfAttention`."""
        features = self.features(x).flatten(2)
        mask = self.selection(features.mean(dim=2))
        chosen = (features * mask.unsqueeze(2)).unflatten(1, (self.heads, -1))
        scores = chosen.transpose(-2, -1) @ chosen / chosen.shape[2] ** 0.5
        attention: Tensor = scores.softmax(dim=-1)
        return attention


MIXERS.register("dcs", Mixer(lambda channels, _: DCS(channels)))
