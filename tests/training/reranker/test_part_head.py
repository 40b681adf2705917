from __future__ import annotations

import torch
from torch.nn import functional as F

from models.reranker import RerankerConfig, StripReranker, nearness
from training.reranker.part_head import SHARPNESS, distances_along


def test_the_head_learns_from_the_distance_of_an_untrained_re_ranker() -> None:
    torch.manual_seed(0)
    tokens = F.normalize(torch.randn(5, 6, 8), dim=2)
    shape = RerankerConfig(
        strip_width=8, heads=1, distance="attention", sharpness=SHARPNESS, grid=(2, 3), fusion=0.0
    )
    everyone = tokens.unsqueeze(0).expand(5, -1, -1, -1)
    expected = StripReranker(shape)(tokens, everyone, torch.zeros(5, 5))
    found = distances_along(tokens, nearness(2, 3))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
