from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.losses.triplet import batch_hard_triplet

LABELS = [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("margin", [None, 0.3])
def test_batch_hard_triplet_is_that_of_the_written_out_loops(margin: float | None) -> None:
    features = np.random.default_rng(0).normal(size=(6, 4))
    total = 0.0
    for i in range(6):
        distance = [float(np.linalg.norm(features[i] - features[j])) for j in range(6)]
        positive = max(distance[j] for j in range(6) if LABELS[j] == LABELS[i])
        negative = min(distance[j] for j in range(6) if LABELS[j] != LABELS[i])
        gap = positive - negative
        total += math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin)
    found = batch_hard_triplet(torch.from_numpy(features), torch.tensor(LABELS), margin)
    assert float(found) == pytest.approx(total / 6)


def test_triplet_has_a_finite_gradient_on_equal_features() -> None:
    features = torch.zeros(4, 3, requires_grad=True)
    batch_hard_triplet(features, torch.tensor([0, 0, 1, 1]), 0.1).backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()
