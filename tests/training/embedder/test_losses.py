from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from training.embedder.losses import contrastive

LABELS = [0, 0, 1, 1, 2, 2]


def test_contrastive_is_that_of_the_written_out_loops() -> None:
    similarities = np.random.default_rng(1).normal(size=(6, 6))
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        norm = sum(math.exp(similarities[i, j] / 0.5) for j in others)
        positives = [j for j in others if LABELS[j] == LABELS[i]]
        total -= sum(math.log(math.exp(similarities[i, j] / 0.5) / norm) for j in positives) / len(positives)
    found = contrastive(torch.from_numpy(similarities), torch.tensor(LABELS), 0.5)
    assert float(found) == pytest.approx(total / 6)


def test_contrastive_leaves_out_anchors_without_a_positive() -> None:
    similarities = torch.rand(3, 3)
    found = contrastive(similarities, torch.tensor([0, 0, 1]), 0.1)
    assert torch.isfinite(found)
