"""A memory of cluster centres, and the contrast of descriptors with them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F


class ClusterMemory(nn.Module):
    """The centre of each identity's descriptors, which a training moves along with them.

    Dai et al., Cluster Contrast for Unsupervised Person Re-Identification (ACCV 2022): an image is drawn to
    its cluster's centre and pushed from all others, not from those of its batch alone (eq. 2), and a centre
    follows its images by a moving mean (eq. 3).

    Args:
        start: descriptors `[N, d]` of the training images before the training, L2-normalised.
        labels: `[N]` identities, 0 to C - 1, each with an image.
        momentum: share of a centre that stays in an update.
        temperature: divides the similarities.
    """

    centres: Tensor

    def __init__(
        self, start: NDArray[np.float32], labels: Tensor, momentum: float, temperature: float
    ) -> None:
        super().__init__()
        self.momentum = momentum
        self.temperature = temperature
        sums = torch.zeros(int(labels.max()) + 1, start.shape[1])
        sums.index_add_(0, labels, torch.from_numpy(start))
        self.register_buffer("centres", F.normalize(sums, dim=1))

    def contrast(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """The mean of -log softmax of the similarity to the own centre among all, a scalar; centres follow.

        Args:
            descriptors: `[B, d]`, L2-normalised.
            labels: `[B]` identities.
        """
        # The update must not change what the gradient needs.
        scores = descriptors @ self.centres.clone().T / self.temperature
        self._follow(descriptors.detach(), labels)
        return F.cross_entropy(scores, labels)

    @torch.no_grad()
    def _follow(self, descriptors: Tensor, labels: Tensor) -> None:
        # For each image, not each identity: how many of those there are, the host would have to wait for.
        same = labels.unsqueeze(0) == labels.unsqueeze(1)
        means = F.normalize(same.to(descriptors.dtype) @ descriptors, dim=1)
        moved = F.normalize(self.momentum * self.centres[labels] + (1 - self.momentum) * means, dim=1)
        # All images of an identity write what its first one does, so that their order does not matter.
        self.centres[labels] = moved[same.to(torch.uint8).argmax(dim=1)]
