"""How the work stands that a gallery does in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from index.vectors.kind import Kind


@dataclass(frozen=True, slots=True)
class RenewalState:
    """How the normalisation stands to what is known of the cameras.

    Attributes:
        drift: the largest of a camera's, when it was last looked at; 0 where nothing is normalised.
        is_renewing: whether a version is being made now.
        seconds: that the last renewal took; None before the first.
    """

    drift: float
    is_renewing: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class IndexState:
    """The vector index of a gallery.

    Attributes:
        kind: in use.
        is_building: whether another one is being made.
        seconds: that making the last one took; None before the first.
        memory_bytes: that it takes, about.
        recent: images beside the codes, which are compared exactly; 0 for a flat kind.
        device: that searches.
        gpu_left_out: why no GPU is used, where one was looked for.
        left_out: images whose descriptor is damaged, which searches do not find.
        engine: what holds the vectors where that is no index of ours, in words: its version, its index, how
            numbers are stored.
    """

    kind: Kind
    is_building: bool
    seconds: float | None
    memory_bytes: int
    recent: int
    left_out: int
    device: Literal["gpu", "cpu"]
    gpu_left_out: str | None
    engine: str | None = None
