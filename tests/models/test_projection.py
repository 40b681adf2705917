"""Directions taken out of the descriptor."""

from __future__ import annotations

import pytest
import torch

from models.network import LKAReID
from models.projection import Projection
from tests.training.small import small_network


def columns(features: int, count: int) -> torch.Tensor:
    torch.manual_seed(0)
    found: torch.Tensor = torch.linalg.qr(torch.randn(features, count))[0]
    return found


def test_a_new_one_changes_nothing() -> None:
    descriptors = torch.randn(3, 16)
    assert torch.equal(Projection(16, 4)(descriptors), descriptors)


def test_columns_of_length_1_are_taken_out_and_shorter_ones_in_part() -> None:
    projection = Projection(16, 3)
    whole = columns(16, 3)
    projection.directions.copy_(whole * torch.tensor([1.0, 0.5, 0.0]))
    found = projection(whole.T)
    torch.testing.assert_close(found, whole.T * torch.tensor([[0.0], [0.75], [1.0]]), atol=1e-6, rtol=0)


def projected() -> tuple[LKAReID, torch.Tensor]:
    network = small_network().eval()
    taken = columns(network.config.descriptor_dim, 5)
    return network.with_projection(taken), taken


def test_a_network_takes_them_out_of_its_descriptor_which_stays_of_unit_length() -> None:
    network, taken = projected()
    with torch.inference_mode():
        descriptor, _ = network(torch.randn(2, 3, 32, 32))
    assert (descriptor @ taken).abs().max() < 1e-6
    torch.testing.assert_close(descriptor.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("change", ["image size", "parts", "another projection"])
def test_it_stays_with_the_network_or_is_replaced(change: str) -> None:
    network, taken = projected()
    if change == "image size":
        network = network.with_image_size((48, 48))
    elif change == "parts":
        network = network.with_parts((2, 2), 8)
    else:
        taken = columns(network.config.descriptor_dim, 7)
        network = network.with_projection(taken)
    assert network.projection is not None
    assert torch.equal(network.projection.directions, taken)
    assert network.config.projection == taken.shape[1]
