"""The shape of the embedder's network, and the weights that it starts from."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.losses import LOSSES
from models.mixers import MIXERS
from models.shape import LKA_HCA, Branch, NetworkConfig, Pooling
from models.vit import VitAttention, VitConfig
from training.config.section import Count, Probability, Section


class BranchConfig(Section):
    """One branch."""

    mixer: str = Field(description=f"what mixes its stage 4: {MIXERS.names}")
    loss: str = Field(description=f"what trains it: {LOSSES.names}, several joined by +, or both of these")


class VitShapeConfig(Section):
    """A ViT in the place of the residual trunk and stage 4 (models.vit)."""

    attention: VitAttention = Field(default="lkca", description="the mixer of its branches says the same")
    dim: Count = Field(default=210, description="features of a token, and of a branch's descriptor")
    depth: Count = Field(default=10, description="blocks")
    heads: Count = Field(default=1, description="of mhsa")
    patch: Count = Field(default=4, description="side of a patch, px")
    mlp_ratio: Count = Field(default=2, description="width of an MLP, in dims")
    class_token: bool = Field(default=False, description="mhsa: a token that gathers, as in a classifier")
    drop_path: Probability = Field(default=0.0, description="stochastic depth at the last block")


class ShapeConfig(Section):
    """The shape of the network (models.network)."""

    branches: tuple[BranchConfig, ...] = Field(
        default=tuple(BranchConfig.model_validate({"mixer": b.mixer, "loss": b.loss}) for b in LKA_HCA),
        min_length=1,
        description="mixer and loss of each branch",
    )
    width: Count = Field(default=64, description="channels of the stem; 64 is ResNet-50")
    depth: tuple[Count, Count, Count, Count] = Field(
        default=(3, 4, 6, 3), description="bottlenecks in each stage"
    )
    image_size: tuple[Count, Count] = Field(
        default=(256, 256), description="height and width, px, multiples of 16"
    )
    ibn: bool = Field(default=True, description="IBN-a norms in stages 1-3")
    v1: bool = Field(
        default=False, description="stride on the first 1x1 convolution of a stage: the v1 layout"
    )
    last_stride: Literal[1, 2] = Field(default=1, description="stride of stage 4; 2 is a plain ResNet-50")
    pooling: Pooling = Field(default="average", description="of a branch's map to one vector")
    strips: Annotated[int, Field(ge=0)] = Field(
        default=0, description="strips a branch, for the re-ranker; 0: none"
    )
    strip_width: Count = Field(default=256, description="features of a strip")
    parts: tuple[Count, Count] | None = Field(
        default=None,
        description="for the re-ranker: rows and columns of a grid of parts on the trunk's map, no strips",
    )
    vit: VitShapeConfig | None = Field(
        default=None, description="a ViT in the place of the trunk and stage 4; null for none"
    )
    side_information: Literal["none", "camera", "view", "camera-view"] = Field(
        default="none", description="LAI: a learned vector for each camera, view, or pair of them"
    )

    @model_validator(mode="after")
    def _makes_a_network(self) -> Self:
        self.build()
        return self

    def build(self) -> NetworkConfig:
        """The network's own configuration.

        Raises:
            ValueError: sizes that make no network.
        """
        values = self.model_dump(exclude={"side_information", "branches", "vit"})
        if self.vit is not None:
            values["vit"] = VitConfig(**self.vit.model_dump())
        branches = tuple(Branch(branch.mixer, branch.loss) for branch in self.branches)
        return NetworkConfig(branches=branches, **values)


class WeightsConfig(Section):
    """What the network starts from; the file is given on the command line."""

    layout: Literal["resnet50", "resnet50-v1", "resnet50-ibn-a", "bundle"] = Field(
        default="resnet50-ibn-a",
        description="torchvision's, the same with strides on the first 1x1, IBN-Net's published one, or a "
        "bundle's embedder.onnx",
    )
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{8,64}$")] | None = Field(
        default=None, description="of the file, or its first digits (at least 8); null: not checked"
    )
    left_out: tuple[str, ...] = Field(
        default=("fc.weight", "fc.bias"), description="keys (patterns) of the file that are not wanted"
    )
