"""The shape of a network: its branches, and everything else that decides what it is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from models.losses import losses_of
from models.mixers import MIXERS
from models.pooling import POOLINGS
from models.vit import VitConfig

Pooling = Literal["average", "gem"]


@dataclass(frozen=True)
class Branch:
    """One branch: what mixes its stage 4, and which loss trains it.

    Attributes:
        mixer: a name in `models.mixers.MIXERS`.
        loss: a name in `models.losses.LOSSES`, several joined by `+`, or `both` (cross-entropy and triplet).

    Raises:
        ValueError: unknown mixer or loss.
    """

    mixer: str
    loss: str

    def __post_init__(self) -> None:
        MIXERS.named(self.mixer)
        losses_of(self.loss)


def branches(first: str, second: str) -> tuple[Branch, ...]:
    """Four branches: two with mixer `first`, two with `second`, each once per loss (Table II's rows)."""
    return tuple(Branch(mixer, loss) for mixer in (first, second) for loss in ("cross_entropy", "triplet"))


BASELINE = branches("conv", "mhsa")
LKA_HCA = branches("lka", "hca")
PLAIN = (Branch("conv", "both"),)


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that decides the shape of the network.

    Attributes:
        branches: the (mixer, loss) of each branch.
        width: channels of the stem; 64 is ResNet-50. A branch gives 32 * width features.
        depth: bottlenecks in stages 1 to 4.
        image_size: (height, width) in px, multiples of 16; the mixers are made for maps of a 16th of it.
        ibn: IBN-a norms in the trunk.
        v1: stride on each stage's first 1x1 convolution, the layout of the ImageNet weights.
        last_stride: stride of stage 4: 1 in the paper, 2 in a plain ResNet-50.
        strips: horizontal strips per branch, 0 for none.
        strip_width: features of a strip or a part.
        parts: (rows, columns) of a grid of parts of the trunk's map, in place of strips; None for none.
        pooling: of a branch's map to its features: the average, or GeM with a learned power.
        vit: a ViT in the place of the residual trunk and of stage 4: its map is every branch's, and its
            attention their mixer. Width, depth, norms and strides then play no part. None for none.

    Raises:
        ValueError: no branch, an unknown pooling, sides that are no multiples of 16 px, strips and parts, or
            a ViT with another mixer than its attention.
    """

    branches: tuple[Branch, ...] = LKA_HCA
    width: int = 64
    depth: tuple[int, int, int, int] = (3, 4, 6, 3)
    image_size: tuple[int, int] = (256, 256)
    ibn: bool = True
    v1: bool = False
    last_stride: int = 1
    strips: int = 0
    strip_width: int = 256
    pooling: Pooling = "average"
    parts: tuple[int, int] | None = None
    vit: VitConfig | None = None
    projection: int = 0

    def __post_init__(self) -> None:
        if not self.branches:
            raise ValueError("a network needs at least one branch")
        if self.pooling not in POOLINGS:
            raise ValueError(f"unknown pooling {self.pooling!r}; there are {', '.join(POOLINGS)}")
        if self.parts is not None and self.strips:
            raise ValueError("a network gives strips of its branches or parts of its trunk, not both")
        if any(side % 16 or side <= 0 for side in self.image_size):
            raise ValueError(f"image_size must be positive multiples of 16 px, not {self.image_size}")
        if self.vit is not None:
            self.vit.map_size(self.image_size)
            if {branch.mixer for branch in self.branches} != {self.vit.attention}:
                raise ValueError(
                    f"the branches of a ViT have its attention as mixer: {self.vit.attention}; write "
                    f"{{mixer: {self.vit.attention}, loss: both}}"
                )

    @property
    def map_size(self) -> tuple[int, int]:
        """(H, W) of the maps in the branches."""
        if self.vit is not None:
            return self.vit.map_size(self.image_size)
        step = 16 * self.last_stride
        return self.image_size[0] // step, self.image_size[1] // step

    @property
    def trunk_map_size(self) -> tuple[int, int]:
        """(H, W) of the trunk's map."""
        if self.vit is not None:
            return self.map_size
        return self.image_size[0] // 16, self.image_size[1] // 16

    @property
    def tokens(self) -> int:
        """s, strips or parts that the second stage compares; 0 for none."""
        if self.parts is not None:
            return self.parts[0] * self.parts[1]
        return self.strips * len(self.branches)

    @property
    def features(self) -> int:
        """Channels of one branch's map: 2048 in the paper."""
        return 32 * self.width if self.vit is None else self.vit.dim

    @property
    def descriptor_dim(self) -> int:
        """Length of the descriptor: 8192 in the paper."""
        return len(self.branches) * self.features

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> NetworkConfig:
        """The inverse of `to_dict`."""
        values = dict(values)
        values["branches"] = tuple(Branch(**branch) for branch in values["branches"])
        for name in ("depth", "image_size", "parts"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        if values.get("vit") is not None:
            values["vit"] = VitConfig(**values["vit"])
        return cls(**values)
