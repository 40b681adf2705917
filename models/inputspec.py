"""What a network wants to see: a bundle's manifest says it, and preparing an image follows it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class InputSpec(BaseModel):
    """What the network wants to see.

    Attributes:
        height: px.
        width: px.
        mean: per channel (RGB), of values scaled to 0..1.
        std: per channel (RGB), of values scaled to 0..1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
