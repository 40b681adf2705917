"""Directions taken out of a descriptor: those in which images of one vehicle differ from each other.

What light, camera, crop and background do to a descriptor lies mostly in a few hundred of its directions
(within-class covariance normalisation: Hatch et al. 2006; learned whitening: Radenovic et al. 2018). They are
estimated once, after the training (`training.features.within`), and belong to the network from then on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Projection(nn.Module):
    """x -> x - (x A) A^T.

    A's columns are orthogonal; one of length 1 takes its direction out, a shorter one leaves
    1 - length^2 of what lies in it.

    Args:
        features: d, of the descriptor.
        directions: r, columns of A; all 0 at first, which changes nothing.
    """

    directions: Tensor

    def __init__(self, features: int, directions: int) -> None:
        super().__init__()
        self.register_buffer("directions", torch.zeros(features, directions))

    def forward(self, descriptors: Tensor) -> Tensor:
        """`[B, d]` -> `[B, d]`, not of unit length."""
        return descriptors - (descriptors @ self.directions) @ self.directions.T
