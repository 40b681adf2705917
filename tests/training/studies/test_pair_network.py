"""A pair network starts as the first stage, and mutual matches need two parts that choose each other."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from training.studies.pair_network import MutualMatches, PairNetwork, list_context


@pytest.mark.parametrize("sees_parts", [True, False])
def test_it_orders_as_the_first_stage_until_it_has_learned(sees_parts: bool) -> None:
    torch.manual_seed(0)
    similarities = torch.rand(3, 5)
    probes, candidates = (F.normalize(torch.randn(*shape, 8), dim=-1) for shape in ((3, 4), (3, 5, 4)))
    model = PairNetwork(8, (2, 2), sees_parts=sees_parts).eval()
    found = model(probes, candidates, similarities)
    assert torch.equal(found.argsort(dim=1), (-similarities).argsort(dim=1))


def test_two_images_are_as_far_apart_whichever_asks() -> None:
    torch.manual_seed(0)
    one, other = F.normalize(torch.randn(2, 4, 8), dim=-1)
    model = PairNetwork(8, (2, 2)).eval()
    torch.nn.init.normal_(model.judge[3].weight)  # type: ignore[arg-type]
    similarities = torch.tensor([[0.5, 0.4]])
    found = model(one[None], torch.stack([other, other])[None], similarities)
    turned = model(other[None], torch.stack([one, one])[None], similarities)
    torch.testing.assert_close(found, turned)


def test_an_image_is_at_no_distance_from_itself_and_parts_that_are_not_chosen_back_do_not_count() -> None:
    parts = torch.eye(4)
    half = torch.stack([parts[0], parts[0], parts[1], parts[1]])
    found = MutualMatches()(parts[None], torch.stack([parts, half])[None], torch.zeros(1, 2))
    # Equal parts of `half` are both the best match; the parts 2 and 3 match nothing at more than 0.
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0]]) + torch.tensor([[0.0, 1 - 4 / 4]]))


def test_the_margin_of_the_first_is_over_the_second_and_that_of_others_over_the_first() -> None:
    context = list_context(torch.tensor([[0.9, 0.7, 0.4]]))
    torch.testing.assert_close(context[0, :, 1], 5 * torch.tensor([0.2, -0.2, -0.5]))
    assert float(context[0, :, 2].mean()) == pytest.approx(0, abs=1e-6)
