"""LKA-ReID: one shared trunk, a list of (mixer, loss) branches, one descriptor.

The paper's network, its MBR baseline and every row of its ablation are this class with another list. A
compact embedder is this class with a ViT as its trunk.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.head import Head, TrainingOutput
from models.mixers import MIXERS
from models.pooling import POOLINGS
from models.projection import Projection
from models.shape import NetworkConfig
from models.strips import PartHead, StripHead
from models.trunk import EXPANSION, Bottleneck, Trunk
from models.vit import VitTrunk


class LKAReID(nn.Module):
    """The four-branch network (LKA-ReID, section II.A, figure 1).

    Args:
        config: the shape of it.
        identities: classes of the training set; 0 leaves the classifiers out.
        viewpoints: cameras x views for LAI (learned additive vectors, zero at first); 0 for none.
    """

    def __init__(self, config: NetworkConfig, identities: int = 0, viewpoints: int = 0) -> None:
        super().__init__()
        self.config = config
        self.trunk = (
            VitTrunk(config.vit, config.image_size)
            if config.vit is not None
            else Trunk(config.width, config.depth[:3], ibn=config.ibn, v1=config.v1)
        )
        self.branches = nn.ModuleList(self._stage4(branch.mixer) for branch in config.branches)
        self.heads = nn.ModuleList(
            Head(config.features, branch.loss, identities) for branch in config.branches
        )
        self.poolings = nn.ModuleList(POOLINGS[config.pooling]() for _ in config.branches)
        self.side_information = (
            nn.Parameter(torch.zeros(len(config.branches), viewpoints, config.features))
            if viewpoints
            else None
        )
        self.strip_head = self._strip_head()
        self.projection = Projection(config.descriptor_dim, config.projection) if config.projection else None

    def _strip_head(self) -> StripHead | None:
        config = self.config
        if config.parts is not None:
            return PartHead(self.trunk.channels, config.trunk_map_size, config.parts, config.strip_width)
        if not config.strips:
            return None
        return StripHead(
            len(config.branches), config.features, config.map_size[0], config.strips, config.strip_width
        )

    def with_image_size(self, image_size: tuple[int, int]) -> LKAReID:
        """A network with these weights, but no classifiers, for images of another (height, width) in px.

        Raises:
            RuntimeError: a mixer has weights for each place of its map (mhsa, lkca, a ViT).
        """
        if image_size == self.config.image_size:
            return self
        return self._with_config(replace(self.config, image_size=image_size))

    def _with_config(self, config: NetworkConfig, *, new: str = "") -> LKAReID:
        """A network of another configuration with these weights, without classifiers; a module may be new."""
        viewpoints = 0 if self.side_information is None else self.side_information.shape[1]
        network = LKAReID(config, viewpoints=viewpoints)
        own = {key: value for key, value in network.state_dict().items() if key.split(".")[0] == new}
        kept = {
            key: value
            for key, value in self.state_dict().items()
            if ".classifier." not in key and key.split(".")[0] != new
        }
        network.load_state_dict(kept | own, strict=True)
        return network.train(self.training)

    def with_parts(self, grid: tuple[int, int], width: int) -> LKAReID:
        """A network with these weights that gives parts in place of strips; their head is new.

        Args:
            grid: (rows, columns) of the parts.
            width: features of a part.
        """
        config = replace(self.config, strips=0, parts=grid, strip_width=width)
        return self._with_config(config, new="strip_head")

    def with_projection(self, directions: Tensor) -> LKAReID:
        """A network with these weights that takes the columns `[d, r]` out of its descriptor."""
        config = replace(self.config, projection=directions.shape[1])
        network = self._with_config(config, new="projection")
        network.get_buffer("projection.directions").copy_(directions)
        return network

    def _stage4(self, name: str) -> nn.Sequential:
        if self.config.vit is not None:
            return nn.Sequential()
        mixer = MIXERS.named(name)
        planes = 8 * self.config.width
        inputs = self.trunk.channels
        layers = []
        for block in range(self.config.depth[3]):
            stride = self.config.last_stride if block == 0 else 1
            layers.append(
                Bottleneck(
                    inputs,
                    planes,
                    mixer.make(planes, self.config.map_size),
                    stride=stride,
                    first_stride=stride,
                    shortcut_bias=mixer.shortcut_bias,
                )
            )
            inputs = EXPANSION * planes
        return nn.Sequential(*layers)

    def maps(self, images: Tensor) -> list[Tensor]:
        """`[B, 3, H, W]` -> a map `[B, F, H/16, W/16]` for each branch."""
        return self.branch_maps(self.trunk(images))

    def branch_maps(self, shared: Tensor) -> list[Tensor]:
        """The trunk's map `[B, C, H/16, W/16]` -> a map `[B, F, H/16, W/16]` for each branch."""
        return [branch(shared) for branch in self.branches]

    def strips(self, shared: Tensor, maps: list[Tensor]) -> Tensor | None:
        """The second stage's tokens `[B, s, d]` of the trunk's map and the branches'; None without any."""
        if self.strip_head is None:
            return None
        return self.strip_head(maps if self.config.parts is None else [shared])  # type: ignore[no-any-return]

    def pool(self, maps: list[Tensor], viewpoint: Tensor | None = None) -> list[Tensor]:
        """Each map as one vector, plus its LAI vector where a viewpoint `[B]` is given: `[B, F]` each.

        A viewpoint of -1 is an unknown one and adds nothing.

        Raises:
            ValueError: a viewpoint for a network made without side information.
        """
        pooled = [pooling(m) for pooling, m in zip(self.poolings, maps, strict=True)]
        if viewpoint is None:
            return pooled
        if self.side_information is None:
            raise ValueError("this network was made without side information (viewpoints=0)")
        known = (viewpoint >= 0).unsqueeze(1)
        chosen = viewpoint.clamp_min(0)
        return [p + vector[chosen] * known for p, vector in zip(pooled, self.side_information, strict=True)]

    def describe(self, pooled: list[Tensor]) -> Tensor:
        """Pooled features -> descriptor `[B, branches * F]`, L2-normalised."""
        normalised = [head(p)[0] for head, p in zip(self.heads, pooled, strict=True)]
        descriptor = torch.cat(normalised, dim=1)
        return F.normalize(descriptor if self.projection is None else self.projection(descriptor), dim=1)

    def learn(self, images: Tensor, viewpoint: Tensor | None = None) -> TrainingOutput:
        """The forward pass of training: `[B, 3, H, W]` and viewpoints `[B]` -> `TrainingOutput`."""
        shared = self.trunk(images)
        maps = self.branch_maps(shared)
        pooled = self.pool(maps, viewpoint)
        heads = [head(p) for head, p in zip(self.heads, pooled, strict=True)]
        strips = self.strips(shared, maps)
        return TrainingOutput(
            pooled,
            [n for n, _ in heads],
            [logits for _, logits in heads],
            strips,
            shared.mean(dim=(2, 3)),
        )

    def forward(self, images: Tensor, viewpoint: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The forward pass of inference.

        Args:
            images: `[B, 3, H, W]`, normalised by `models.preprocessing`.
            viewpoint: camera * views + view `[B]`, or None.

        Returns:
            The descriptor `[B, branches * F]`, L2-normalised, and the strips `[B, s, d]` or None.
        """
        shared = self.trunk(images)
        maps = self.branch_maps(shared)
        return self.describe(self.pool(maps, viewpoint)), self.strips(shared, maps)


def count_parameters(module: nn.Module) -> int:
    """Learned numbers in `module`, frozen ones included."""
    return sum(p.numel() for p in module.parameters())
