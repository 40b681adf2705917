from __future__ import annotations

from pathlib import Path

import torch

from tests.training.small import small_network
from training.checkpoints.weights import load_embedder, load_viewpoints, save_embedder
from training.datasets.viewpoints import Viewpoints


def test_an_embedder_is_kept_with_the_names_of_its_viewpoints(tmp_path: Path) -> None:
    names = Viewpoints(("c1", "c2"), ("",))
    network = small_network(viewpoints=2).eval()
    assert network.side_information is not None
    torch.nn.init.normal_(network.side_information)
    save_embedder(tmp_path / "a.safetensors", network, names)
    assert load_viewpoints(tmp_path / "a.safetensors") == names
    again = load_embedder(tmp_path / "a.safetensors")
    assert again.side_information is not None
    torch.testing.assert_close(again.side_information, network.side_information)
    save_embedder(tmp_path / "b.safetensors", small_network())
    assert load_viewpoints(tmp_path / "b.safetensors") is None
