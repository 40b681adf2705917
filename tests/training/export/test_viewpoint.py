from __future__ import annotations

import torch

from tests.training.small import small_network
from training.export.viewpoint import at_mean_viewpoint


def test_the_mean_viewpoint_is_built_into_the_necks() -> None:
    network = small_network(viewpoints=2).eval()
    assert network.side_information is not None
    torch.nn.init.normal_(network.side_information)
    bare = at_mean_viewpoint(network, (0.75, 0.25))
    assert bare.side_information is None
    images = torch.randn(2, 3, 32, 32)
    mean = network.side_information.detach()[:, 0] * 0.75 + network.side_information.detach()[:, 1] * 0.25
    with torch.inference_mode():
        pooled = [p + m for p, m in zip(network.pool(network.maps(images)), mean, strict=True)]
        torch.testing.assert_close(bare(images)[0], network.describe(pooled))
