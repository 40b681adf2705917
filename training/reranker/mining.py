"""What a re-ranker learns from: the candidate lists of every training image by a frozen embedder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.features.extract import Features
from training.readback import sent


@dataclass(frozen=True)
class Lists:
    """For each of Q probes the first v of the first stage; positions point into a `Features`.

    Attributes:
        probes: `[Q]` positions.
        candidates: `[Q, v]` positions, best first.
        similarities: `[Q, v]` cosine.
        correct: `[Q, v]` whether the candidate shows the probe's vehicle.
    """

    probes: NDArray[np.intp]
    candidates: NDArray[np.intp]
    similarities: NDArray[np.float32]
    correct: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.probes)


def mine(features: Features, length: int) -> Lists:
    """The first `length` of the other cameras' images for each image, where some are correct and some wrong.

    Images of unknown camera are candidates of all but themselves.

    Raises:
        ValueError: no image has both in its list.
    """
    vehicles = features.vehicles
    cameras = np.array([image.camera_or_own for image in features.images])
    similarities = features.descriptors @ features.descriptors.T
    probes, candidates = [], []
    for i in range(len(vehicles)):
        others = np.flatnonzero(cameras != cameras[i])
        first = others[np.argsort(-similarities[i, others], kind="stable")][:length]
        correct = vehicles[first] == vehicles[i]
        if len(first) == length and correct.any() and not correct.all():
            probes.append(i)
            candidates.append(first)
    if not probes:
        raise ValueError(f"no probe has a correct and a wrong match among its first {length}")
    p, c = np.array(probes), np.stack(candidates)
    return Lists(p, c, similarities[p[:, None], c], vehicles[c] == vehicles[p][:, None])


class Fold:
    """Features of one embedder with the lists mined in them.

    Args:
        features: of the images, with strips.
        lists: positions in them.
        device: where batches are made; the strips are moved there once.

    Raises:
        ValueError: features without strips.
    """

    def __init__(self, features: Features, lists: Lists, device: torch.device | str = "cpu") -> None:
        if features.strips is None:
            raise ValueError("the embedder gives no strips")
        self.features = features
        self.lists = lists
        self.device = torch.device(device)
        self._strips = torch.from_numpy(np.asarray(features.strips, dtype=np.float32)).to(self.device)
        self._probes = torch.from_numpy(lists.probes).to(self.device)
        self._candidates = torch.from_numpy(lists.candidates).to(self.device)
        self._similarities = torch.from_numpy(lists.similarities).to(self.device)
        self._correct = torch.from_numpy(lists.correct).to(self.device)

    @property
    def inputs(self) -> int:
        """Numbers in an image's strips."""
        return int(self._strips[0].numel())

    def batch(self, chosen: NDArray[np.integer]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Probes `[B, s, d]`, candidates `[B, v, s, d]`, similarities `[B, v]`, correct `[B, v]`."""
        rows = sent(torch.from_numpy(chosen), self.device)
        return (
            self._strips[self._probes[rows]],
            self._strips[self._candidates[rows]],
            self._similarities[rows],
            self._correct[rows],
        )
