"""ViT-LKCA and its plain ViT twin: one network, two kinds of attention (LKCA, section III.B, eq. 1-5)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.mixers.lkca import LargeKernel

VitAttention = Literal["lkca", "mhsa"]
ATTENTIONS: tuple[VitAttention, ...] = ("lkca", "mhsa")


@dataclass(frozen=True)
class VitConfig:
    """The shape of a ViT.

    Attributes:
        attention: `lkca`, or `mhsa` for the plain ViT.
        dim: features of a token.
        depth: blocks.
        heads: of mhsa; divides `dim`. LKCA has one kernel for all channels, as in the paper.
        patch: side of a patch, px.
        mlp_ratio: width of an MLP, as a multiple of `dim`.
        class_token: a token of its own gathers what is classified, as in the plain ViT; else the mean of the
            last tokens is.
        drop_path: rate of stochastic depth at the last block, 0 at the first.

    Raises:
        ValueError: an unknown attention, heads that do not divide, or a class token on LKCA's grid.
    """

    attention: VitAttention = "lkca"
    dim: int = 210
    depth: int = 10
    heads: int = 1
    patch: int = 4
    mlp_ratio: int = 2
    class_token: bool = False
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise ValueError(f"unknown attention {self.attention!r}; there are {', '.join(ATTENTIONS)}")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} does not split into {self.heads} heads")
        if self.attention == "lkca" and self.class_token:
            raise ValueError("a class token has no place on the grid of LKCA; set class_token to false")

    def map_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(H, W) of the grid of tokens for images of some (height, width) in px.

        Raises:
            ValueError: a side is no multiple of the patch.
        """
        height, width = image_size
        if height % self.patch or width % self.patch or min(image_size) <= 0:
            raise ValueError(f"an image of {height} x {width} px has no whole patches of {self.patch} px")
        return height // self.patch, width // self.patch

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)


class SelfAttention(nn.Module):
    """Multi-head self-attention, `[B, N, d]` -> `[B, N, d]`; queries, keys and values without a bias."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(dim, 3 * dim, bias=False)
        self.output = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, N, d]` -> `[B, N, d]`."""
        q, k, v = self.project(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1)
        out: Tensor = self.output((weights @ v).transpose(1, 2).flatten(2))
        return out


class TokenLKCA(nn.Module):
    """LKCA of tokens on a grid, `[B, N, d]` -> `[B, N, d]`: values without a bias, output with one."""

    def __init__(self, dim: int, map_size: tuple[int, int]) -> None:
        super().__init__()
        self.value = nn.Linear(dim, dim, bias=False)
        self.mix = LargeKernel(map_size)
        self.output = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, N, d]` -> `[B, N, d]`."""
        out: Tensor = self.output(self.mix.scores()[0] @ self.value(tokens))
        return out


class Block(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x)); in training either part is left out now and then."""

    def __init__(self, config: VitConfig, map_size: tuple[int, int], drop_path: float) -> None:
        super().__init__()
        dim, hidden = config.dim, config.mlp_ratio * config.dim
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(dim)
        self.attention = (
            TokenLKCA(dim, map_size) if config.attention == "lkca" else SelfAttention(dim, config.heads)
        )
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, N, d]` -> `[B, N, d]`."""
        tokens = tokens + self._drop(self.attention(self.norm1(tokens)))
        return tokens + self._drop(self.mlp(self.norm2(tokens)))

    def _drop(self, part: Tensor) -> Tensor:
        """Stochastic depth (Huang et al., 2016): nothing of the part for some images, more for the others."""
        if not self.training or not self.drop_path:
            return part
        kept = part.new_empty(len(part), 1, 1).bernoulli_(1 - self.drop_path)
        return part * kept / (1 - self.drop_path)


class VitTrunk(nn.Module):
    """Patches, positions and blocks: `[B, 3, H, W]` -> tokens, or the map `[B, d, H/patch, W/patch]`.

    Linear layers start by Xavier's normal rule and positions as N(0, 1): small ViTs from nothing learn faster
    so than from the 0.02 of large ones. The papers do not say.

    Args:
        config: the shape.
        image_size: (height, width) in px, multiples of the patch.
    """

    def __init__(self, config: VitConfig, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.map_size = config.map_size(image_size)
        self.channels = config.dim
        count = self.map_size[0] * self.map_size[1]
        self.embed = nn.Conv2d(3, config.dim, config.patch, stride=config.patch)
        self.first = nn.Parameter(torch.zeros(1, 1, config.dim)) if config.class_token else None
        self.positions = nn.Parameter(torch.zeros(1, count + config.class_token, config.dim))
        rates = [config.drop_path * i / max(1, config.depth - 1) for i in range(config.depth)]
        self.blocks = nn.ModuleList(Block(config, self.map_size, rate) for rate in rates)
        self.norm = nn.LayerNorm(config.dim)
        nn.init.normal_(self.positions)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def tokens(self, images: Tensor) -> Tensor:
        """`[B, 3, H, W]` -> `[B, N, d]`, the class token before the others."""
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        if self.first is not None:
            tokens = torch.cat([self.first.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens)
        return out

    def forward(self, images: Tensor) -> Tensor:
        """`[B, 3, H, W]` -> the map `[B, d, H/patch, W/patch]`, without the class token."""
        tokens = self.tokens(images)
        if self.first is not None:
            tokens = tokens[:, 1:]
        out: Tensor = tokens.transpose(1, 2).unflatten(2, self.map_size)
        return out


class VitClassifier(nn.Module):
    """A ViT that tells classes apart.

    Args:
        config: the shape.
        image_size: (height, width) in px.
        classes: to tell apart.
    """

    def __init__(self, config: VitConfig, image_size: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.config = config
        self.image_size = image_size
        self.trunk = VitTrunk(config, image_size)
        self.head = nn.Linear(config.dim, classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Tensor) -> Tensor:
        """`[B, 3, H, W]` -> logits `[B, classes]`."""
        tokens = self.trunk.tokens(images)
        logits: Tensor = self.head(tokens[:, 0] if self.config.class_token else tokens.mean(dim=1))
        return logits
