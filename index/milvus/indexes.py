"""The vector indexes that a Milvus may be asked for, and the parameters that go with each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from index.errors import GalleryError

SINCE: Final = {
    "FLAT": (2, 0),
    "HNSW": (2, 0),
    "IVF_FLAT": (2, 0),
    "IVF_SQ8": (2, 0),
    "IVF_PQ": (2, 0),
    "DISKANN": (2, 2),
    "SCANN": (2, 3),
    "GPU_CAGRA": (2, 4),
    "IVF_RABITQ": (2, 6),
}
"""Of each kind the first release that knows it. GPU_CAGRA also takes a release built for GPUs."""
BUILD: Final[Mapping[str, Mapping[str, int]]] = {
    "HNSW": {"M": 32, "efConstruction": 200},
    "IVF_FLAT": {"nlist": 1024},
    "IVF_SQ8": {"nlist": 1024},
    "IVF_PQ": {"nlist": 1024, "m": 512},
    "SCANN": {"nlist": 1024},
    "GPU_CAGRA": {"intermediate_graph_degree": 64, "graph_degree": 32},
    "IVF_RABITQ": {"nlist": 1024},
}
"""Parameters of building that are taken where none are given; of IVF_PQ, m has to divide d."""
FLOAT16_SINCE: Final = (2, 4)
"""Milvus 2.3.5 takes float16 vectors, and gives back similarities of what is not in them."""


@dataclass(frozen=True, slots=True)
class MilvusIndex:
    """The vector index that is wanted.

    Attributes:
        kind: FLAT, which is exact, or another one of `SINCE`.
        build: parameters of building, beside or in the place of those of `BUILD`.
        search: parameters of searching, such as ef of HNSW or nprobe of IVF_*; none are the engine's own.
    """

    kind: str = "FLAT"
    build: Mapping[str, int | float | str] = field(default_factory=dict)
    search: Mapping[str, int | float | str] = field(default_factory=dict)

    @property
    def is_exact(self) -> bool:
        """Whether it compares every vector."""
        return self.kind == "FLAT"

    def parameters(self) -> dict[str, int | float | str]:
        """All of building."""
        return {**BUILD.get(self.kind, {}), **self.build}

    def check(self, version: str) -> None:
        """Raises GalleryError where a Milvus of this version does not know the kind."""
        if self.kind not in SINCE:
            raise GalleryError(
                f"the index kind {self.kind!r} is none of Milvus that is known here; known are "
                + ", ".join(SINCE)
            )
        if release(version) < SINCE[self.kind]:
            major, minor = SINCE[self.kind]
            raise GalleryError(
                f"the index kind {self.kind} needs Milvus {major}.{minor} or newer, and this one is "
                f"{version}; take another kind, or a newer Milvus"
            )


def release(version: str) -> tuple[int, int]:
    """The first two numbers of a version; (0, 0) of what has none."""
    found = re.search(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
