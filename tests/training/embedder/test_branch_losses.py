"""A branch learns from the losses that it names, and from no other."""

from __future__ import annotations

import pytest
import torch
from pydantic import Field
from torch import Tensor

from models.head import TrainingOutput
from models.losses import LOSSES, BranchBatch, BranchLoss, LossSettings
from models.network import LKAReID
from models.shape import Branch, NetworkConfig
from training.config.losses import LossConfig
from training.embedder.branch_losses import embedder_loss

LABELS = torch.tensor([0, 0, 1, 1])


class SpreadSettings(LossSettings):
    spread: float = Field(default=2.0, ge=0)
    power: float = 2.0


class WithSpread(SpreadSettings, LossConfig):
    """The configuration as it is where a file registers the loss below."""


def spread(batch: BranchBatch, settings: SpreadSettings) -> Tensor:
    return batch.gather(batch.normalised).abs().pow(settings.power).mean()


def learned(*losses: str) -> tuple[tuple[Branch, ...], TrainingOutput]:
    torch.manual_seed(0)
    branches = tuple(Branch("conv", loss) for loss in losses)
    network = LKAReID(NetworkConfig(branches, 4, (1, 1, 1, 1), (32, 32)), identities=2)
    return branches, network.learn(torch.randn(4, 3, 32, 32))


def test_a_new_loss_gets_neither_cross_entropy_nor_triplet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "spread", BranchLoss(spread, SpreadSettings))
    branches, output = learned("spread")
    assert output.logits == [None]
    found = embedder_loss(branches, output, LABELS, WithSpread(power=3))
    assert set(found) == {"spread"}
    torch.testing.assert_close(found["spread"], 2.0 * output.normalised[0].abs().pow(3).mean())


def test_a_weighted_loss_is_the_mean_over_the_branches_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "spread", BranchLoss(spread, SpreadSettings))
    branches, output = learned("spread", "triplet", "spread+triplet", "both")
    found = embedder_loss(branches, output, LABELS, WithSpread())
    assert set(found) == {"spread", "triplet", "cross_entropy"}
    means = torch.stack([output.normalised[i].square().mean() for i in (0, 2)])
    torch.testing.assert_close(found["spread"], 2.0 * means.mean())


def test_a_weight_of_0_switches_a_loss_off() -> None:
    branches, output = learned("both")
    assert set(embedder_loss(branches, output, LABELS, LossConfig(cross_entropy=0))) == {"triplet"}
    with pytest.raises(ValueError, match="no loss is left"):
        embedder_loss(branches, output, LABELS, LossConfig(cross_entropy=0, triplet=0))


def test_a_classifying_branch_needs_identities() -> None:
    branches = (Branch("conv", "cross_entropy"),)
    output = LKAReID(NetworkConfig(branches, 4, (1, 1, 1, 1), (32, 32))).learn(torch.randn(4, 3, 32, 32))
    with pytest.raises(ValueError, match="needs a network made with identities"):
        embedder_loss(branches, output, LABELS, LossConfig())
