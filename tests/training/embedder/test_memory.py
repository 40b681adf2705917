"""Cluster contrast: a memory of centres that follows what is learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.embedder.memory import ClusterMemory


def start() -> np.ndarray:
    return np.eye(6, dtype=np.float32)


LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def test_the_contrast_is_cross_entropy_over_all_centres_and_reaches_the_descriptors() -> None:
    memory = ClusterMemory(start(), LABELS, 0.5, 0.1)
    assert torch.allclose(memory.centres[0], torch.tensor([0.5**0.5, 0.5**0.5, 0, 0, 0, 0]))
    descriptors = F.normalize(torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    descriptors.requires_grad_()
    wanted = F.cross_entropy(descriptors @ memory.centres.T.clone() / 0.1, torch.tensor([0, 2]))
    found = memory.contrast(descriptors, torch.tensor([0, 2]))
    assert found.item() == pytest.approx(wanted.item())
    found.backward()
    assert descriptors.grad is not None
    assert descriptors.grad.abs().sum() > 0


def test_centres_follow_their_images_and_those_alone() -> None:
    memory = ClusterMemory(start(), LABELS, 0.5, 0.1)
    before = memory.centres.clone()
    one, other = torch.eye(6)[1], torch.eye(6)[5]
    memory.contrast(torch.stack([one, other]), torch.tensor([0, 0]))
    mean = F.normalize(one + other, dim=0)
    assert torch.allclose(memory.centres[0], F.normalize(0.5 * before[0] + 0.5 * mean, dim=0))
    assert torch.equal(memory.centres[1:], before[1:])
