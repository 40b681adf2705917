"""Large kernel attention."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from models.mixers import MIXERS, Attending, Mixer


class LKA(Attending):
    """Large kernel attention (LKA-ReID, section II.B, eq. 1-3).

    A `kernel`x`kernel` convolution is split into a depth-wise (2d-1)x(2d-1) convolution, a depth-wise
    ceil(kernel/d) convolution of dilation d, and a 1x1 convolution. With kernel 21 and d = 3 that is
    5x5, then 7x7 dilated by 3. The 1x1 convolutions have a bias, the depth-wise ones none.
    """

    def __init__(self, channels: int, kernel: int = 21, dilation: int = 3) -> None:
        super().__init__()
        local = 2 * dilation - 1
        distant = math.ceil(kernel / dilation)
        self.expand = nn.Conv2d(channels, channels, 1)
        self.local = nn.Conv2d(channels, channels, local, padding=local // 2, groups=channels, bias=False)
        self.distant = nn.Conv2d(
            channels,
            channels,
            distant,
            padding=dilation * (distant // 2),
            dilation=dilation,
            groups=channels,
            bias=False,
        )
        self.attend = nn.Conv2d(channels, channels, 1)
        self.contract = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        expanded = self.expand(F.gelu(x))
        out: Tensor = self.contract(self._attention(expanded) * expanded) + x
        return out

    def attention_map(self, x: Tensor) -> Tensor:
        """Mean over the channels of the attention's size: `[B, C, H, W]` -> `[B, H, W]`.

        The attention has both signs: a place that is taken out counts as much as one that is added.
        """
        return self._attention(self.expand(F.gelu(x))).abs().mean(dim=1)

    def _attention(self, expanded: Tensor) -> Tensor:
        attention: Tensor = self.attend(self.distant(self.local(expanded)))
        return attention


MIXERS.register("lka", Mixer(lambda channels, _: LKA(channels), shortcut_bias=True))
