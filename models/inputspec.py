"""What a network wants to see: a bundle's manifest says it, and preparing an image follows it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class InputSpec(BaseModel):
    """What the network wants to see.

    Attributes:
        height: px.
        width: px.
        mean: per channel (RGB), of values scaled to 0..1.
        std: per channel (RGB), of values scaled to 0..1.
        flip: whether a descriptor is the mean of an image's and its mirror image's, see `models.flip`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    flip: bool = False

    @model_serializer(mode="wrap")
    def _without_flip(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `flip` where it is off: manifests and hashes are those of before there was one."""
        values: dict[str, Any] = dump(self)
        return {name: value for name, value in values.items() if name != "flip" or value}
