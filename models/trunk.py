"""The shared trunk: a residual network up to and including stage 3, with IBN-a norms if asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

EXPANSION = 4


class IBN(nn.Module):
    """Instance norm on the first half of the channels, batch norm on the rest (IBN-Net's variant a)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = channels // 2
        self.IN = nn.InstanceNorm2d(self.first, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.first)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` -> `[B, C, H, W]`."""
        out = torch.cat((self.IN(x[:, : self.first]), self.BN(x[:, self.first :])), dim=1)
        # Instance norm returns the plain layout, which the convolutions behind it would inherit.
        last = x.is_contiguous(memory_format=torch.channels_last)
        return out.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


class Bottleneck(nn.Module):
    """1x1, mixer, 1x1 with a shortcut, `[B, inputs, H, W]` -> `[B, 4 * width, H/stride, W/stride]`.

    Args:
        inputs: channels in.
        width: channels of the mixer.
        mixer: module between the 1x1 convolutions; the trunk's is a (strided) 3x3 convolution.
        stride: total stride, for the shortcut.
        first_stride: stride of the first 1x1 convolution (the "v1" layout); 1 in the v1.5 layout.
        norm: makes the norm after the first convolution.
        shortcut_bias: whether a projecting shortcut has a bias.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        mixer: nn.Module,
        *,
        stride: int = 1,
        first_stride: int = 1,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        shortcut_bias: bool = False,
    ) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.conv1 = nn.Conv2d(inputs, width, 1, stride=first_stride, bias=False)
        self.bn1 = norm(width)
        self.conv2 = mixer
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=shortcut_bias), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """`[B, inputs, H, W]` -> `[B, 4 * width, H/stride, W/stride]`."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += self.downsample(x)
        activated: Tensor = self.relu(out)
        return activated


class Trunk(nn.Module):
    """Stem and stages 1-3: `[B, 3, H, W]` -> `[B, 16 * width, H/16, W/16]`.

    Args:
        width: channels of the stem and of stage 1's mixers (64 in ResNet-50).
        depth: bottlenecks in stages 1, 2, 3 (3, 4, 6 in ResNet-50).
        ibn: IBN-a in the first norm of every bottleneck.
        v1: stride on a stage's first 1x1 convolution (as the weights were trained) and not on its 3x3.
    """

    def __init__(
        self, width: int = 64, depth: tuple[int, int, int] = (3, 4, 6), *, ibn: bool, v1: bool
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = width
        for stage, blocks in enumerate(depth):
            planes = width << stage
            stride = 1 if stage == 0 else 2
            layers = []
            for block in range(blocks):
                step = stride if block == 0 else 1
                first, second = (step, 1) if v1 else (1, step)
                mixer = nn.Conv2d(planes, planes, 3, stride=second, padding=1, bias=False)
                layers.append(
                    Bottleneck(
                        channels,
                        planes,
                        mixer,
                        stride=step,
                        first_stride=first,
                        norm=IBN if ibn else nn.BatchNorm2d,
                    )
                )
                channels = EXPANSION * planes
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 3, H, W]` -> `[B, 16 * width, H/16, W/16]`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (1, 2, 3):
            x = getattr(self, f"layer{stage}")(x)
        return x
