from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tests.training.small import small_network
from training.checkpoints.weights import load_embedder, load_viewpoints, save_embedder, weights_hash
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


def test_the_hash_of_weights_follows_their_values_and_not_how_they_lie_in_memory() -> None:
    first, second = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)) for _ in range(2))
    second.load_state_dict(first.state_dict())
    known = weights_hash(first)
    assert weights_hash(second.to(memory_format=torch.channels_last)) == known  # type: ignore[call-overload]
    with torch.no_grad():
        second.get_buffer("1.running_var")[2] = 65_504
    assert weights_hash(second) != known
    assert weights_hash(nn.Sequential(first[0])) != known
