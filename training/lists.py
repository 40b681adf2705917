"""What a re-ranker learns from: the first answers of a frozen embedder to every training image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.features import Features


@dataclass(frozen=True)
class Lists:
    """For each of Q probes the first v of the first stage; positions point into a `Features`.

    Attributes:
        probes: `[Q]` positions.
        candidates: `[Q, v]` positions, best first.
        similarities: `[Q, v]` cosine.
        right: `[Q, v]` whether the candidate shows the probe's vehicle.
    """

    probes: NDArray[np.intp]
    candidates: NDArray[np.intp]
    similarities: NDArray[np.float32]
    right: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.probes)


def mine(features: Features, length: int) -> Lists:
    """The first `length` of the other cameras' images for every image, where that holds right and wrong ones.

    Raises:
        ValueError: no image has both in its list.
    """
    vehicles, cameras = features.vehicles, features.cameras
    similarities = features.descriptors @ features.descriptors.T
    probes, candidates = [], []
    for i in range(len(vehicles)):
        others = np.flatnonzero(cameras != cameras[i])
        first = others[np.argsort(-similarities[i, others], kind="stable")][:length]
        right = vehicles[first] == vehicles[i]
        if len(first) == length and right.any() and not right.all():
            probes.append(i)
            candidates.append(first)
    if not probes:
        raise ValueError(f"no probe has a right and a wrong answer among its first {length}")
    p, c = np.array(probes), np.stack(candidates)
    return Lists(p, c, similarities[p[:, None], c], vehicles[c] == vehicles[p][:, None])


@dataclass(frozen=True)
class Fold:
    """Features of one embedder with the lists mined in them."""

    features: Features
    lists: Lists

    def batch(self, chosen: NDArray[np.integer]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Probes `[B, s, d]`, candidates `[B, v, s, d]`, similarities `[B, v]`, right `[B, v]`."""
        strips = self.features.strips
        if strips is None:
            raise ValueError("the embedder gives no strips")
        return (
            torch.from_numpy(strips[self.lists.probes[chosen]]),
            torch.from_numpy(strips[self.lists.candidates[chosen]]),
            torch.from_numpy(self.lists.similarities[chosen]),
            torch.from_numpy(self.lists.right[chosen]),
        )
