"""RIB's bound: against the written-out formula, its gradient, its cost, and that it is a bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models.information import bottleneck_bound, entropy, log_assignments, mutual_information
from models.losses import BranchBatch
from models.losses.ibb import IBBSettings, ibb
from models.losses.statistics import ClassStatistics

CLASSES, WIDE, EARLY = 3, 5, 4


def sample(images: int = 9, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    features = torch.randn(images, WIDE, generator=source, dtype=torch.float64)
    early = torch.randn(images, EARLY, generator=source, dtype=torch.float64)
    return features, early, torch.arange(images) % CLASSES


def statistics(epochs: int = 2) -> ClassStatistics:
    made = ClassStatistics(CLASSES, WIDE, EARLY).double()
    for epoch in range(epochs):
        made.observe(*sample(seed=10 + epoch))
        made.refresh()
    return made


def batch(features: Tensor, early: Tensor, labels: Tensor, known: Any) -> BranchBatch:
    return BranchBatch(features, features, None, labels, labels, lambda tensor: tensor, early, known)


def phi(z: np.ndarray[Any, Any], centroids: np.ndarray[Any, Any]) -> list[float]:
    z = z / np.linalg.norm(z)
    weights = [math.exp(-float(np.sum((z - c) ** 2))) for c in centroids]
    return [w / sum(weights) for w in weights]


def test_the_bound_is_that_of_the_formula_written_out_in_loops() -> None:
    features, early, labels = (each.numpy() for each in sample())
    known = statistics()
    q = known.log_q.exp().numpy()
    total = 0.0
    for f, x, y in zip(features, early, labels, strict=True):
        phi_f, phi_x = phi(f, known.centroids.numpy()), phi(x, known.early_centroids.numpy())
        for i in range(CLASSES):
            for j in range(CLASSES):
                total += phi_f[i] * phi_x[j] * math.log(phi_x[j])
            total -= phi_f[i] * math.log(q[y, i])
    known.float()
    wide, narrow, of = sample()
    found = ibb(batch(wide.float(), narrow.float(), of, known), IBBSettings())
    assert float(found) == pytest.approx(total / len(labels), rel=1e-5)


@pytest.mark.slow
def test_q_is_the_share_of_a_class_in_each_cluster_and_centroids_are_class_means() -> None:
    known = statistics(1)
    features, early, labels = sample(seed=11)
    f = [phi(z, known.centroids.numpy()) for z in features.numpy()]
    known.observe(features[:4], early[:4], labels[:4])
    known.observe(features[4:], early[4:], labels[4:])
    known.refresh()
    unit = features / features.norm(dim=1, keepdim=True)
    for y in range(CLASSES):
        own = [p for p, label in zip(f, labels, strict=True) if label == y]
        np.testing.assert_allclose(known.log_q[y].exp().numpy(), np.mean(own, axis=0), rtol=1e-9)
        torch.testing.assert_close(known.centroids[y], unit[labels == y].mean(dim=0))


def test_a_class_that_an_epoch_has_not_shown_keeps_its_centroid() -> None:
    known = statistics()
    before = known.centroids.clone()
    features, early, labels = sample(seed=5)
    known.observe(features[labels != 1], early[labels != 1], labels[labels != 1])
    known.refresh()
    torch.testing.assert_close(known.centroids[1], before[1], rtol=0, atol=0)
    assert not torch.allclose(known.centroids[0], before[0])


def test_the_gradient_is_that_of_finite_differences() -> None:
    known = statistics()
    features, early, labels = sample(4)
    features.requires_grad_()
    early.requires_grad_()

    def loss(f: Tensor, x: Tensor) -> Tensor:
        return bottleneck_bound(*known.assignments(f, x), known.log_q, labels)

    assert torch.autograd.gradcheck(loss, (features, early))


@settings(max_examples=40, deadline=None)
@given(images=st.integers(3, 20), spread=st.floats(0.1, 30), seed=st.integers(0, 2**31))
def test_bound_and_estimate_are_in_order_whatever_the_features(images: int, spread: float, seed: int) -> None:
    known = statistics()
    source = torch.Generator().manual_seed(seed)
    # Centroids far from the unit sphere make sharp assignments too.
    known.centroids.mul_(spread)
    known.early_centroids.mul_(spread)
    known.log_q.copy_(torch.randn(CLASSES, CLASSES, generator=source).log_softmax(dim=1))
    known.observe(*sample(images, seed % 1000))
    found = known.refresh()
    assert found["estimate"] <= found["bound"] + 1e-9


def test_the_estimate_is_the_mutual_information_of_the_clusters() -> None:
    joint = torch.tensor([[0.5, 0.0], [0.25, 0.25]], dtype=torch.float64)
    expected = sum(
        p * math.log(p / (joint[i].sum() * joint[:, j].sum()))
        for i, row in enumerate(joint.tolist())
        for j, p in enumerate(row)
        if p
    )
    assert float(mutual_information(joint)) == pytest.approx(expected)
    assert float(entropy(torch.full((8,), 1 / 8))) == pytest.approx(math.log(8))


class Counter(TorchDispatchMode):
    """Numbers that operations have made, products of matrices by their multiplications."""

    made: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, tuple | list) else [out]:
            if isinstance(each, Tensor):
                self.made += each.numel() * (args[0].shape[1] if func.overloadpacket.__name__ == "mm" else 1)
        return out


def cost(images: int, classes: int) -> int:
    """Of the loss and its gradient, without what does not depend on both."""
    known = ClassStatistics(classes, 32, 32)
    features = torch.randn(images, 32, requires_grad=True)
    labels = torch.arange(images) % classes
    counter = Counter()  # type: ignore[no-untyped-call]
    with counter:
        ibb(batch(features, torch.randn(images, 32), labels, known), IBBSettings()).backward()
    return counter.made


@pytest.mark.slow
def test_the_cost_is_linear_in_images_and_in_classes() -> None:
    whole = cost(64, 64)
    assert cost(128, 64) == pytest.approx(2 * whole, rel=0.05)
    assert cost(64, 128) == pytest.approx(2 * whole, rel=0.05)
    assert cost(128, 128) == pytest.approx(4 * whole, rel=0.05)


def test_log_assignments_are_those_of_unit_features() -> None:
    features, centroids = torch.randn(4, 6, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    found = log_assignments(features, centroids).exp().numpy()
    for row, z in zip(found, features.numpy(), strict=True):
        np.testing.assert_allclose(row, phi(z, centroids.numpy()), rtol=1e-9)


def test_without_statistics_the_loss_says_what_it_needs() -> None:
    features, early, labels = sample()
    with pytest.raises(ValueError, match="needs an epoch's statistics"):
        ibb(batch(features, early, labels, None), IBBSettings())
