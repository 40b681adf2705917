"""Kinds of the vector index, and which of them a gallery of so many images has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["flat", "flat16", "compressed", "hnsw"]
KindSetting = Literal["auto", "flat", "flat16", "compressed", "hnsw"]
DeviceSetting = Literal["auto", "gpu", "cpu"]

CODED: Final = ("compressed", "hnsw")
"""Kinds that find candidates by codes; their similarities are computed from stored descriptors."""


@dataclass(frozen=True, slots=True)
class IndexSetup:
    """What is wanted of the vector index.

    Attributes:
        kind: `flat` compares float32, `flat16` float16 vectors, each with every one; `compressed` compares
            8-bit codes, of many images those that their signs leave, `hnsw` walks a graph of such codes, and
            both re-score the first candidates from stored descriptors. `auto` goes by the number of images.
        device: `gpu`, `cpu`, or the GPU where it starts.
        gpu: its number, of those that the process sees.
        train_from: images that codes are learned from at least; below, the index is flat.
        flat_until: images from which on codes are learned before a gallery that has none is open.
        flat16_from: images from which on `auto` takes `flat16`.
        compressed_from: images from which on `auto` takes `compressed`.
        signed_from: images from which on the signs of codes are compared first, and some codes after them.
        ivf_from: images from which on codes lie in lists, of which a search reads some, in place of that.
        rescored: candidates of a probe that are compared by their stored descriptors.
        recent: images beside the codes that are compared exactly; the oldest of more are coded.
        width: numbers of a code, a byte each.
    """

    kind: KindSetting = "auto"
    device: DeviceSetting = "cpu"
    gpu: int = 0
    train_from: int = 1_000
    flat_until: int = 50_000
    flat16_from: int = 20_000
    compressed_from: int = 50_000
    signed_from: int = 20_000
    ivf_from: int = 10_000_000
    rescored: int = 200
    recent: int = 1_024
    width: int = 1_024

    def choose(self, count: int, current: Kind | None = None) -> Kind:
        """The kind for so many images; `current` is kept until they are half of what it begins at."""
        kind = self._auto(count, current) if self.kind == "auto" else self.kind
        if kind not in CODED:
            return kind
        least = self.train_from // 2 if current == kind else self.train_from
        return kind if count >= max(least, 1) else "flat"

    def _auto(self, count: int, current: Kind | None) -> Kind:
        def reached(begin: int, *kinds: Kind) -> bool:
            return count >= (begin // 2 if current in kinds else begin)

        if reached(self.compressed_from, "compressed"):
            return "compressed"
        return "flat16" if reached(self.flat16_from, "flat16", "compressed") else "flat"
