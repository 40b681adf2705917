from __future__ import annotations

from typing import Any

import pytest
import torch

from models.losses import LOSSES, BranchBatch, BranchLoss, LossSettings, losses_of
from models.network import LKAReID
from models.shape import Branch, NetworkConfig

SMALL = {"width": 4, "depth": (1, 1, 1, 1), "image_size": (32, 32)}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_its_weight_among_its_keys(name: str) -> None:
    settings = LOSSES.named(name).settings
    assert getattr(settings(), name) > 0
    assert all(field.description for field in settings.model_fields.values())


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_teaches_its_branch(name: str) -> None:
    loss = LOSSES.named(name)
    torch.manual_seed(0)
    pooled = torch.randn(6, 8, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    logits = pooled[:, :3] if loss.classifier else None
    early = torch.randn(6, 5)
    statistics: Any = loss.statistics(3, 8, 5, loss.settings()) if loss.statistics else None
    if statistics is not None:
        statistics.observe(pooled.detach(), early, labels)
        statistics.refresh()
    batch = BranchBatch(pooled, pooled, logits, labels, labels, lambda tensor: tensor, early, statistics)
    value = loss.compute(batch, loss.settings())
    value.backward()
    assert value.shape == ()
    assert pooled.grad is not None
    assert pooled.grad.any()


def test_a_branch_has_one_loss_or_a_sum_of_several() -> None:
    assert list(losses_of("triplet")) == ["triplet"]
    assert list(losses_of("both")) == list(losses_of("cross_entropy+triplet")) == ["cross_entropy", "triplet"]
    with pytest.raises(ValueError, match="unknown loss 'circle'; there are cross_entropy, ibb, triplet"):
        losses_of("triplet+circle")


@pytest.mark.parametrize("classifier", [False, True])
def test_a_registered_loss_says_whether_its_branch_classifies(
    monkeypatch: pytest.MonkeyPatch, classifier: bool
) -> None:
    toy = BranchLoss(lambda batch, _: batch.pooled.mean(), LossSettings, classifier=classifier)
    monkeypatch.setitem(LOSSES, "toy", toy)
    network = LKAReID(NetworkConfig((Branch("conv", "toy"),), **SMALL), identities=3)  # type: ignore[arg-type]
    assert ("heads.0.classifier.weight" in network.state_dict()) is classifier
